/** Thousands of adapters on disk, for benchmarks. */
import { existsSync, linkSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { repoRoot } from '../test/support/repo.ts'

/** Name of the i-th. */
export const folderOf = (i: number) => `tenant-${String(i).padStart(5, '0')}`

/** `count` adapters in a folder of `name`, made once from one or from several in turn: they differ in their configs and share their weights' files by hard links, so each has a digest of its own. */
export function manyAdapters(name: string, adapters: string | readonly string[], count: number): string {
  const folder = path.join(repoRoot(), 'build/bench/adapters', `${name}-${count}`)
  if (existsSync(folder)) return folder
  const making = `${folder}.part`
  rmSync(making, { recursive: true, force: true })
  mkdirSync(making, { recursive: true })
  const sources = [adapters].flat().map((adapter, i) => {
    const weights = path.join(making, `weights-${i}`)
    writeFileSync(weights, readFileSync(path.join(adapter, 'adapter_model.safetensors')))
    return { weights, config: JSON.parse(readFileSync(path.join(adapter, 'adapter_config.json'), 'utf8')) }
  })
  for (let i = 0; i < count; i++) {
    const { weights, config } = sources[i % sources.length]
    const one = path.join(making, folderOf(i))
    mkdirSync(one)
    writeFileSync(path.join(one, 'adapter_config.json'), JSON.stringify({ ...config, revision: folderOf(i) }))
    linkSync(weights, path.join(one, 'adapter_model.safetensors'))
  }
  for (const { weights } of sources) rmSync(weights)
  renameSync(making, folder)
  return folder
}
