/** Where things are in the checkout. Tests run from dist/, so nothing may be found relative to the compiled file. */
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'

/** The checkout: the nearest folder upwards that holds a package.json. */
export function repoRoot(): string {
  let folder = import.meta.dirname
  while (!existsSync(path.join(folder, 'package.json'))) {
    const parent = path.dirname(folder)
    if (parent === folder) throw new Error(`no package.json above ${import.meta.dirname}`)
    folder = parent
  }
  return folder
}

/** `test/fixtures/<parts>`. */
export function fixture(...parts: string[]): string {
  return path.join(repoRoot(), 'test/fixtures', ...parts)
}

/** `deploy/demo-model/<parts>`. */
export function demoModel(...parts: string[]): string {
  return path.join(repoRoot(), 'deploy/demo-model', ...parts)
}

export function readJson<T>(file: string): T {
  return JSON.parse(readFileSync(file, 'utf8')) as T
}

export function readJsonLines<T>(file: string): T[] {
  return readFileSync(file, 'utf8')
    .split('\n')
    .filter((line) => line.trim() !== '')
    .map((line) => JSON.parse(line) as T)
}

/** A fresh folder that is removed when the test ends: `temporaryFolder(t)`. */
export function temporaryFolder(t: { teardown(handler: () => void): unknown }, prefix = 'lorikeet-'): string {
  const folder = mkdtempSync(path.join(tmpdir(), prefix))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}
