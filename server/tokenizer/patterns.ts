/** Patterns and white space as Hugging Face's Rust library knows them. */
import * as library from '@huggingface/tokenizers'

/** The package's types leave out what it exports beside its Tokenizer. */
const { SplitPreTokenizer: Split } = library as unknown as { SplitPreTokenizer: new (config: object) => { pattern: RegExp } }

export const WHITE_SPACE = '\\p{White_Space}'

/** A pattern of a tokenizer.json: a text, or a regular expression of Oniguruma, which the library translates. Throws for one that cannot be. */
export function patternOf(pattern: unknown, path: string): RegExp {
  const { String: text, Regex: source } = (pattern ?? {}) as { String?: unknown; Regex?: unknown }
  if (typeof text === 'string') return new RegExp(escaped(text), 'gu')
  if (typeof source !== 'string') throw new Error(`${path}.pattern must hold "String" or "Regex"`)
  return new Split({ type: 'Split', pattern: { Regex: source }, invert: false }).pattern
}

export const escaped = (text: string) => text.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&')

/** GPT-2's byte alphabet, by byte. */
export const BYTE_CHARACTERS: readonly string[] = byteCharacters()

function byteCharacters(): string[] {
  const printable = (b: number) => (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || (b >= 174 && b <= 255)
  let next = 256
  return Array.from({ length: 256 }, (_, b) => String.fromCharCode(printable(b) ? b : next++))
}

const utf8 = new TextEncoder()

export function byteLevel(text: string): string {
  let all = ''
  for (const byte of utf8.encode(text)) all += BYTE_CHARACTERS[byte]
  return all
}
