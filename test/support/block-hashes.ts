/** The rule of docs/kv-events.md, written from its text and not from the product's code: hashes of the blocks of a prompt. */
import { createHash } from 'node:crypto'

const sha256 = (...parts: (string | Buffer)[]) => {
  const hash = createHash('sha256')
  for (const part of parts) hash.update(part)
  return hash.digest('base64')
}

export interface HashInputs {
  /** DIGEST:WEIGHT for each adapter, by commas; '' is the base. */
  adapters?: string
  cacheSalt?: string
  tenant?: string
  /** Of an activated LoRA whose earlier blocks are the base's. */
  from?: number
}

/** In hexadecimal. Blocks that are not full have none. */
export function blockHashes(tokens: readonly number[], blockSize: number, inputs: HashInputs = {}): string[] {
  const { adapters = '', cacheSalt = null, tenant = null, from = 0 } = inputs
  const hashes: string[] = []
  let parent = sha256(JSON.stringify([from > 0 ? '' : adapters, cacheSalt, tenant]))
  for (let start = 0; start + blockSize <= tokens.length; start += blockSize) {
    if (from > 0 && start <= from && from < start + blockSize) parent = sha256(JSON.stringify([parent, adapters, from]))
    const words = Buffer.alloc(4 * blockSize)
    for (let i = 0; i < blockSize; i++) words.writeInt32LE(tokens[start + i], 4 * i)
    parent = sha256(parent, words)
    hashes.push(Buffer.from(parent, 'base64').toString('hex'))
  }
  return hashes
}
