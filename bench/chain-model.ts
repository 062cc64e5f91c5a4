/**
 * The 135M shape as a model whose next token is known: after token i comes `nextOf(i)`, whatever came before. Its layers add next to nothing to the embedding, and its head has the embedding's rows in another order.
 * It computes what any model of that shape computes, and a prompt can be written that its answer repeats, or does not.
 */
import { closeSync, existsSync, openSync, readSync, writeSync } from 'node:fs'
import path from 'node:path'
import { repoRoot } from '../test/support/repo.ts'
import { makeBase, SHAPE } from './model135m.ts'

const V = SHAPE.vocabulary
/** One cycle through the whole vocabulary (Hull and Dobell's conditions for a linear congruential generator), so that no answer comes to its beginning. */
const A = 12 * 1009 + 1
const C = 10_007

export const nextOf = (token: number) => (A * token + C) % V

/** `count` tokens from `token` on, each the next of the one before. */
export function chain(token: number, count: number): number[] {
  const tokens = [token]
  while (tokens.length < count) tokens.push(nextOf(tokens[tokens.length - 1]))
  return tokens
}

/** Its folder; made where missing. */
export function chainModel(): string {
  const directory = path.join(repoRoot(), 'build/bench/chain-model')
  const file = path.join(directory, 'model.safetensors')
  if (existsSync(file)) return directory
  makeBase(directory, { quieter: 10_000 })
  const open = openSync(file, 'r+')
  const length = Buffer.alloc(8)
  readSync(open, length, 0, 8, 0)
  const headerBytes = Number(length.readBigUInt64LE())
  const header = Buffer.alloc(headerBytes)
  readSync(open, header, 0, headerBytes, 8)
  const start = (name: string) => 8 + headerBytes + JSON.parse(header.toString())[name].data_offsets[0]
  const row = SHAPE.hidden * 4
  const embedding = Buffer.alloc(V * row)
  readSync(open, embedding, 0, embedding.length, start('model.embed_tokens.weight'))
  const head = Buffer.alloc(V * row)
  for (let token = 0; token < V; token++) embedding.copy(head, nextOf(token) * row, token * row, (token + 1) * row)
  writeSync(open, head, 0, head.length, start('lm_head.weight'))
  closeSync(open)
  return directory
}
