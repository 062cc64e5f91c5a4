/** Folders of files that can be made again: bounded, and what was not used for longest goes. Servers may share one. */
import { readdirSync, rmSync, statSync, utimesSync } from 'node:fs'
import { join } from 'node:path'

/** How long in seconds a file's last use may go unnoted. */
const NOTED_AFTER = 60
/** Milliseconds after which a file that is still being written was left by a server that was killed. */
const ABANDONED_AFTER = 3_600_000

/** That the file has been used. Not every time: loading a thousand should not write a thousand times. */
export function noteUse(file: string): void {
  const now = new Date()
  if (now.getTime() - statSync(file).mtimeMs > NOTED_AFTER * 1000) utimesSync(file, now, now)
}

/** Removes files that end in `suffix`, those first that were not used for longest, until the others take `maxBytes` at most; and `.part` files that nobody writes any more. */
export function trimFolder(directory: string, suffix: string, maxBytes: number): void {
  const now = Date.now()
  const files = readdirSync(directory).flatMap((name) => {
    const file = join(directory, name)
    try {
      const { size, mtimeMs } = statSync(file)
      if (name.endsWith(suffix)) return [{ file, size, mtimeMs }]
      if (name.endsWith('.part') && now - mtimeMs > ABANDONED_AFTER) rmSync(file, { force: true })
    } catch {
      // Another server of this cache has let it go.
    }
    return []
  })
  let bytes = files.reduce((sum, { size }) => sum + size, 0)
  for (const { file, size } of files.sort((a, b) => a.mtimeMs - b.mtimeMs)) {
    if (bytes <= maxBytes) return
    rmSync(file, { force: true })
    bytes -= size
  }
}
