/** A process's tokenizers of adapters: those that were used last. */
import { statSync } from 'node:fs'
import path from 'node:path'
import type { Json } from './definition.ts'
import type { LearnJob, Spellings } from './process-jobs.ts'
import { decoderOf, ModelTokenizer, requireDefinition } from './tokenizer.ts'

/** Bytes of JSON of all that are kept; one is kept whatever its size. A tokenizer takes some ten times as much. */
const MOST_BYTES = 40 << 20

export class TaughtTokenizers {
  private readonly base: string
  private readonly baseBytes: number
  /** By digest, in the order of their last use. */
  private readonly known = new Map<string, { tokenizer: ModelTokenizer; bytes: number }>()

  /** `base`: the model's folder. */
  constructor(base: string) {
    this.base = base
    this.baseBytes = statSync(path.join(base, 'tokenizer.json')).size
  }

  get(digest: string): ModelTokenizer | undefined {
    const found = this.known.get(digest)
    if (!found) return undefined
    this.known.delete(digest)
    this.known.set(digest, found)
    return found.tokenizer
  }

  /** Throws when the tokenizer is not supported. */
  learn({ digest, definition = new Uint8Array(), specialIds, tokens }: LearnJob): Spellings {
    const changed = JSON.parse(new TextDecoder().decode(definition)) as Json
    const own = { ...requireDefinition(this.base), ...changed }
    const bytes = definition.length + ('model' in changed ? 0 : this.baseBytes)
    this.makeRoom(bytes)
    const tokenizer = new ModelTokenizer(own, tokens, specialIds).tried()
    this.known.set(digest, { tokenizer, bytes })
    return { ...packed(tokenizer.spellings()), longest: tokenizer.longestToken, decoder: decoderOf(own) }
  }

  private makeRoom(bytes: number): void {
    let all = bytes
    for (const one of this.known.values()) all += one.bytes
    for (const [digest, one] of this.known) {
      if (all <= MOST_BYTES) return
      this.known.delete(digest)
      all -= one.bytes
    }
  }
}

function packed(spellings: readonly (string | undefined)[]): Pick<Spellings, 'text' | 'at' | 'size'> {
  const at = new Int32Array(spellings.length)
  const size = new Int32Array(spellings.length).fill(-1)
  const parts: Buffer[] = []
  let end = 0
  for (let id = 0; id < spellings.length; id++) {
    const spelling = spellings[id]
    if (spelling === undefined) continue
    const part = Buffer.from(spelling)
    at[id] = end
    size[id] = part.length
    end += part.length
    parts.push(part)
  }
  return { text: new Uint8Array(Buffer.concat(parts)), at, size }
}
