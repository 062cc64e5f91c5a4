/** Where references of a schema lead: places, anchors and schemas with an $id within it. Nothing is ever fetched. */
import { ConstraintError } from '../ebnf.ts'
import { type Schema, shown } from './keywords.ts'

/** Keywords that hold a schema, a list of schemas, or schemas by name. */
const ONE = ['items', 'additionalItems', 'additionalProperties', 'not', 'if', 'then', 'else', 'contains', 'propertyNames']
const MORE = ['unevaluatedProperties', 'unevaluatedItems', 'contentSchema', 'allOf', 'anyOf', 'oneOf', 'prefixItems', 'items']
const NAMED = ['properties', 'patternProperties', '$defs', 'definitions', 'dependentSchemas', 'dependencies']

const isObject = (value: unknown): value is Schema => typeof value === 'object' && value !== null && !Array.isArray(value)

function children(schema: Schema): unknown[] {
  return [
    ...[...ONE, ...MORE].flatMap((keyword) => schema[keyword] ?? []),
    ...NAMED.flatMap((keyword) => (isObject(schema[keyword]) ? Object.values(schema[keyword]) : [])),
  ]
}

/** What a whole schema is called where it does not say. */
const HERE = 'schema://here/'

export interface Found {
  schema: unknown
  /** Its place from the whole's beginning on, if it was named by that. */
  at?: string
}

export class References {
  private readonly bases = new Map<object, string>()
  private readonly resources = new Map<string, unknown>()
  private readonly anchors = new Map<string, unknown>()
  private readonly root: unknown
  private readonly rootName: string
  /** $ref stands alone, as it did until draft 7: readers differ in what they make of keywords beside it. */
  readonly alone: boolean

  constructor(root: unknown) {
    this.root = root
    // Where $ref stands alone, as it did until draft 7, an $id beside it says nothing.
    const alone = isObject(root) && /draft-0[3-7]/.test(String(root.$schema))
    this.alone = alone
    const named = isObject(root) && typeof root.$id === 'string' && !(alone && root.$ref !== undefined)
    this.rootName = (named && resolved(String((root as Schema).$id), HERE)?.split('#')[0]) || HERE
    this.resources.set(this.rootName, root)
    const open: [schema: unknown, base: string][] = [[root, this.rootName]]
    for (let one = open.pop(); one; one = open.pop()) {
      const [schema, outer] = one
      if (!isObject(schema) || this.bases.has(schema)) continue
      const { $id, $anchor, $dynamicAnchor, $ref } = schema
      let base = outer
      if (typeof $id === 'string' && !(alone && $ref !== undefined)) {
        const whole = resolved($id, outer)
        if ($id.startsWith('#')) this.anchors.set(whole ?? '', schema)
        else if (whole) {
          base = whole.split('#')[0]
          this.resources.set(base, schema)
        }
      }
      for (const anchor of [$anchor, $dynamicAnchor])
        if (typeof anchor === 'string') this.anchors.set(`${base}#${anchor}`, schema)
      this.bases.set(schema, base)
      for (const child of children(schema)) open.push([child, base])
    }
  }

  /** What `$ref` of a schema names. Throws ConstraintError. */
  find(from: object, $ref: unknown): Found {
    const whole = typeof $ref === 'string' ? resolved($ref, this.bases.get(from) ?? this.rootName) : undefined
    const [, name = '', fragment = ''] = /^([^#]*)#?(.*)$/s.exec(whole ?? '') ?? []
    const resource = this.resources.get(name)
    if (whole === undefined || resource === undefined)
      throw new ConstraintError('', `only references within the schema are supported (#/…), not ${shown($ref)}`)
    const missing = () => new ConstraintError('', `there is nothing at ${shown($ref)}`)
    if (fragment !== '' && !fragment.startsWith('/')) {
      const anchored = this.anchors.get(`${name}#${fragment}`)
      if (anchored === undefined) throw missing()
      return { schema: anchored }
    }
    let schema: unknown = resource
    const keys = fragment
      .split('/')
      .slice(1)
      .map((part) => decoded(part).replaceAll('~1', '/').replaceAll('~0', '~'))
    for (const key of keys) {
      if (typeof schema !== 'object' || schema === null || !Object.hasOwn(schema, key)) throw missing()
      schema = (schema as Schema)[key]
    }
    return { schema, at: resource === this.root ? keys.join('.') : undefined }
  }
}

function resolved(reference: string, base: string): string | undefined {
  try {
    return new URL(reference, base).href
  } catch {
    return undefined
  }
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part)
  } catch {
    return part
  }
}
