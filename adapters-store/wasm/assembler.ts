/**
 * Writes WebAssembly modules of a few small functions, so that inner loops can use SIMD without a compiler to install: an instruction is a
 * function that takes its operands' code and returns its own. Binary format and opcodes: WebAssembly core specification 2.0, chapter 5.
 */

export type Code = number[]
export type ValueType = 'i32' | 'f32' | 'f64' | 'v128'

const TYPE: Record<ValueType, number> = { i32: 0x7f, f32: 0x7d, f64: 0x7c, v128: 0x7b }
const NO_RESULT = 0x40
const SIMD = 0xfd

/** A parameter or local variable of a function. */
export interface Variable {
  get: Code
  set(value: Code): Code
}

type Variables<Names extends Record<string, ValueType>> = { [name in keyof Names]: Variable }

export interface WasmFunction {
  name: string
  parameters: ValueType[]
  locals: ValueType[]
  result?: ValueType
  body: Code
}

/** `locals` start as zero. The body's last value is the result, if there is one. */
export function define<P extends Record<string, ValueType>, L extends Record<string, ValueType>>(
  name: string,
  signature: { parameters: P; locals: L; result?: ValueType },
  body: (variables: Variables<P> & Variables<L>) => Code[],
): WasmFunction {
  const names = [...Object.keys(signature.parameters), ...Object.keys(signature.locals)]
  const variables = Object.fromEntries(
    names.map((key, i) => [key, { get: [0x20, ...unsigned(i)], set: (value: Code) => [...value, 0x21, ...unsigned(i)] }]),
  ) as Variables<P> & Variables<L>
  return {
    name,
    parameters: Object.values(signature.parameters),
    locals: Object.values(signature.locals),
    result: signature.result,
    body: body(variables).flat(),
  }
}

/** A module that exports the functions and its own memory, of one page at first, as `memory`. */
export function assemble(functions: WasmFunction[]): Uint8Array<ArrayBuffer> {
  const types = functions.map(({ parameters, result }) => [
    0x60,
    ...vector(parameters.map((type) => [TYPE[type]])),
    ...vector(result ? [[TYPE[result]]] : []),
  ])
  const exports = functions.map(({ name }, i) => [...text(name), 0x00, ...unsigned(i)])
  const bodies = functions.map(({ locals, body }) => {
    const code = [...vector(locals.map((type) => [1, TYPE[type]])), ...body, 0x0b]
    return [...unsigned(code.length), ...code]
  })
  return Uint8Array.from([
    ...[0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0], // "\0asm", version 1
    ...section(1, types),
    ...section(
      3,
      functions.map((_, i) => unsigned(i)),
    ),
    ...section(5, [[0x00, 1]]),
    ...section(7, [...exports, [...text('memory'), 0x02, 0]]),
    ...section(10, bodies),
  ])
}

const section = (id: number, items: Code[]): Code => {
  const content = vector(items)
  return [id, ...unsigned(content.length), ...content]
}
const vector = (items: Code[]): Code => [...unsigned(items.length), ...items.flat()]
const text = (value: string): Code => vector([...Buffer.from(value)].map((byte) => [byte]))

/** LEB128. */
function unsigned(value: number): Code {
  return value < 0x80 ? [value] : [(value & 0x7f) | 0x80, ...unsigned(value >>> 7)]
}

function signed(value: number): Code {
  const rest = value >> 7
  const last = (rest === 0 && (value & 0x40) === 0) || (rest === -1 && (value & 0x40) !== 0)
  return last ? [value & 0x7f] : [(value & 0x7f) | 0x80, ...signed(rest)]
}

const operation =
  (...opcode: Code) =>
  (...operands: Code[]): Code => [...operands.flat(), ...opcode]
const simd = (opcode: number) => operation(SIMD, ...unsigned(opcode))
const lane = (opcode: number) => (vector128: Code, index: number) => [...vector128, SIMD, ...unsigned(opcode), index]
/** Any alignment; `offset` in bytes. */
const loading =
  (opcode: Code) =>
  (address: Code, offset = 0) => [...address, ...opcode, 0, ...unsigned(offset)]
const storing =
  (opcode: Code) =>
  (address: Code, value: Code, offset = 0) => [...address, ...value, ...opcode, 0, ...unsigned(offset)]

export const i32 = {
  constant: (value: number): Code => [0x41, ...signed(value)],
  add: operation(0x6a),
  sub: operation(0x6b),
  mul: operation(0x6c),
  shl: operation(0x74),
  lessUnsigned: operation(0x49),
}

export const f64 = { load: loading([0x2b]), store: storing([0x39]), add: operation(0xa0) }

export const v128 = {
  load: loading([SIMD, 0]),
  /** Four unsigned 16-bit numbers, each widened to 32 bits. */
  load16x4: loading([SIMD, 4]),
  store: storing([SIMD, 11]),
  and: simd(0x4e),
  or: simd(0x50),
  /** Bits of the first where the third has ones, of the second elsewhere. */
  select: simd(0x52),
  /** Picks four of the eight 32-bit lanes of both: 0 to 3 the first's, 4 to 7 the second's. */
  shuffle32: (first: Code, second: Code, lanes: number[]): Code => [
    ...[...first, ...second, SIMD, 0x0d],
    ...lanes.flatMap((l) => [4 * l, 4 * l + 1, 4 * l + 2, 4 * l + 3]),
  ],
}

export const i32x4 = {
  splat: (value: number): Code => simd(0x11)(i32.constant(value)),
  lane: lane(0x1b),
  equal: simd(0x37),
  lessSigned: simd(0x39),
  shl: simd(0xab),
  shrUnsigned: simd(0xad),
  add: simd(0xae),
  sub: simd(0xb1),
  maxSigned: simd(0xb8),
  /** Eight numbers below 65536 as 16 bits each. */
  narrow: simd(0x86),
}

export const f32x4 = { splat: simd(0x13), add: simd(0xe4), sub: simd(0xe5), mul: simd(0xe6) }

export const f64x2 = { lane: lane(0x21), promoteLow: simd(0x5f), add: simd(0xf0) }

/** Repeats the body while `variable`, raised by `step` after each turn, is below `end` (unsigned); at least once. */
export function upTo(variable: Variable, end: Variable, step: Code, body: Code[]): Code {
  const next = variable.set(i32.add(variable.get, step))
  const again = [...i32.lessUnsigned(variable.get, end.get), 0x0d, 0]
  return [0x03, NO_RESULT, ...body.flat(), ...next, ...again, 0x0b]
}
