/** Tells changed files of an adapter from the same without reading them: a copy under way grows. */
import { statSync } from 'node:fs'
import { join } from 'node:path'
import { CONFIG_FILE, MODEL_CONFIG, WEIGHTS_FILE } from './folders.ts'
import { TEXT_FILES } from './text/files.ts'

/** Device, inode, size and times to the nanosecond of each file that an adapter may have. */
export const identityOf = (directory: string) =>
  identityOfFiles(directory, [CONFIG_FILE, WEIGHTS_FILE, MODEL_CONFIG, ...TEXT_FILES])

export function identityOfFiles(directory: string, names: readonly string[]): string {
  const parts = names.map((name) => {
    try {
      const found = statSync(join(directory, name), { bigint: true, throwIfNoEntry: false })
      return found ? `${found.dev}:${found.ino}:${found.size}:${found.mtimeNs}:${found.ctimeNs}` : 'none'
    } catch {
      return 'unreachable'
    }
  })
  return parts.join(' ')
}
