/** The version of package.json. */
import { readFileSync } from 'node:fs'
import path from 'node:path'

function readVersion(): string {
  for (let dir = import.meta.dirname; ; dir = path.dirname(dir)) {
    try {
      return (JSON.parse(readFileSync(path.join(dir, 'package.json'), 'utf8')) as { version: string }).version
    } catch (error) {
      if (dir === path.dirname(dir)) throw error
    }
  }
}

export const VERSION = readVersion()
