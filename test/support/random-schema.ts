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
const PATTERNS = ['^[a-z]{1,5}$', '^\\d{3}-\\d{4}$', '^(foo|bar|"quoted")$', '^[^x\\\\]{2,3}$', '^é?[A-F0-9]{2}$']
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
