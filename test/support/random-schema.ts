/** Random JSON schemas of what is supported, small enough that a model which writes at random comes to an end. */

/** Mulberry32. */
export function seeded(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
}

type Schema = Record<string, unknown>

const FORMATS = ['date', 'time', 'date-time', 'email', 'hostname', 'ipv4', 'ipv6', 'uuid', 'duration', 'uri']
/** Of names that are not listed, and what may be there. */
const NAME_PATTERNS = ['^x_[a-z]{1,3}$', '^[0-9]{1,2}$', '_id$', '^é']
const PATTERNS = [
  '^(?=.*\\d)[a-z\\d]{2,4}$',
  '^\\p{Lu}\\p{Ll}{0,3}$',
  '^[α-ω一-龥]{1,3}$',
  '^(?!no$)[a-z]{2}$',
  '^[a-z]{1,5}$',
  '^\\d{3}-\\d{4}$',
  '^(foo|bar|"quoted")$',
  '^[^x\\\\]{2,3}$',
  '^é?[A-F0-9]{2}$',
]
const NAMES = ['name', 'age', 'a', 'b"c', 'tags', 'é', 'is valid', 'x\\y', 'aa', '']

export class RandomSchemas {
  private readonly random: () => number

  constructor(seed: number) {
    this.random = seeded(seed)
  }

  /** Of an object at the top, as requests bring them. */
  next(): Schema {
    const schema = this.object(3)
    if (this.random() < 0.3) {
      const properties = schema.properties as Schema
      return {
        ...schema,
        $defs: { part: this.object(1) },
        properties: { ...properties, ref: { $ref: '#/$defs/part', description: 'a part' } },
      }
    }
    return schema
  }

  private below(n: number): number {
    return Math.floor(this.random() * n)
  }

  private one<T>(list: readonly T[]): T {
    return list[this.below(list.length)]
  }

  private any(depth: number): Schema {
    const kinds = [
      () => this.string(),
      () => this.string(),
      () => this.number(),
      () => this.number(),
      () => ({ type: 'boolean' }),
      () => ({ type: 'null', title: 'nothing' }),
      () => ({ enum: [this.one(NAMES), this.below(100), null, { k: [1.5, 'é'] }].slice(this.below(3)) }),
      () => ({ const: this.one<unknown>([0, 'x"y', false, [], {}]) }),
      () => ({ type: [this.one(['string', 'integer']), 'null'], ...(this.random() < 0.5 && { maxLength: 4, minimum: 2 }) }),
    ]
    const nested = [
      () => this.object(depth - 1),
      () => this.array(depth - 1),
      () => ({ anyOf: [this.any(depth - 1), this.any(depth - 1)] }),
      () => ({ oneOf: [this.string(), { type: 'integer' }] }),
      () => this.distinct(),
      () => this.containing(depth - 1),
      () => this.negated(),
      () => this.dictionary(depth - 1),
      () => this.conditional(),
      () => ({ allOf: [{ type: 'integer', minimum: this.below(5) }, { maximum: 5 + this.below(50) }] }),
    ]
    return this.one(depth > 0 ? [...kinds, ...nested, ...nested] : kinds)()
  }

  private string(): Schema {
    const least = this.below(3)
    return this.one<() => Schema>([
      () => ({ type: 'string', maxLength: 1 + this.below(8) }),
      () => ({ type: 'string', minLength: least, maxLength: least + this.below(4) }),
      () => ({ type: 'string', pattern: this.one(PATTERNS) }),
      () => ({ type: 'string', format: this.one(FORMATS) }),
      () => ({
        type: 'string',
        pattern: this.one(['^[a-z]*$', '[A-F]', '^(ab|c)+$']),
        minLength: least,
        maxLength: least + 1 + this.below(4),
      }),
    ])()
  }

  private number(): Schema {
    const low = this.below(200) - 100
    const high = low + 1 + this.below(1000)
    const quarter = () => this.below(4) / 4
    return this.one<() => Schema>([
      () => ({ type: 'integer' }),
      () => ({ type: 'integer', minimum: low, maximum: high }),
      () => ({ type: 'integer', exclusiveMinimum: low, exclusiveMaximum: high + 2 }),
      () => ({ type: 'integer', minimum: low }),
      () => ({ type: 'number' }),
      () => ({ type: 'integer', multipleOf: this.one([2, 5, 7, 10, 60, 100, 250]), minimum: low, maximum: high + 250 }),
      // Steps that doubles have exactly: a validator divides.
      () => ({ type: 'number', multipleOf: this.one([0.5, 0.25, 1.5, 3]), minimum: low, maximum: high }),
      () => ({ type: 'number', minimum: low + quarter(), maximum: high + quarter() }),
      () => ({ type: 'number', exclusiveMinimum: low + quarter(), exclusiveMaximum: high + quarter() }),
      () => ({ type: 'number', maximum: low + quarter() }),
    ])()
  }

  private array(depth: number): Schema {
    const least = this.below(3)
    const items = this.any(depth)
    return this.one<() => Schema>([
      () => ({ type: 'array', items, maxItems: 1 + this.below(3) }),
      () => ({ type: 'array', items, minItems: least, maxItems: least + this.below(3) }),
      () => ({ type: 'array', prefixItems: [items, this.any(0)], minItems: this.below(3), items: false }),
    ])()
  }

  private distinct(): Schema {
    const items = this.one([
      { enum: ['a', 'b', 'c d', 1] },
      { type: 'boolean' },
      { type: 'integer', minimum: 1, maximum: 5 },
      { type: ['boolean', 'null'] },
    ])
    return { type: 'array', items, uniqueItems: true, ...this.one([{}, { minItems: 1 }, { minItems: 2, maxItems: 2 }]) }
  }

  private containing(depth: number): Schema {
    const contains = this.one<Schema>([
      { type: 'string', maxLength: 2 },
      { const: 7 },
      { type: 'integer', minimum: 5, maximum: 9 },
    ])
    const items = { anyOf: [this.any(depth), contains] }
    return { type: 'array', items, contains, maxItems: 4, ...this.one([{}, { minContains: 2 }, { minContains: 0 }]) }
  }

  private negated(): Schema {
    return this.one<() => Schema>([
      () => ({ type: 'integer', minimum: 0, maximum: 30, not: { enum: [this.below(10), 10 + this.below(9)] } }),
      () => ({ type: 'integer', maximum: 99, minimum: -5, not: { multipleOf: 2 } }),
      () => ({ type: 'string', maxLength: 3, not: { pattern: '[aeiou]' } }),
      () => ({ type: ['boolean', 'null', 'integer'], maximum: 9, minimum: 0, not: { const: this.one([true, null, 3]) } }),
      () => ({
        type: 'object',
        properties: { a: { type: 'boolean' }, b: { type: 'null' }, c: { type: 'boolean' } },
        additionalProperties: false,
        not: { required: ['a', 'b'] },
      }),
      () => ({
        oneOf: [
          { type: 'integer', maximum: 20, minimum: 0 },
          { type: 'number', minimum: 10, maximum: 30 },
        ],
      }),
    ])()
  }

  private dictionary(depth: number): Schema {
    const pattern = this.one(NAME_PATTERNS)
    return this.one<() => Schema>([
      () => ({
        type: 'object',
        patternProperties: { [pattern]: this.any(depth) },
        additionalProperties: false,
        maxProperties: 2,
      }),
      () => ({
        type: 'object',
        properties: { x_id: { type: 'integer' } },
        patternProperties: { '^x_[a-z]{1,3}$': { minimum: 3 }, _id$: { type: 'number', maximum: 999, minimum: -9 } },
        maxProperties: 2,
      }),
      () => ({ type: 'object', additionalProperties: this.any(0), propertyNames: { pattern: '^[a-z]{1,2}$' }, maxProperties: 2 }),
      () => ({ type: 'object', additionalProperties: this.any(0), propertyNames: { enum: NAMES.slice(0, 4) }, minProperties: 2 }),
      () => ({
        type: 'object',
        properties: { a: this.any(0), b: this.any(0), c: this.any(0) },
        minProperties: 2,
        maxProperties: 2,
        additionalProperties: false,
      }),
    ])()
  }

  private conditional(): Schema {
    const properties = {
      kind: { enum: ['x', 'y'] },
      size: { type: 'integer', minimum: 0, maximum: 20 },
      unit: { enum: ['m', 's'] },
    }
    const closed = { type: 'object', properties, additionalProperties: false }
    return this.one<Schema>([
      {
        ...closed,
        required: ['kind'],
        if: { properties: { kind: { const: 'x' } } },
        // biome-ignore lint/suspicious/noThenProperty: a keyword of JSON Schema
        then: { required: ['size'] },
        else: { properties: { size: false } },
      },
      { ...closed, dependentRequired: { size: ['unit'], unit: ['size'] } },
      { ...closed, dependentSchemas: { unit: { properties: { size: { multipleOf: 5 } }, required: ['size'] } } },
      { ...closed, oneOf: [{ required: ['size'] }, { required: ['unit'] }] },
    ])
  }

  private object(depth: number): Schema {
    const names = NAMES.filter(() => this.random() < 0.35)
    const required = names.filter(() => this.random() < 0.6)
    return {
      type: 'object',
      properties: Object.fromEntries(names.map((name) => [name, this.any(depth)])),
      ...(this.random() < 0.8 && { required }),
      ...this.one([
        {},
        { additionalProperties: false },
        { additionalProperties: { type: 'boolean' }, maxProperties: names.length + 2 },
      ]),
    }
  }
}
