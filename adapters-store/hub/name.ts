/** What names something on the hub: `org/name[/folder][@revision]`, with `hf://` before it where a folder of this machine could be meant. */

export interface HubName {
  /** org/name. */
  repo: string
  /** In the repository; '' is its root. */
  folder: string
  /** A branch, a tag or a commit. */
  revision: string
}

const SCHEME = 'hf://'
/** huggingface_hub's rules (validate_repo_id). Without `--` the cache's folder `models--org--name` says which repository it is of. */
const PART = /^(?![-.])(?!.*(?:--|\.\.))[\w.-]{1,96}(?<![-.]|\.git)$/
/** git's rules (check-ref-format), as far as they keep a revision's file inside the cache's `refs`. */
const REVISION =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: revisions stand in URLs, paths and logs
  /^(?!.*(?:\.\.|\/\/|@\{|\/\.|\.lock$))[^\u0000-\u0020\u007f~^:?*[\\@./][^\u0000-\u0020\u007f~^:?*[\\]{0,199}(?<![/.])$/
const COMMIT = /^[0-9a-f]{40}$/

export const isCommit = (revision: string) => COMMIT.test(revision)

export const namesHub = (text: string) => text.startsWith(SCHEME)

/** undefined: `text` names nothing that a hub could have. */
export function parseHubName(text: string): HubName | undefined {
  const plain = namesHub(text) ? text.slice(SCHEME.length) : text
  const at = plain.indexOf('@')
  const revision = at < 0 ? 'main' : plain.slice(at + 1)
  const [org, name, ...folder] = (at < 0 ? plain : plain.slice(0, at)).split('/')
  const parts = [org, name, ...folder]
  if (plain.length > 512 || name === undefined || !parts.every((part) => PART.test(part)) || !REVISION.test(revision))
    return undefined
  return { repo: `${org}/${name}`, folder: folder.join('/'), revision }
}

/** As it is written. */
export function hubText({ repo, folder, revision }: HubName): string {
  return `${repo}${folder && `/${folder}`}${revision === 'main' ? '' : `@${revision}`}`
}
