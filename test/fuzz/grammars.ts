/**
 * Constraints of any kind, tame and hostile: each is refused by name or tried within its bounds, and what its grammar lets a writer at random come to an end with is valid by it, as
 * ajv and JavaScript's regular expressions have it.
 */
import Ajv from 'ajv/dist/2020.js'
import addFormats from 'ajv-formats'
import { Compiler } from '../../server/structured/compiler.ts'
import type { Constraint } from '../../server/structured/constraint.ts'
import type { Source } from '../../server/structured/convert.ts'
import { ConstraintError } from '../../server/structured/ebnf.ts'
import { Trials } from '../../server/structured/trials.ts'
import { ofBytes } from '../support/matching.ts'
import { RandomSchemas } from '../support/random-schema.ts'
import { changed, oddJson, oddText } from './odd.ts'
import { Fault, type Random, run } from './trial.ts'

// biome-ignore lint/suspicious/noExplicitAny: CommonJS packages, whose types say default where there is none
const ajv = new (Ajv as any)({
  strict: false,
  formats: { duration: true },
  multipleOfPrecision: 9,
  logger: false,
  addUsedSchema: false,
})
// biome-ignore lint/suspicious/noExplicitAny: as above
;(addFormats as any)(ajv)

type Json = Record<string, unknown>

const times = <T>(count: number, make: (i: number) => T): T[] => Array.from({ length: count }, (_, i) => make(i))

function nested(depth: number, wrap: (inner: Json) => Json): Json {
  let schema: Json = { type: 'integer' }
  for (let i = 0; i < depth; i++) schema = wrap(schema)
  return schema
}

/** Schemas that would be large, slow or endless if they were taken as they come. */
const HOSTILE: readonly ((random: Random) => Json)[] = [
  (random) => nested(1 + random.below(5000), (items) => ({ type: 'array', items })),
  (random) => nested(1 + random.below(300), (not) => ({ not })),
  (random) => nested(1 + random.below(12), (inner) => ({ allOf: [inner, inner] })),
  (random) => nested(1 + random.below(9), (inner) => ({ anyOf: [inner, { type: 'string' }, { type: 'array', items: inner }] })),
  (random) => ({ enum: times(1 + random.below(30_000), (i) => `value ${i}`) }),
  (random) => ({
    type: 'object',
    properties: Object.fromEntries(times(random.below(3000), (i) => [`p${i}`, { type: 'integer' }])),
    minProperties: random.below(2000),
  }),
  (random) => ({
    type: 'object',
    properties: Object.fromEntries(times(40, (i) => [`p${i}`, {}])),
    dependentRequired: Object.fromEntries(times(random.below(40), (i) => [`p${i}`, [`p${39 - i}`]])),
  }),
  (random) => ({
    type: 'object',
    patternProperties: Object.fromEntries(times(random.below(12), (i) => [`[a-${'bcdefghijklm'[i]}]{${i}}`, { minimum: i }])),
  }),
  (random) => ({
    type: 'array',
    items: { enum: times(1 + random.below(40), Number) },
    uniqueItems: true,
    minItems: random.below(5),
  }),
  (random) => ({
    type: 'array',
    contains: { minimum: 3 },
    minContains: random.below(3000),
    maxContains: random.below(3000),
    minItems: random.below(100_000),
  }),
  (random) => ({ type: 'string', minLength: random.below(100_000), maxLength: random.below(1_000_000), pattern: '^(a|b|cd)*$' }),
  (random) => ({ allOf: times(random.below(14), (i) => ({ anyOf: [{ minimum: i }, { maxLength: i }] })) }),
  (random) => ({ oneOf: times(random.below(60), (i) => ({ properties: { [`k${i}`]: { const: i } }, required: [`k${i}`] })) }),
  (random) => ({ type: 'number', multipleOf: random.next() * 10 ** (random.below(40) - 20) }),
  (random) => ({
    type: 'number',
    minimum: (random.next() - 0.5) * 10 ** (random.below(60) - 30),
    exclusiveMaximum: random.next() * 10 ** random.below(40),
  }),
  () => ({
    $ref: '#/$defs/a',
    $defs: { a: { anyOf: [{ $ref: '#/$defs/b' }, { type: 'null' }] }, b: { allOf: [{ $ref: '#/$defs/a' }] } },
  }),
  () => ({ type: 'object', properties: { a: { $ref: '#' }, b: { not: { $ref: '#' } } }, required: ['b'] }),
]

const PATTERNS = [
  '(a+)+$',
  '(x|x)*y',
  '(.*a){12}',
  '^(?=.*a)(?=.*b)(?=.*c)(?=.*d)(?=.*e).{8,32}$',
  '(a|b)*a(a|b){13}',
  '\\p{L}{1,200}',
  '((a{0,40}b){0,40}c){0,40}',
  '[^]{3000}',
  '^(([^<>()]|\\.)+)@x$',
  '(?!.*(ab|ba)).{0,9}',
]

function regex(random: Random, depth = 3): string {
  const inner = () => regex(random, depth - 1)
  switch (random.below(depth > 0 ? 12 : 4)) {
    case 0:
      return random.pick(['a', 'b', 'é', '好', '😀', '\\n', '\\.', '"', '\\\\', ' ', '-', '\\u0000', '\\x7f'])
    case 1:
      return random.pick(['[a-c]', '[^a]', '[é-ü]', '[^\\s\\d]', '[α-ω一-龥]', '[\\u{1F600}-\\u{1F64F}\\]-]', '[]', '[^]'])
    case 2:
      return random.pick(['\\d', '\\w', '\\s', '\\D', '\\W', '\\S', '.', '\\p{Lu}', '\\P{L}', '\\p{Script=Greek}'])
    case 3:
      return random.pick(['ab', '12', 'null', ''])
    case 4:
      return `(?:${inner()})${random.pick(['?', '*', '+', '{2}', '{0,3}', '{1,}', '*?', '{0}'])}`
    case 5:
      return `(${inner()}|${inner()})`
    case 6:
      return `(?${random.pick(['=', '!'])}${inner()})${inner()}`
    case 7:
      return random.pick([
        `^${inner()}`,
        `${inner()}$`,
        `^${inner()}$`,
        `(?:^${inner()}$)`,
        `(?<=${inner()})`,
        `\\b${inner()}`,
        `(${inner()})\\1`,
      ])
    default:
      return inner() + inner()
  }
}

function schema(random: Random): unknown {
  const tame = () => new RandomSchemas(random.below(2 ** 31)).next() as Json
  const part = () =>
    Object.values((tame().properties ?? {}) as Json).find((one) => typeof one === 'object') ?? { type: 'integer' }
  switch (random.below(14)) {
    case 0:
      return changed(random, tame(), 1 + random.below(4))
    case 1:
      return oddJson(random)
    case 2:
      return random.pick(HOSTILE)(random)
    case 3:
      return { allOf: [tame(), tame()] }
    case 4:
      return { anyOf: [part(), part()], not: part() }
    case 5:
      return { oneOf: [part(), part(), part()] }
    case 6:
      // biome-ignore lint/suspicious/noThenProperty: a keyword of JSON Schema
      return { if: part(), then: part(), else: part() }
    case 7:
      return {
        type: 'string',
        pattern: random.below(8) ? regex(random) : random.pick(PATTERNS),
        ...(random.below(2) && { maxLength: random.below(12) }),
      }
    case 8:
      return {
        type: 'object',
        properties: { a: part() },
        patternProperties: { [regex(random, 1)]: part() },
        propertyNames: { maxLength: 3 },
        maxProperties: 3,
      }
    case 9:
      return { ...tame(), dependentSchemas: { name: tame(), age: { required: ['tags'] } } }
    case 10:
      return { type: 'array', prefixItems: [part()], contains: part(), items: part(), maxItems: 3 }
    case 11:
      return { ...tame(), allOf: [{ not: tame() }], unevaluatedProperties: random.below(2) === 0 }
    default:
      return tame()
  }
}

const EBNF = [
  'root ::= "a"* [^"\\\\é] r\nr ::= "x" r | ""',
  'root ::= root "a" | "b"',
  'root ::= [α-ω]{2,3}',
  'root ::= "\\u00e9" ("a" | "b"){0,2000}',
  'a ::= "b"',
  'root ::= root',
  'root ::= (("a"?)*)*',
]

function constraint(random: Random): Constraint {
  switch (random.below(10)) {
    case 0:
    case 1:
    case 2:
      return {
        kind: 'regex',
        pattern: random.below(10) ? regex(random) : random.pick([...PATTERNS, oddText(random), '('.repeat(random.below(9000))]),
      }
    case 3:
      return {
        kind: 'choice',
        choices: random.below(3)
          ? times(1 + random.below(5), () => oddText(random))
          : times(random.below(4000), (i) => `choice ${i}`),
      }
    case 4:
      return {
        kind: 'grammar',
        ebnf: random.below(2) ? random.pick(EBNF) : (changed(random, { g: random.pick(EBNF) }).g as string),
      }
    case 5:
      return {
        kind: 'structural_tag',
        tag: random.below(2)
          ? (oddJson(random) as object)
          : {
              format: {
                type: 'sequence',
                elements: [
                  { type: 'json_schema', json_schema: schema(random) },
                  { type: 'regex', pattern: regex(random) },
                ],
              },
            },
      }
    default:
      return { kind: 'json', schema: schema(random) as object }
  }
}

const vocabulary = ofBytes()
const trials = new Trials(3000, 256 << 20)
let compiler = new Compiler()
compiler.learn(vocabulary)

/** Bytes of a text that a grammar lets end: what comes next is drawn, an end as soon as there may be one in half of the cases. Undefined: none came soon. */
async function drawn(random: Random, source: Source): Promise<Uint8Array | 'nothing' | undefined> {
  const grammar = await compiler.compile(vocabulary.id, source)
  const matcher = await compiler.matcher(grammar)
  const guard = compiler.guard(vocabulary.id)
  const bytes: number[] = []
  try {
    for (let i = 0; i < 250; i++) {
      const mask = await matcher.getNextTokenBitmask()
      guard.after(bytes.length === 0 ? undefined : (bytes.at(-1) as number) + 1, mask)
      const allowed = times(257, Number).filter((id) => ((mask[id >>> 5] >>> (id & 31)) & 1) !== 0)
      if (allowed.length === 0) return 'nothing'
      const ends = allowed[0] === 0
      if (ends && (allowed.length === 1 || random.below(2))) return Uint8Array.from(bytes)
      // Quotes and brackets come to an end.
      const closing = allowed.filter((id) => id === 35 || id === 94 || id === 126)
      const token = random.pick(closing.length > 0 && random.below(3) === 0 ? closing : allowed.filter((id) => id !== 0))
      if (!matcher.acceptToken(token)) throw new Fault(`byte ${token - 1} is not taken where the mask allows it`)
      bytes.push(token - 1)
    }
    return undefined
  } finally {
    matcher.dispose()
    grammar.dispose()
  }
}

function check(constraint: Constraint, bytes: Uint8Array): void {
  const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  const wrong = (why: string) => new Fault(`${JSON.stringify(text)} ${why} of ${JSON.stringify(constraint).slice(0, 700)}`)
  if (constraint.kind === 'choice' && !constraint.choices.includes(text)) throw wrong('is no choice')
  if (constraint.kind === 'regex') {
    const whole = (flags: string) => new RegExp(`^(?:${constraint.pattern})$`, flags)
    let is: RegExp
    try {
      is = whole('u')
    } catch {
      is = whole('')
    }
    if (text.length < 40 && !is.test(text)) throw wrong('does not match that')
  }
  if (constraint.kind !== 'json') return
  const value = JSON.parse(text)
  let valid: ((value: unknown) => boolean) & { errors?: unknown }
  try {
    valid = ajv.compile(constraint.schema)
  } catch {
    // Not a schema that ajv knows what to do with.
    return
  }
  if (!valid(value)) throw wrong(`is not valid (${ajv.errorsText(valid.errors)})`)
}

async function attempt(random: Random): Promise<string> {
  const asked = constraint(random)
  const text = JSON.stringify(asked)
  if (text.length > 512 << 10) return 'too long'
  let source: Source
  try {
    const tried = await trials.run(text, vocabulary, random.pick(['a', 'b', undefined]))
    if (tried.milliseconds > 1000) return 'slow'
    source = tried.source
  } catch (error) {
    if (error instanceof ConstraintError) return 'refused'
    throw error
  }
  const bytes = await drawn(random, source)
  if (compiler.bytes > 200 << 20) {
    compiler = new Compiler()
    compiler.learn(vocabulary)
  }
  if (!bytes) return 'cut'
  if (bytes === 'nothing') {
    // A grammar that a client writes may have no text.
    if (asked.kind === 'grammar' || asked.kind === 'structural_tag') return 'nothing'
    throw new Fault(`nothing may follow in ${text.slice(0, 700)}`)
  }
  check(JSON.parse(text), bytes)
  return 'finished'
}

const end = async () => trials.close()
await run({ name: 'grammars', attempt, expected: ['finished', 'refused', 'cut'], patience: 15_000, end })
