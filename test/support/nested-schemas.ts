/** Schemas of objects and arrays, by keyword, with values that answers may be and such that they may not (test/server/structured/schema.test.ts). Texts stand for themselves. */

/** Schemas, values that their grammars take, and such that they do not. */
export type Cases = Record<string, [schema: object, yes: unknown[], no: unknown[]][]>

const integer = { type: 'integer' }

export const NESTED: Cases = {
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
}
