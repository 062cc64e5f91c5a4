/** JSON Schema as answers are held to it, keyword by keyword: what a grammar takes, what it does not, and what is refused by name. */
import Ajv from 'ajv/dist/2020.js'
import addFormats from 'ajv-formats'
import t from 'tap'
import { REFUSED, SUPPORTED } from '../../../server/structured/json/keywords.ts'
import { FORMATS } from '../../../server/structured/json/strings.ts'
import { matching, refusal } from '../../support/matching.ts'

// biome-ignore lint/suspicious/noExplicitAny: CommonJS packages, whose types say default where there is none
const ajv = new (Ajv as any)({ strict: false, formats: { duration: true } })
// biome-ignore lint/suspicious/noExplicitAny: as above
;(addFormats as any)(ajv)

const integer = { type: 'integer' }
const node = { type: 'object', properties: { next: { $ref: '#/$defs/node' } }, additionalProperties: false }

/** By keyword: schemas, values that their grammars take, and such that they do not. Texts stand for themselves. */
const CASES: Record<string, [schema: object, yes: unknown[], no: unknown[]][]> = {
  type: [
    [{ type: 'integer' }, [0, -12, 123456], ['1.5', '01', '"1"', 'null']],
    [{ type: 'number' }, [1, -1.5, '1e10', '2E-7'], ['01', '1.', '.5', '1e999']],
    [{ type: ['integer', 'null'] }, [3, null], ['"a"', 'true']],
    [{ type: ['object', 'null'], properties: { a: integer } }, [null, { a: 1 }, {}], [{ a: 'x' }, '1']],
    [{ type: 'boolean' }, [true, false], [0, 'null']],
    [{}, [1, 'a text', [], {}, null, [{ a: [1] }]], ['x', '']],
  ],
  enum: [[{ enum: ['a', 1, null, { b: [1] }] }, ['"a"', 1, null, '{"b":[1]}', '{ "b": [ 1 ] }'], [2, '"b"']]],
  const: [[{ const: { a: 'é"\\' } }, [{ a: 'é"\\' }], [{ a: 'e' }]]],
  properties: [
    [
      { type: 'object', properties: { a: { type: 'string' }, b: integer } },
      [{}, { a: 'x' }, { b: 1 }, { a: 'x', b: 1 }, '{ "a" : "x" }', '{\n    "a": "x",\n    "b": 1\n}'],
      [{ c: 1 }, { a: 1 }, '{"a":"x",}', '{"a":"x"', `{${' '.repeat(50)}}`],
    ],
    [{ properties: { a: integer } }, [{ a: 4 }], [{ a: 'x' }]],
  ],
  required: [
    [{ type: 'object', properties: { a: integer, b: integer }, required: ['b'] }, [{ a: 1, b: 2 }, { b: 1 }], [{}, { a: 1 }]],
    [{ type: 'object', required: ['z'] }, [{ z: [1] }], [{}, { y: 1 }]],
  ],
  additionalProperties: [
    [
      { type: 'object', properties: { a: integer, ab: integer }, additionalProperties: { type: 'string' } },
      [{ a: 1 }, { b: 'x' }, {}, { a: 1, abc: 'x' }, { aa: 'x' }, { '': 'x' }, { '"': 'x' }],
      [{ a: 'x' }, { ab: 'x' }, { b: 1 }, '{"a":1,"a":"x"}', '{"\\u0061":"x"}'],
    ],
    [
      { type: 'object', properties: { é: integer }, additionalProperties: { type: 'string' } },
      [{ é: 1 }, { e: 'x' }],
      [{ é: 'x' }],
    ],
    [{ type: 'object', additionalProperties: integer }, [{ a: 1, b: 2 }, {}], [{ a: 'x' }]],
    [{ type: 'object', additionalProperties: false }, [{}], [{ a: 1 }]],
  ],
  minProperties: [[{ type: 'object', properties: { a: integer, b: integer }, minProperties: 1 }, [{ a: 1 }, { b: 1 }], [{}]]],
  maxProperties: [[{ type: 'object', maxProperties: 1 }, [{}, { a: 1 }], [{ a: 1, b: 1 }]]],
  items: [[{ type: 'array', items: integer }, [[], [1], [1, 2, 3]], [['a'], '[1,]', '[1']]],
  prefixItems: [
    [{ type: 'array', prefixItems: [integer, { type: 'string' }], items: false }, [[], [1], [1, 'a']], [['a'], [1, 'a', 1]]],
    [
      { type: 'array', prefixItems: [integer, { type: 'string' }], items: { type: 'null' }, minItems: 3, maxItems: 4 },
      [
        [1, 'a', null],
        [1, 'a', null, null],
      ],
      [
        [1, 'a'],
        [1, 'a', null, null, null],
      ],
    ],
  ],
  additionalItems: [[{ type: 'array', items: [integer], additionalItems: { type: 'null' } }, [[1], [1, null]], [['x'], [1, 1]]]],
  minItems: [
    [
      { type: 'array', items: integer, minItems: 2 },
      [
        [1, 2],
        [1, 2, 3],
      ],
      [[], [1]],
    ],
  ],
  maxItems: [[{ type: 'array', items: integer, maxItems: 2 }, [[], [1, 2]], [[1, 2, 3]]]],
  minLength: [[{ type: 'string', minLength: 2 }, ['"ab"', '"éé"', '"\\n\\n"', '"😀😀"'], ['"a"', '"\\n"', '""']]],
  maxLength: [
    [{ type: 'string', maxLength: 2 }, ['""', '"ab"', '"😀😀"', '"\\"\\\\"'], ['"abc"', '"\\n\\n\\n"', '"\\ud83d\\ude00"']],
  ],
  pattern: [
    [{ type: 'string', pattern: '^a+$' }, ['"a"', '"aaa"'], ['"ab"', '""']],
    [{ type: 'string', pattern: 'a+' }, ['"a"', '"baab"', '"\\na"'], ['"b"']],
    [{ type: 'string', pattern: '^["\\\\]$' }, ['"\\""', '"\\\\"'], ['"""', '"a"']],
    [{ type: 'string', pattern: '^a|b$' }, ['"ax"', '"xb"'], ['"xax"']],
  ],
  format: [
    [{ type: 'string', format: 'date' }, ['"2024-02-29"', '"1999-12-31"'], ['"2023-02-29"', '"2023-13-01"', '"x"']],
    [{ type: 'string', format: 'no such format' }, ['"anything"'], ['1']],
  ],
  minimum: [
    [{ type: 'integer', minimum: 3 }, [3, 10, 99999], [2, -5]],
    [{ type: 'integer', minimum: -13, maximum: 5 }, [-13, 0, 5, -1], [-14, 6]],
    [{ type: 'number', minimum: 0.5, maximum: 1.5 }, [0.5, 1, 1.5, 0.75, '1.50'], [0.4, 1.6, 2, '1e5', '1.501']],
    [{ type: 'number', minimum: -0.25, maximum: 0.25 }, [-0.25, 0, 0.1], [-0.26, 0.26, 1]],
  ],
  maximum: [
    [{ type: 'integer', maximum: 123 }, [123, 99, -4], [124, 1000]],
    [{ type: 'number', maximum: -1.5 }, [-1.5, -2, -100.25], [-1.4, 0, 3]],
  ],
  exclusiveMinimum: [
    [{ type: 'integer', exclusiveMinimum: 3 }, [4], [3]],
    [{ type: 'number', exclusiveMinimum: 0, exclusiveMaximum: 1 }, [0.1, 0.001], [0, 1, '0.0', '1.0']],
  ],
  exclusiveMaximum: [
    [{ type: 'integer', exclusiveMaximum: 12 }, [11], [12]],
    [{ type: 'number', exclusiveMaximum: 0 }, [-1, -0.1], [0, '-0', '-0.0', 0.1]],
  ],
  anyOf: [
    [{ anyOf: [integer, { type: 'string' }] }, [1, '"a"'], ['null']],
    [{ type: 'integer', anyOf: [{ minimum: 3 }, { maximum: 0 }] }, [4, 0], [1, '"a"']],
    [{ anyOf: [{ $ref: '#/anyOf/1' }, { type: 'array', items: { $ref: '#' } }] }, [[], [[[]]]], [1]],
  ],
  oneOf: [
    [{ oneOf: [integer, { type: 'string' }] }, [1, '"a"'], [1.5]],
    [
      {
        oneOf: [{ type: 'object', properties: { k: { const: 'a' }, x: integer }, required: ['k', 'x'] }, { $ref: '#/$defs/b' }],
        $defs: { b: { type: 'object', properties: { k: { const: 'b' } }, required: ['k'] } },
      },
      [{ k: 'a', x: 1 }, { k: 'b' }],
      [{ k: 'a' }, { k: 'c' }],
    ],
    [
      {
        oneOf: [
          { properties: { k: { const: 'a', default: 'a' }, x: integer } },
          { type: 'object', properties: { x: integer, k: { enum: ['b', 'c'] } }, required: ['x'] },
        ],
      },
      [{ k: 'a' }, { x: 1, k: 'c' }],
      [{}, { x: 1 }, { k: 'b' }],
    ],
  ],
  allOf: [
    [
      {
        allOf: [
          { type: 'integer', minimum: 3 },
          { type: 'integer', maximum: 5 },
        ],
      },
      [3, 5],
      [2, 6],
    ],
    [{ allOf: [{ $ref: '#/$defs/i' }], description: 'x', $defs: { i: integer } }, [1], ['"a"']],
  ],
  $ref: [
    [{ $defs: { node }, $ref: '#/$defs/node' }, [{}, { next: { next: {} } }], [{ next: 1 }]],
    [{ $defs: { n: integer }, type: 'object', properties: { a: { $ref: '#/$defs/n', minimum: 3 } } }, [{ a: 4 }], [{ a: 1 }]],
  ],
}

const shown = (value: unknown) => (typeof value === 'string' && !value.startsWith('a ') ? value : JSON.stringify(value))

t.test('every supported keyword is kept to, and what is taken is valid', async (t) => {
  t.same(Object.keys(CASES).sort(), [...SUPPORTED].sort(), 'each has its cases')
  for (const [keyword, cases] of Object.entries(CASES))
    for (const [schema, yes, no] of cases) {
      const takes = await matching({ kind: 'json', schema })
      const draft7 = JSON.stringify(schema).includes('additionalItems')
      for (const value of yes) {
        const text = shown(value)
        t.ok(await takes(text), `${keyword}: ${JSON.stringify(schema)} takes ${text}`)
        if (!draft7) t.ok(ajv.validate(schema, JSON.parse(text)), `${text} is valid by ${JSON.stringify(schema)}`)
      }
      for (const value of no)
        t.notOk(await takes(shown(value)), `${keyword}: ${JSON.stringify(schema)} does not take ${shown(value)}`)
    }
})

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
      ['P1D', 'P2W', 'P1DT2H3S'],
      ['P', '1D'],
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

t.test(
  'keywords that no answer can be held to are refused with their place, and values that change nothing are not',
  async (t) => {
    const values: Record<string, [refused: object, harmless?: object]> = {
      not: [{ not: integer }, { not: false }],
      if: [{ if: integer, else: { minimum: 3 } }, { if: integer }],
      dependentRequired: [{ dependentRequired: { a: ['b'] } }, { dependentRequired: {} }],
      dependentSchemas: [{ dependentSchemas: { a: {} } }, { dependentSchemas: {} }],
      dependencies: [{ dependencies: { a: ['b'] } }, { dependencies: {} }],
      contains: [{ contains: integer }],
      uniqueItems: [{ uniqueItems: true }, { uniqueItems: false }],
      multipleOf: [{ multipleOf: 2 }, { type: 'integer', multipleOf: 1 }],
      patternProperties: [{ patternProperties: { a: {} } }, { patternProperties: {} }],
      propertyNames: [{ propertyNames: { pattern: 'a' } }, { propertyNames: {} }],
      unevaluatedProperties: [{ unevaluatedProperties: integer }, { type: 'object', unevaluatedProperties: false }],
      unevaluatedItems: [{ unevaluatedItems: integer }, { type: 'array', unevaluatedItems: false }],
      $dynamicRef: [{ $dynamicRef: '#a' }],
      $recursiveRef: [{ $recursiveRef: '#' }],
    }
    t.same(Object.keys(values).sort(), Object.keys(REFUSED).sort())
    for (const [keyword, [refused, harmless]] of Object.entries(values)) {
      const schema = { type: 'object', properties: { a: { type: 'array', items: refused } } }
      await t.rejects(
        matching({ kind: 'json', schema }),
        { at: `properties.a.items.${keyword}`, message: /not supported/ },
        keyword,
      )
      if (harmless) await t.resolves(matching({ kind: 'json', schema: harmless }), keyword)
    }
  },
)

t.test('schemas that say nothing that can be had are refused where they do', async (t) => {
  let deep: object = integer
  for (let i = 0; i < 100_000; i++) deep = { type: 'array', items: deep }
  for (const [schema, at] of [
    [{ type: 'string', pattern: '(?=a)b' }, 'pattern'],
    [{ type: 'string', pattern: '(' }, 'pattern'],
    [{ type: 'string', pattern: 'a', minLength: 3 }, 'minLength'],
    [{ enum: [] }, 'enum'],
    [{ enum: ['a'], minLength: 3 }, 'minLength'],
    [{ type: 'integer', minimum: 5, maximum: 3 }, ''],
    [{ type: 'integer', minimum: 'x' }, 'minimum'],
    [{ type: 'number', minimum: 1e-300 }, 'minimum'],
    [{ type: 'foo' }, 'type'],
    [{ type: 'array', items: 5 }, 'items'],
    [{ type: 'array', minItems: -1 }, 'minItems'],
    [{ type: 'object', properties: [] }, 'properties'],
    [{ type: 'object', properties: { a: false }, required: ['a'] }, ''],
    [{ oneOf: [{ type: 'integer' }, { type: 'number' }] }, 'oneOf'],
    [{ anyOf: [] }, 'anyOf'],
    [{ $ref: '#/$defs/a' }, '$ref'],
    [{ $ref: 'http://localhost/schema' }, '$ref'],
    [{ $ref: '#' }, '$ref.$ref'],
    [{ type: 'object', minProperties: 3 }, 'minProperties'],
    [
      { allOf: [{ properties: { a: {} }, additionalProperties: false }, { properties: { b: {} } }] },
      'allOf.1.additionalProperties',
    ],
  ] as const)
    t.equal((await refusal({ kind: 'json', schema })).at, at, JSON.stringify(schema))
  t.match((await refusal({ kind: 'json', schema: deep })).message, /nested/, 'nested without end')
})
