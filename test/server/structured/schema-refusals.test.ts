/** Formats, and what of JSON Schema is refused, with its place. */
import Ajv from 'ajv/dist/2020.js'
import addFormats from 'ajv-formats'
import t from 'tap'
import { REFUSED } from '../../../server/structured/json/keywords.ts'
import { FORMATS } from '../../../server/structured/json/strings.ts'
import { matching, refusal } from '../../support/matching.ts'

// biome-ignore lint/suspicious/noExplicitAny: CommonJS packages, whose types say default where there is none
const ajv = new (Ajv as any)({ strict: false, formats: { duration: true } })
// biome-ignore lint/suspicious/noExplicitAny: as above
;(addFormats as any)(ajv)

const integer = { type: 'integer' }

t.test('formats: what they write is valid', async (t) => {
  const examples: Record<string, [yes: string[], no: string[]]> = {
    date: [
      ['2020-02-29', '2021-04-30'],
      ['2021-04-31', '2021-2-1'],
    ],
    time: [
      ['03:04:05Z', '23:59:59.25+02:00'],
      ['24:00:00Z', '03:04:05'],
    ],
    'date-time': [['2020-01-02T03:04:05Z'], ['2020-01-02 03:04:05', '2020-01-02']],
    duration: [
      ['P1D', 'P2W', 'P1DT2H', 'PT1M', 'P1Y2M'],
      ['P', '1D', 'P1Y2D', 'PT'],
    ],
    email: [
      ['a@b.co', 'a.b+c@d-e.org'],
      ['a', 'a@', '@b'],
    ],
    hostname: [
      ['a', 'a-b.c'],
      ['-', 'a.', '-a'],
    ],
    ipv4: [
      ['1.2.3.4', '255.255.255.255'],
      ['256.1.1.1', '1.2.3'],
    ],
    ipv6: [
      ['::1', '1:2:3:4:5:6:7:8', 'fe80::a'],
      ['1:2', ':::'],
    ],
    uuid: [['123e4567-e89b-12d3-a456-426614174000'], ['123e4567']],
    uri: [
      ['http://a.b/', 'https://a.b:80/c?d=e#f'],
      ['a', '/a'],
    ],
  }
  t.same(Object.keys(examples).sort(), Object.keys(FORMATS).sort())
  for (const [format, [yes, no]] of Object.entries(examples)) {
    const schema = { type: 'string', format }
    const takes = await matching({ kind: 'json', schema })
    for (const text of yes) {
      t.ok(await takes(JSON.stringify(text)), `${format}: ${text}`)
      t.ok(ajv.validate(schema, text), `${format}: ${text} is valid`)
    }
    for (const text of no) t.notOk(await takes(JSON.stringify(text)), `${format}: not ${text}`)
  }
})

t.test('keywords that no answer can be held to are refused with their place', async (t) => {
  const values: Record<string, object> = { $dynamicRef: { $dynamicRef: '#a' }, $recursiveRef: { $recursiveRef: '#' } }
  t.same(Object.keys(values).sort(), [...REFUSED].sort())
  for (const [keyword, refused] of Object.entries(values)) {
    const schema = { type: 'object', properties: { a: { type: 'array', items: refused } } }
    await t.rejects(
      matching({ kind: 'json', schema }),
      { at: `properties.a.items.${keyword}`, message: /not supported/ },
      keyword,
    )
  }
})

t.test('what is supported in part is refused by name beyond it', async (t) => {
  for (const [schema, at, message] of [
    [{ type: 'array', uniqueItems: true }, 'uniqueItems', /listed values/],
    [{ type: 'array', items: { type: 'string' }, uniqueItems: true }, 'uniqueItems', /listed values/],
    [{ type: 'array', items: { enum: Array.from({ length: 30 }, (_, i) => i) }, uniqueItems: true }, 'uniqueItems', /states/],
    [{ type: 'number', multipleOf: 0.123456789 }, 'multipleOf', /steps/],
    [{ type: 'object', minProperties: 3 }, 'minProperties', /required/],
    [{ type: 'string', not: { format: 'email' } }, 'not.format', /must not hold/],
    [{ type: 'object', not: { additionalProperties: { type: 'string' } } }, 'not.additionalProperties', /must not hold/],
    [{ type: 'object', not: { const: { a: 1 } } }, 'not.const', /object/],
    [{ type: 'array', contains: integer, unevaluatedItems: false }, 'unevaluatedItems', /contains/],
    [{ type: 'string', pattern: 'a', minLength: 9000 }, 'pattern', /too large/],
    [{ type: 'string', allOf: [{ pattern: '(a|b)*a(a|b){14}' }, { pattern: 'c(.{20}c)*' }] }, 'pattern', /too large/],
    [
      { type: 'integer', allOf: Array.from({ length: 12 }, (_, i) => ({ anyOf: [{ minimum: i }, { maximum: -i }] })) },
      'allOf',
      /ways/,
    ],
  ] as const) {
    const error = await refusal({ kind: 'json', schema })
    t.match(error.message, message, JSON.stringify(schema).slice(0, 100))
    t.ok(error.at.startsWith(at) || error.at.endsWith(at), `${error.at} names ${at}`)
  }
})

t.test('schemas that say nothing that can be had are refused where they do', async (t) => {
  let deep: object = integer
  for (let i = 0; i < 100_000; i++) deep = { type: 'array', items: deep }
  for (const [schema, at] of [
    [{ type: 'string', pattern: 'x(?:(?=a)b)' }, 'pattern'],
    [{ type: 'string', pattern: '(' }, 'pattern'],
    [{ enum: [] }, 'enum'],
    [{ enum: ['a'], minLength: 3 }, ''],
    [{ type: 'integer', minimum: 5, maximum: 3 }, ''],
    [{ type: 'integer', minimum: 'x' }, 'minimum'],
    [{ type: 'number', minimum: 1e-300 }, 'minimum'],
    [{ type: 'number', multipleOf: 0 }, 'multipleOf'],
    [{ type: 'array', uniqueItems: 1 }, 'uniqueItems'],
    [{ type: 'foo' }, 'type'],
    [{ type: 'array', items: 5 }, 'items'],
    [{ type: 'array', minItems: -1 }, 'minItems'],
    [{ type: 'object', properties: [] }, 'properties'],
    [{ type: 'object', properties: { a: false }, required: ['a'] }, ''],
    [{ oneOf: [{ type: 'array', uniqueItems: true, items: { type: 'null' } }, { type: 'array' }] }, 'oneOf'],
    [{ anyOf: [] }, 'anyOf'],
    [{ $ref: '#/$defs/a' }, '$ref'],
    [{ $ref: 'http://localhost/schema' }, '$ref'],
    [{ type: 'object', unevaluatedProperties: false, not: { not: { properties: { a: integer }, required: ['a'] } } }, ''],
    [{ $ref: '#' }, '$ref'],
    [{ anyOf: [{ $ref: '#' }, { type: 'integer' }] }, ''],
    [{ allOf: [{ required: ['a'] }, { type: 'object', properties: { b: integer }, additionalProperties: false }] }, ''],
  ] as const)
    t.equal((await refusal({ kind: 'json', schema })).at, at, JSON.stringify(schema))
  t.match((await refusal({ kind: 'json', schema: deep })).message, /nested/, 'nested without end')
})
