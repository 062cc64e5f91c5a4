/** Which form the state folder's store has: a newer one is not guessed at. */
import { readFileSync, renameSync, writeFileSync } from 'node:fs'
import path from 'node:path'

/** Rises with each change of what is stored that this code would misread. Older ones are read. */
const FORMAT = 1
const FILE = 'format.json'

/** Throws when the folder's store is of a newer form, or when that cannot be told. One without a note is of the first form; it gets one. */
export function requireFormat(directory: string): void {
  const file = path.join(directory, FILE)
  let text: string
  try {
    text = readFileSync(file, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
    // Whole or not at all: half a note would keep the server from starting.
    writeFileSync(`${file}.part`, `${JSON.stringify({ format: FORMAT })}\n`)
    renameSync(`${file}.part`, file)
    return
  }
  const format = formatOf(text)
  if (format === undefined)
    throw new Error(`${file} does not say its format: it should hold {"format":${FORMAT}} or what a newer version wrote there`)
  if (format > FORMAT)
    throw new Error(
      `it was written by a newer version (format ${format}; this one reads up to ${FORMAT}): start that version, or take a copy from before the upgrade`,
    )
}

function formatOf(text: string): number | undefined {
  try {
    const { format } = JSON.parse(text)
    return Number.isInteger(format) && format > 0 ? format : undefined
  } catch {
    return undefined
  }
}
