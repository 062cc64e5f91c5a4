/** Small tokenizers in the styles of the supported families, with what Hugging Face's library makes of hard texts (make_vectors.py). */
import { ModelTokenizer } from '../../../server/tokenizer/tokenizer.ts'
import { demoModel, fixture, readJson } from '../../support/repo.ts'

export interface Vectors {
  encoded: { text: string; ids: number[]; special: number[]; decoded: string; skipped: string }[]
  /** Random ids, whose bytes are often no characters. */
  decoded: { ids: number[]; decoded: string; skipped: string }[]
}

export const VECTORS = readJson<Record<string, Vectors>>(fixture('tokenizer', 'vectors.json'))
export const STYLES = Object.keys(VECTORS)

export function tokenizerOf(style: string): ModelTokenizer {
  if (style === 'demo') return ModelTokenizer.load(demoModel('base'))
  return new ModelTokenizer(readJson(fixture('tokenizer', `${style}.json`)), {})
}

/** A text as an assertion may name it: tap's parser takes a bare U+0085 for the end of the line. */
export function shown(text: string): string {
  return JSON.stringify(text).replace(/[^\x20-\x7e]/g, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`)
}
