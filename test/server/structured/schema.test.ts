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
  enum: [
    [{ enum: ['a', 'abc', 5, { b: [1] }], minLength: 2, maximum: 4 }, ['"abc"', '{"b":[1]}'], ['"a"', 5]],
    [{ enum: ['a', 1, null, { b: [1] }] }, ['"a"', 1, null, '{"b":[1]}', '{ "b": [ 1 ] }'], [2, '"b"']],
  ],
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
  patternProperties: [
    [
      { type: 'object', patternProperties: { '^n_': integer, '^s_[a-z]+$': { type: 'string' } } },
      [{}, { n_a: 1 }, { n_: 1, s_x: 'x', n_b: 2 }, '{"n_a":1,"n_a":2}'],
      [{ n_a: 'x' }, { s_: 'x' }, { x: 1 }, { s_x: 1 }, '{"\\u006e_":"x"}'],
    ],
    [
      {
        type: 'object',
        properties: { ab: { minimum: 3 } },
        patternProperties: { '^a': integer, b$: { type: 'number', maximum: 9 } },
        additionalProperties: { type: 'null' },
      },
      [{ ab: 4 }, { a: 100 }, { b: 1.5 }, { acb: 9 }, { x: null }],
      [{ ab: 2 }, { ab: 10 }, { ab: 4.5 }, { b: 10 }, { acb: 9.5 }, { acb: 10 }, { x: 1 }],
    ],
  ],
  propertyNames: [
    [
      { type: 'object', additionalProperties: integer, propertyNames: { pattern: '^[a-z]{2}$' } },
      [{}, { ab: 1, cd: 2 }],
      [{ a: 1 }, { AB: 1 }, { ab: 'x' }],
    ],
    [
      { type: 'object', additionalProperties: integer, propertyNames: { enum: ['x', 'y'] }, minProperties: 2 },
      [{ x: 1, y: 2 }],
      [{ x: 1 }, {}, { z: 1, x: 1, y: 1 }],
    ],
    [
      { type: 'object', additionalProperties: integer, propertyNames: { maxLength: 2, not: { const: 'no' } } },
      [{ a: 1, ny: 2 }],
      [{ no: 1 }, { abc: 1 }],
    ],
  ],
  minProperties: [
    [{ type: 'object', properties: { a: integer, b: integer }, minProperties: 1 }, [{ a: 1 }, { b: 1 }], [{}]],
    [
      { type: 'object', properties: { a: integer, b: integer, c: integer }, minProperties: 2, maxProperties: 2 },
      [
        { a: 1, b: 1 },
        { a: 1, c: 1 },
        { b: 1, c: 1 },
      ],
      [{}, { a: 1 }, { a: 1, b: 1, c: 1 }],
    ],
    [
      { type: 'object', required: ['a'], additionalProperties: integer, minProperties: 2 },
      [
        { a: 1, b: 1 },
        { a: 1, b: 1, c: 1 },
      ],
      [{ a: 1 }, '{"a":1,"a":1}'],
    ],
  ],
  maxProperties: [
    [{ type: 'object', maxProperties: 1 }, [{}, { a: 1 }], [{ a: 1, b: 1 }]],
    [
      {
        type: 'object',
        properties: { a: integer, b: integer },
        required: ['b'],
        additionalProperties: integer,
        maxProperties: 2,
      },
      [{ b: 1 }, { a: 1, b: 1 }, { b: 1, c: 1 }],
      [{ a: 1 }, { a: 1, b: 1, c: 1 }],
    ],
  ],
  dependentRequired: [
    [
      { type: 'object', properties: { a: integer, b: integer }, dependentRequired: { a: ['b'] } },
      [{}, { b: 1 }, { a: 1, b: 1 }],
      [{ a: 1 }],
    ],
  ],
  dependentSchemas: [
    [
      {
        type: 'object',
        properties: { a: integer, b: integer },
        dependentSchemas: { a: { properties: { b: { minimum: 5 } }, required: ['b'] } },
      },
      [{}, { b: 1 }, { a: 1, b: 5 }],
      [{ a: 1 }, { a: 1, b: 1 }],
    ],
  ],
  dependencies: [
    [
      { type: 'object', properties: { a: integer, b: integer, c: integer }, dependencies: { a: ['b'], b: { required: ['c'] } } },
      [{ c: 1 }, { a: 1, b: 1, c: 1 }],
      [{ a: 1 }, { b: 1 }],
    ],
  ],
  unevaluatedProperties: [
    [
      {
        type: 'object',
        allOf: [{ properties: { a: integer } }],
        properties: { b: integer },
        unevaluatedProperties: { type: 'string' },
      },
      [{ b: 2, a: 1 }, { b: 1, c: 'x' }, {}],
      [{ c: 1 }, { a: 'x' }],
    ],
    [
      { type: 'object', allOf: [{ properties: { a: integer }, unevaluatedProperties: false }], properties: { b: integer } },
      [{ a: 1 }],
      [{ b: 1 }],
    ],
  ],
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
  uniqueItems: [
    [
      { type: 'array', items: { enum: ['a', 'b', 1] }, uniqueItems: true },
      [[], ['a'], ['b', 'a'], [1, 'b', 'a']],
      [
        ['a', 'a'],
        ['a', 'b', 'a'],
      ],
    ],
    [
      {
        type: 'array',
        prefixItems: [{ type: 'boolean' }, { type: ['boolean', 'null'] }],
        items: false,
        uniqueItems: true,
        minItems: 2,
      },
      [
        [true, false],
        [true, null],
      ],
      [[true, true], [true]],
    ],
    [
      { type: 'array', items: { type: 'integer', minimum: 1, maximum: 3 }, uniqueItems: true, minItems: 2, maxItems: 2 },
      [
        [1, 3],
        [2, 1],
      ],
      [[1, 1], [1], [1, 2, 3]],
    ],
    [{ type: 'array', items: { type: 'string' }, uniqueItems: true, maxItems: 1 }, [[], ['a']], [['a', 'b']]],
  ],
  contains: [
    [{ type: 'array', items: integer, contains: { minimum: 5 } }, [[5], [1, 7], [7, 1, 2]], [[], [1, 2]]],
    [
      { type: 'array', contains: { const: 'x' }, prefixItems: [integer] },
      [
        [1, 'x'],
        [1, null, 'x', 2],
      ],
      [['x'], [1]],
    ],
  ],
  minContains: [
    [
      { type: 'array', items: integer, contains: { minimum: 5 }, minContains: 2 },
      [
        [5, 6],
        [5, 1, 6],
      ],
      [[5], [1, 1]],
    ],
  ],
  maxContains: [
    [
      { type: 'array', items: integer, contains: { minimum: 5 }, maxContains: 1, maxItems: 3 },
      [[5], [1, 7, 2]],
      [[5, 6], [], [1, 1, 1, 7]],
    ],
  ],
  unevaluatedItems: [
    [{ type: 'array', prefixItems: [integer], unevaluatedItems: { type: 'string' } }, [[1], [1, 'a', 'b']], [[1, 1], ['a']]],
  ],
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
