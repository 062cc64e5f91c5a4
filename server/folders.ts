/** Making folders. */
import { existsSync, mkdirSync } from 'node:fs'
import path from 'node:path'

/** With those above it. Not mkdirSync's `recursive`: where a file system says of a new folder that it does not exist (/proc), Node 20 tries for ever. Throws the system's error. */
export function makeFolder(folder: string): void {
  if (existsSync(folder)) return
  makeFolder(path.dirname(folder))
  mkdirSync(folder)
}
