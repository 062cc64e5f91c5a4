/** The versions of a name: the one that it stands for, one beside that for a part of its requests, and the one before. */
import type { Adapter, Canary, Previous } from './adapter.ts'
import { AdapterError } from './errors.ts'

/** How a version is judged: taken for good, or back. */
export interface Judging {
  /** Only if that is its digest (`adapter_version_mismatch`). */
  expectedDigest?: string
  /** Says that nobody waits for it any more; heard until the adapter is read. */
  signal?: AbortSignal
}

/** How a name is given another folder. `expectedDigest` is what the name stands for. */
export interface Replacing extends Judging {
  /** Where symbolic links may lead; the directory if absent. */
  root?: string
  /** Only if the name is nobody's, stands for this folder already, or for what was refused (`adapter_name_taken`). */
  onlyNew?: boolean
}

export const canaryOf = (adapter: Adapter, share: number, identity: string): Canary => ({
  adapter,
  share,
  identity,
  requests: { main: 0, canary: 0, fallbacks: 0 },
  failing: false,
})

export function previousOf({ directory, root, digest }: Adapter): Previous {
  return digest === undefined ? { directory, root } : { directory, root, digest }
}

export function requireDigest(name: string, current: string | undefined, expected: string | undefined): void {
  if (expected === undefined || current === expected) return
  throw new AdapterError(
    'adapter_version_mismatch',
    `the adapter ${name} is ${current === undefined ? 'not loaded' : `at ${current}`}, not at ${expected}`,
    { currentDigest: current },
  )
}

export function requireCanary({ name, canary }: Adapter): Canary {
  if (canary) return canary
  throw versionNotFound(`the adapter ${name} has no canary`)
}

export const versionNotFound = (message: string) => new AdapterError('adapter_version_not_found', message)
