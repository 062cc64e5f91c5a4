/** What an engine answers to many sequences at once. As a program: asks on stdin as JSON, the CPU engine's answers on stdout; a process has one ONNX Runtime. */
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import type { Engine, SequenceRequest } from '../../runtime/types.ts'
import { type Answer, ask } from './ask.ts'
import { OracleFamily } from './oracle.ts'

export interface Asked {
  what: string
  prompt: number[]
  sampling: Partial<SequenceRequest['sampling']>
  /** One of the family's; absent: the base. */
  adapter?: string
}

/** This file, as a program. */
export const answersProgram = fileURLToPath(import.meta.url)

export function answersTo(engine: Engine, family: OracleFamily, asks: Asked[]): Promise<Answer[]> {
  const use = (name: string) => [{ name, digest: family.images.get(name)!.digest, weight: 1 }]
  return Promise.all(asks.map(({ prompt, sampling, adapter }) => ask(engine, prompt, sampling, adapter ? use(adapter) : [])))
}

if (process.argv[1] === answersProgram) {
  const { name, asks } = JSON.parse(readFileSync(0, 'utf8')) as { name: string; asks: Asked[] }
  const family = new OracleFamily(name)
  const engine = await family.start(family.ampleBlocks, { asyncScheduling: true })
  process.stdout.write(JSON.stringify(await answersTo(engine, family, asks)))
  await engine.close()
}
