/** JSON Schema as answers are held to it, keyword by keyword: what a grammar takes, what it does not, and what is refused by name. */
import Ajv from 'ajv/dist/2020.js'
import addFormats from 'ajv-formats'
import t from 'tap'
import { SUPPORTED } from '../../../server/structured/json/keywords.ts'
import { matching } from '../../support/matching.ts'
import { type Cases, NESTED } from '../../support/nested-schemas.ts'

// biome-ignore lint/suspicious/noExplicitAny: CommonJS packages, whose types say default where there is none
const ajv = new (Ajv as any)({ strict: false, formats: { duration: true } })
// biome-ignore lint/suspicious/noExplicitAny: as above
;(addFormats as any)(ajv)

const integer = { type: 'integer' }
const node = { type: 'object', properties: { next: { $ref: '#/$defs/node' } }, additionalProperties: false }

/** By keyword: schemas, values that their grammars take, and such that they do not. Texts stand for themselves. */
const CASES: Cases = {
  type: [
    [{ type: 'integer' }, [0, -12, 123456], ['1.5', '01', '"1"', 'null']],
    [{ type: 'number' }, [1, -1.5, '1e10', '2E-7'], ['01', '1.', '.5', '1e999']],
    [{ type: ['integer', 'null'] }, [3, null], ['"a"', 'true']],
    [{ type: ['object', 'null'], properties: { a: integer } }, [null, { a: 1 }, {}], [{ a: 'x' }, '1']],
    [{ type: 'boolean' }, [true, false], [0, 'null']],
    [{}, [1, 'a text', [], {}, null, [{ a: [1] }]], ['x', '']],
  ],
  enum: [
    [{ enum: ['a', 'abc', 5, { b: [1] }], minLength: 2, maximum: 4 }, ['"abc"', '{"b":[1]}'], ['"a"', 5]],
    [{ enum: ['a', 1, null, { b: [1] }] }, ['"a"', 1, null, '{"b":[1]}', '{ "b": [ 1 ] }'], [2, '"b"']],
  ],
  const: [[{ const: { a: 'é"\\' } }, [{ a: 'é"\\' }], [{ a: 'e' }]]],
  ...NESTED,
  minLength: [
    [{ type: 'string', pattern: '^[a-z]+$', minLength: 3 }, ['"abc"', '"abcd"'], ['"ab"', '"abC"']],
    [{ type: 'string', pattern: '^(ab)+c?$', minLength: 4, maxLength: 5 }, ['"abab"', '"ababc"'], ['"abc"', '"ababab"']],
    [{ type: 'string', minLength: 2 }, ['"ab"', '"éé"', '"\\n\\n"', '"😀😀"'], ['"a"', '"\\n"', '""']],
  ],
  maxLength: [
    [{ type: 'string', format: 'ipv4', maxLength: 8 }, ['"1.2.3.4"'], ['"10.20.30.40"']],
    [{ type: 'string', pattern: 'a', maxLength: 2 }, ['"a"', '"éa"', '"a\\n"'], ['"b"', '"bba"']],
    [{ type: 'string', maxLength: 2 }, ['""', '"ab"', '"😀😀"', '"\\"\\\\"'], ['"abc"', '"\\n\\n\\n"', '"\\ud83d\\ude00"']],
  ],
  pattern: [
    [{ type: 'string', pattern: '^a+$' }, ['"a"', '"aaa"'], ['"ab"', '""']],
    [{ type: 'string', pattern: 'a+' }, ['"a"', '"baab"', '"\\na"'], ['"b"']],
    [{ type: 'string', pattern: '^["\\\\]$' }, ['"\\""', '"\\\\"'], ['"""', '"a"']],
    [{ type: 'string', pattern: '^a|b$' }, ['"ax"', '"xb"'], ['"xax"']],
  ],
  multipleOf: [
    [{ type: 'integer', multipleOf: 7 }, [0, 7, -14, 7000007], [1, 8, -13]],
    [{ type: 'number', multipleOf: 0.25, minimum: 0 }, [0, 1.5, '2.250', 1000.75], [0.1, -0.25, 1.3]],
    [{ type: 'integer', multipleOf: 1000, minimum: 500, maximum: 5000 }, [1000, 5000], [0, 6000, 1500]],
    [{ type: 'number', multipleOf: 60 }, [60, 120, '180.0'], [90, '60.5', 100]],
    [{ type: 'integer', allOf: [{ multipleOf: 2 }, { multipleOf: 3 }] }, [6, 12], [2, 3, 9]],
  ],
  format: [
    [{ type: 'string', format: 'date', pattern: '^2024' }, ['"2024-01-31"'], ['"2023-01-31"']],
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
    [
      {
        anyOf: [{ type: 'array', items: { $ref: '#/$defs/never' } }, { type: 'null' }],
        $defs: { never: { type: 'object', properties: { a: { $ref: '#/$defs/never' }, b: false }, required: ['b'] } },
      },
      [[], null],
      [[{}]],
    ],
    [{ type: 'integer', anyOf: [{ minimum: 3 }, { maximum: 0 }] }, [4, 0], [1, '"a"']],
    [{ anyOf: [{ $ref: '#/anyOf/1' }, { type: 'array', items: { $ref: '#' } }] }, [[], [[[]]]], [1]],
  ],
  oneOf: [
    [{ oneOf: [{ type: 'integer' }, { type: 'number', minimum: 5 }] }, [1, 5.5, -3], [7, 1.5]],
    [
      { type: 'object', properties: { a: integer, b: integer }, oneOf: [{ required: ['a'] }, { required: ['b'] }] },
      [{ a: 1 }, { b: 1 }],
      [{}, { a: 1, b: 1 }],
    ],
    [{ oneOf: [{ type: 'string' }, { required: ['a'] }] }, [{ a: 1 }], ['"x"', {}]],
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
  not: [
    [{ type: 'integer', not: { enum: [1, 2] } }, [0, 3, 11, -1], [1, 2]],
    [{ type: 'number', not: { type: 'integer' } }, [1.5, '0.10'], [1, '1.0', '-0.0']],
    [{ type: 'string', not: { pattern: '^ab' } }, ['"a"', '"b"', '""', '"aab"'], ['"ab"', '"abc"']],
    [{ type: 'string', not: { enum: ['no', 'é'] } }, ['"n"', '"nod"', '"e"'], ['"no"', '"é"']],
    [{ not: { type: ['object', 'array'] } }, [1, null, '"x"', true], [{}, []]],
    [
      { type: 'object', properties: { a: integer, b: integer }, not: { required: ['a', 'b'] } },
      [{}, { a: 1 }, { b: 1 }],
      [{ a: 1, b: 1 }],
    ],
    [
      { type: 'object', properties: { k: { enum: ['x', 'y'] } }, required: ['k'], not: { properties: { k: { const: 'x' } } } },
      [{ k: 'y' }],
      [{ k: 'x' }],
    ],
    [{ type: 'array', items: integer, not: { items: { minimum: 0 } } }, [[-1], [1, -2]], [[], [1]]],
    [{ type: 'boolean', not: { const: true } }, [false], [true]],
  ],
  if: [
    [
      {
        type: 'object',
        properties: { kind: { enum: ['card', 'cash'] }, number: { type: 'string', pattern: '^[0-9]{4}$' } },
        required: ['kind'],
        if: { properties: { kind: { const: 'card' } } },
        // biome-ignore lint/suspicious/noThenProperty: a keyword of JSON Schema
        then: { required: ['number'] },
      },
      [{ kind: 'card', number: '1234' }, { kind: 'cash' }, { kind: 'cash', number: '1234' }],
      [{ kind: 'card' }, { kind: 'card', number: '1' }],
    ],
  ],
  // biome-ignore lint/suspicious/noThenProperty: a keyword of JSON Schema
  then: [[{ type: 'integer', if: { minimum: 10 }, then: { multipleOf: 10 } }, [3, 9, 20], [11]]],
  else: [[{ type: 'integer', if: { minimum: 10 }, else: { maximum: 0 } }, [0, -4, 11], [3]]],
  $ref: [
    [{ $defs: { a: { $anchor: 'here', type: 'integer' } }, type: 'array', items: { $ref: '#here' } }, [[1]], [['a']]],
    [
      {
        $defs: {
          inner: {
            $id: 'http://localhost/inner',
            $defs: { x: { type: 'null' } },
            type: ['integer', 'null'],
            allOf: [{ $ref: '#/$defs/x' }],
          },
          x: integer,
        },
        anyOf: [{ $ref: '#/$defs/inner' }, { $ref: 'http://localhost/inner' }],
      },
      [null],
      [1],
    ],
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
