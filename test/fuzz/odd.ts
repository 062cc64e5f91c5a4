/** Odd values, and values made odd: what the fuzzers put where something else is expected. */
import type { Random } from './trial.ts'

export type Json = Record<string, unknown>

/** Names that objects have of themselves: a map that is a plain object finds them without holding them. */
const INHERITED = ['__proto__', 'constructor', 'toString', 'hasOwnProperty', 'valueOf']
const TEXTS = [
  ...INHERITED,
  ...[
    '',
    ' ',
    '\u0000',
    '\ud800',
    '\udc00x',
    'a\ud83d',
    '\ufeff',
    '\u2028',
    '\u202e\u0301',
    '\u0085',
    '🦜',
    '𝔘',
    'é\u0301',
    '\r\n',
  ],
  ...['null', 'NaN', '-0', '1e999', '../../etc/passwd', '%00', '{{ 7 * 7 }}', '<|end|>', '<s>', '\u001b[31m', 'q_proj', 'ſ', 'İ'],
]
const NUMBERS = [
  ...[0, -0, 1, -1, 2, 0.5, 1e-320, 1e308, -1e308, 2 ** 31 - 1, 2 ** 31, 2 ** 32 + 1, -(2 ** 31) - 1, 2 ** 53, 2 ** 63, 1e21],
  ...[16, 64, 255, 256, 1024, 65_536, Number.NaN, Number.POSITIVE_INFINITY],
]

export function oddText(random: Random): string {
  const one = random.pick(TEXTS)
  switch (random.below(6)) {
    case 0:
      return one.repeat(1 + random.below(2000))
    case 1:
      return Array.from({ length: random.below(40) }, () => String.fromCharCode(random.below(65_536))).join('')
    case 2:
      return Array.from({ length: random.below(12) }, () => random.pick(TEXTS)).join('')
    default:
      return one
  }
}

export function oddNumber(random: Random): number {
  return random.below(4) ? random.pick(NUMBERS) : (random.next() - 0.5) * 10 ** random.below(12)
}

/** Any JSON, `depth` levels deep at the most. */
export function oddJson(random: Random, depth = 3): unknown {
  switch (random.below(depth > 0 ? 8 : 5)) {
    case 0:
      return null
    case 1:
      return random.below(2) === 1
    case 2:
    case 3:
      return oddNumber(random)
    case 4:
      return oddText(random)
    case 5:
      return Array.from({ length: random.below(4) }, () => oddJson(random, depth - 1))
    case 6:
      return nested(1 + random.below(1000), random.below(2) === 1)
    default:
      // fromEntries makes an own property of __proto__ too.
      return Object.fromEntries(Array.from({ length: random.below(4) }, () => [oddText(random), oddJson(random, depth - 1)]))
  }
}

function nested(depth: number, objects: boolean): unknown {
  let value: unknown = 1
  for (let i = 0; i < depth; i++) value = objects ? { a: value } : [value]
  return value
}

interface Place {
  holder: Json
  key: string
}

function places(value: unknown, found: Place[] = [], depth = 0): Place[] {
  if (typeof value === 'object' && value !== null && depth < 20)
    for (const key of Object.keys(value)) {
      found.push({ holder: value as Json, key })
      places((value as Json)[key], found, depth + 1)
    }
  return found
}

/** A copy of `value` with something in it changed, left out, doubled, renamed or of another kind; half the time near the top. */
export function changed<T>(random: Random, value: T, times = 1 + random.below(2)): T {
  const copy = structuredClone(value)
  for (let i = 0; i < times; i++) {
    const all = places(copy)
    const near = all.filter(({ holder }) => holder === copy)
    const { holder, key } = random.pick(random.below(2) ? near : all) ?? {}
    if (!holder || key === undefined) continue
    const old = holder[key]
    switch (random.below(7)) {
      case 0:
        delete holder[key]
        break
      case 1:
        holder[key] = random.pick(Object.values(holder))
        break
      case 2:
        Object.defineProperty(holder, oddText(random), { value: old, enumerable: true, configurable: true, writable: true })
        break
      case 3:
        holder[key] = typeof old === 'number' ? neighbour(random, old) : typeof old === 'string' ? old + oddText(random) : null
        break
      case 4:
        holder[key] = [old]
        break
      default:
        holder[key] = oddJson(random, 2)
    }
  }
  return copy
}

function neighbour(random: Random, number: number): number {
  return random.pick([number + 1, number - 1, -number, number * 2, number / 2, number * 1024, number + 0.5])
}

/** JSON text of a value with what no value can say: numbers out of range, doubled keys, cut ends, bytes that are no UTF-8. */
export function jsonBytes(random: Random, value: unknown): Buffer {
  let text = JSON.stringify(value) ?? 'undefined'
  switch (random.below(12)) {
    case 0: {
      const numbers = [...text.matchAll(/(?<=[:[,])-?\d+(\.\d+)?/g)]
      const one = numbers.length > 0 ? random.pick(numbers) : undefined
      const other = random.pick(['1e999', '-1e999', '00', '0x10', '9007199254740993', '1'.repeat(400), '-0', '1.', '1e-400'])
      if (one) text = text.slice(0, one.index) + other + text.slice(one.index + one[0].length)
      break
    }
    case 1:
      text = text.replace(/^\{/, `{"${random.pick(INHERITED)}":${JSON.stringify(oddJson(random, 1)) ?? 'null'},`)
      break
    case 2:
      text = text.replace(/^\{("[^"]*"):/, (all, key) => `{${key}:null,${all.slice(1)}`)
      break
    case 3:
      text = text.slice(0, random.below(text.length))
      break
    case 4:
      text = `\ufeff${text}`
      break
    case 5:
      return changedBytes(random, Buffer.from(text))
  }
  return Buffer.from(text)
}

/** A copy with some bytes flipped, cut out, put in or moved. */
export function changedBytes(random: Random, bytes: Buffer): Buffer {
  const copy = Buffer.from(bytes)
  if (copy.length === 0) return copy
  const at = random.below(copy.length)
  switch (random.below(4)) {
    case 0:
      return Buffer.concat([copy.subarray(0, at), copy.subarray(Math.min(copy.length, at + 1 + random.below(20)))])
    case 1:
      return Buffer.concat([
        copy.subarray(0, at),
        Buffer.from(random.pick(['\xff', '\xc3(', '\u0000', '"', '\\ud800', '{']), 'latin1'),
        copy.subarray(at),
      ])
    case 2:
      return copy.subarray(0, at)
    default:
      for (let i = 0; i < 1 + random.below(6); i++) copy[random.below(copy.length)] = random.below(256)
      return copy
  }
}
