/** Making folders. */
import { accessSync, constants, existsSync, mkdirSync } from 'node:fs'
import path from 'node:path'
import { ConfigError } from './config/values.ts'

/** With those above it. Not mkdirSync's `recursive`: where a file system says of a new folder that it does not exist (/proc), Node 20 tries for ever. Throws the system's error. */
export function makeFolder(folder: string): void {
  if (existsSync(folder)) return
  makeFolder(path.dirname(folder))
  mkdirSync(folder)
}

/** The folder of a cache, made where it is missing. `what`: the cache, in words. Throws ConfigError for one that cannot be written. */
export function cacheFolder(what: string, folder: string): string {
  const directory = path.resolve(folder)
  try {
    makeFolder(directory)
    accessSync(directory, constants.W_OK | constants.R_OK)
  } catch (error) {
    throw new ConfigError(`${what} cannot be used: ${(error as Error).message}`)
  }
  return directory
}
