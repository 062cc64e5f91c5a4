/**
 * The cache that huggingface_hub and others share: `models--org--name/{blobs/HASH, refs/REVISION, snapshots/COMMIT/FILE}`, where files of snapshots are links to blobs. A blob has its name
 * once it is whole and is what the hub said; a snapshot's weights are linked when all else is, and a revision points to a commit after that. So what a killed process leaves is never taken for whole.
 */
import { randomBytes } from 'node:crypto'
import { mkdir, readFile, rename, stat, symlink, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { type HubName, isCommit } from './name.ts'

export class RepoCache {
  /** models--org--name. */
  readonly root: string

  constructor(cache: string, repo: string) {
    this.root = path.join(cache, `models--${repo.replaceAll('/', '--')}`)
  }

  /** `hash` is hexadecimal. */
  blob(hash: string): string {
    return path.join(this.root, 'blobs', hash)
  }

  snapshot(commit: string, folder: string): string {
    return path.join(this.root, 'snapshots', commit, folder)
  }

  /** The commit that a revision stood for when it was fetched last. */
  async commit(revision: string): Promise<string | undefined> {
    if (isCommit(revision)) return revision
    const text = await readFile(path.join(this.root, 'refs', revision), 'utf8').catch(() => '')
    return isCommit(text.trim()) ? text.trim() : undefined
  }

  async setCommit(revision: string, commit: string): Promise<void> {
    if (isCommit(revision) || (await this.commit(revision)) === commit) return
    await this.#put(path.join(this.root, 'refs', revision), (file) => writeFile(file, commit))
  }

  async has(hash: string, bytes: number): Promise<boolean> {
    return (await sizeOf(this.blob(hash))) === bytes
  }

  /** Gives a blob its name in a snapshot. */
  async link(commit: string, file: string, hash: string, bytes: number): Promise<void> {
    const link = this.snapshot(commit, file)
    // Those who cannot make links put the files themselves there.
    if ((await sizeOf(link)) === bytes) return
    await this.#put(link, (temporary) => symlink(path.relative(path.dirname(link), this.blob(hash)), temporary))
  }

  async #put(file: string, make: (temporary: string) => Promise<void>): Promise<void> {
    await mkdir(path.dirname(file), { recursive: true })
    // Beside blobs, refs and snapshots, which others list.
    const temporary = path.join(this.root, `.${randomBytes(6).toString('hex')}.lorikeet`)
    await make(temporary)
    await rename(temporary, file)
  }
}

/** undefined: there is no such file. */
export async function sizeOf(file: string): Promise<number | undefined> {
  const found = await stat(file).catch(() => undefined)
  return found?.isFile() ? found.size : undefined
}

/** What lies in a folder of such a cache, and the folder of its repository; undefined for other folders. */
export function hubOfFolder(directory: string): { name: HubName; root: string } | undefined {
  const parts = directory.split(path.sep)
  const at = parts.lastIndexOf('snapshots')
  const [kind, org, name, ...more] = parts[at - 1]?.split('--') ?? []
  const revision = parts[at + 1] ?? ''
  if (kind !== 'models' || name === undefined || more.length > 0 || !isCommit(revision)) return undefined
  return {
    name: { repo: `${org}/${name}`, folder: parts.slice(at + 2).join('/'), revision },
    root: parts.slice(0, at).join(path.sep),
  }
}
