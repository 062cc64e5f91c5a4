/** tokenizer.json's normalizers, as Hugging Face's Rust library applies them. */
import * as library from '@huggingface/tokenizers'
import { CharsMap } from './charsmap.ts'
import type { Step } from './definition.ts'
import { byteLevel, patternOf, WHITE_SPACE } from './patterns.ts'

export type Normalize = (text: string) => string

/** The package's types leave out what it exports beside its Tokenizer. */
const { BertNormalizer: Bert } = library as unknown as { BertNormalizer: new (config: object) => Normalize }

const AT_START = new RegExp(`^${WHITE_SPACE}+`, 'u')
const ONE = new RegExp(WHITE_SPACE, 'u')

/** Throws, naming what is wrong. */
export function makeNormalizer(step: Step): Normalize {
  switch (step.type) {
    case 'Sequence': {
      const all = (step.steps as (Step | null)[]).filter((inner) => inner !== null).map(makeNormalizer)
      return (text) => all.reduce((done, normalize) => normalize(done), text)
    }
    case 'NFC':
    case 'NFD':
    case 'NFKC':
    case 'NFKD': {
      const { type } = step
      return (text) => text.normalize(type)
    }
    case 'Lowercase':
      // Each character by itself: a sigma at the end of a word is one like any other.
      return (text) => text.replace(/[^a-z]/gu, (char) => char.toLowerCase())
    case 'Strip':
      return (text) => stripped(text, step.strip_left === true, step.strip_right === true)
    case 'StripAccents':
      return (text) => text.replace(/\p{M}/gu, '')
    case 'Prepend': {
      const prefix = String(step.prepend)
      return (text) => (text === '' ? text : prefix + text)
    }
    case 'Replace': {
      const pattern = patternOf(step.pattern, 'normalizer')
      const content = String(step.content)
      return (text) => text.replace(pattern, () => content)
    }
    case 'Precompiled': {
      const map = new CharsMap(String(step.precompiled_charsmap))
      return (text) => map.normalize(text)
    }
    case 'Nmt':
      return nmt
    case 'ByteLevel':
      return byteLevel
    default: {
      const bert = new Bert(step)
      return (text) => bert(text)
    }
  }
}

/** Whether it takes white space away from the beginning: what is left begins further on in the text, which Metaspace's `first` asks for. */
export function stripsStart(step: Step): boolean {
  if (step.type === 'Sequence') return (step.steps as (Step | null)[]).some((inner) => inner !== null && stripsStart(inner))
  return step.type === 'Strip' && step.strip_left === true
}

function stripped(text: string, left: boolean, right: boolean): string {
  const rest = left ? text.replace(AT_START, '') : text
  let end = rest.length
  if (right) while (end > 0 && ONE.test(rest[end - 1])) end--
  return rest.slice(0, end)
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is left out
const CONTROLS = /[\x01-\x08\x0b\x0e-\x1f\x7f\x8f\x9f]/g
const BLANKS = /[\t\n\f\r\u1680\u200b-\u200f\u2028\u2029\u2581\ufeff\ufffd]/g

const nmt: Normalize = (text) => text.replace(CONTROLS, '').replace(BLANKS, ' ')
