/** What the cache holds of the hub already. */
import { RepoCache } from './cache.ts'
import type { HubName } from './name.ts'
import { type HubKind, isWhole } from './wanted.ts'

/** What was fetched. */
export interface HubFolder {
  directory: string
  /** Where its links may lead (links.ts). */
  root: string
  commit: string
}

/** What a name stood for when it was fetched last, if that is whole. `cache`: the folder of `models--org--name`. */
export async function cachedFolder(
  cache: string,
  { repo, folder, revision }: HubName,
  kind: HubKind,
): Promise<HubFolder | undefined> {
  const there = new RepoCache(cache, repo)
  const commit = await there.commit(revision)
  if (commit === undefined) return undefined
  const directory = there.snapshot(commit, folder)
  return isWhole(kind, directory) ? { directory, root: there.root, commit } : undefined
}
