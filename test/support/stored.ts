/** The checkpoints of test/fixtures/stored, whose weights are quantized already. */
import { cpSync, mkdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import type { Test } from 'tap'
import type { Device } from '../../native/types.ts'
import { OracleFamily } from './oracle.ts'
import { fixture, readJson } from './repo.ts'

interface Answer {
  logits: number[]
  greedy: number[]
  margins: number[]
}
type Golden = Record<string, Record<string, (Answer & { prompt: number[]; rounded: Answer })[]>>

const golden = readJson<Golden>(fixture('stored/golden.json'))
export const storedCheckpoints = Object.keys(golden)

/** One as an oracle's folder. `rounded`: its cases are those of the reference that rounds what goes into a quantized projection as products on the CPU do. */
export function storedFamily(t: Test, name: string, rounded: boolean, device: Device = 'cpu'): OracleFamily {
  const root = t.testdir({})
  const folder = path.join(root, name)
  mkdirSync(folder)
  cpSync(fixture(`stored/${name}`), path.join(folder, 'base'), { recursive: true })
  cpSync(fixture('stored/adapters'), path.join(folder, 'adapters'), { recursive: true })
  const rows = Object.entries(golden[name]).map(([adapter, cases]) => [
    adapter,
    cases.map((row) => (rounded ? { ...row, ...row.rounded } : row)),
  ])
  writeFileSync(path.join(folder, 'golden.json'), JSON.stringify(Object.fromEntries(rows)))
  return new OracleFamily(name, device === 'cpu' ? 'float32' : 'float16', root, device)
}
