/** Seeds of 64 bits, of which JSON.parse keeps 53: two seeds would be one. */
import { ApiError } from '../errors.ts'

const LEAST = -(2n ** 63n)
const MOST = 2n ** 63n - 1n

/** Seeds that JSON.parse rounded, as they stood in the text; by body. */
const digits = new WeakMap<object, string>()

/** Keeps the digits of a seed that a double cannot hold. `body` was read from `text`. */
export function keepSeed(text: string, body: Record<string, unknown> | null | undefined): void {
  const seed = body?.seed
  if (!body || typeof seed !== 'number' || Number.isSafeInteger(seed)) return
  const found = literal(text, seed)
  if (found) digits.set(body, found)
}

/** Of an object that a body holds, to the one that is made of it. */
export function copySeed(from: Record<string, unknown>, to: Record<string, unknown>): void {
  const found = digits.get(from)
  if (found !== undefined) digits.set(to, found)
}

/**
 * The digits that were read as `seed`. In valid JSON `"seed":` is a key, since the quotes inside of a text are escaped. One further down may be of the same name:
 * where two of them round to the same number there is no telling which is meant.
 */
function literal(text: string, seed: number): string | undefined {
  const all = [...text.matchAll(/"seed"\s*:\s*(-?\d+)(?![\d.eE])/g)].map(([, found]) => found)
  const [first, ...others] = new Set(all.filter((found) => Number(found) === seed))
  return others.length === 0 ? first : undefined
}

/** The body's seed, exactly; undefined if there is none. */
export function seedOf(body: Record<string, unknown>): bigint | undefined {
  const { seed } = body
  if (seed === undefined || seed === null) return undefined
  const text = Number.isSafeInteger(seed) ? String(seed) : digits.get(body)
  const exact = text === undefined ? undefined : BigInt(text)
  if (exact !== undefined && exact >= LEAST && exact <= MOST) return exact
  throw new ApiError('invalid_request', `seed must be an integer from ${LEAST} to ${MOST}, written in digits`, 'seed')
}

/**
 * The seed of choice `index` of a request. The first is the request's own; the others are splitmix64's outputs (Steele, Lea and Flood 2014) from it on: all different, and
 * nothing that another request's neighbouring seed would meet, as seed + index does.
 */
export function seedOfChoice(seed: bigint, index: number): bigint {
  if (index === 0) return seed
  const wrap = (x: bigint) => BigInt.asUintN(64, x)
  let z = wrap(seed + BigInt(index) * 0x9e3779b97f4a7c15n)
  z = wrap((z ^ (z >> 30n)) * 0xbf58476d1ce4e5b9n)
  z = wrap((z ^ (z >> 27n)) * 0x94d049bb133111ebn)
  return z ^ (z >> 31n)
}
