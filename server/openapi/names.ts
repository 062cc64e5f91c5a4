/** Schemas with a title become components of the document, which the places refer to. */
import type { Schema } from './describe.ts'

interface Titled extends Schema {
  title: string
}

const isTitled = (value: object): value is Titled => 'title' in value && typeof value.title === 'string'

/** Where a title is somebody's own. */
const VALUES = ['info', 'example', 'examples', 'default', 'const', 'enum']

/** `named`: components that are there although nothing refers to them by its title. Throws Error where two schemas have one title. */
export function withNamesApart({ named, ...document }: { components?: Schema; named: readonly Schema[] } & Schema): object {
  const found = new Map<string, string>()
  const schemas: Record<string, unknown> = {}
  const apart = (value: unknown): unknown => {
    if (typeof value !== 'object' || value === null) return value
    if (Array.isArray(value)) return value.map(apart)
    if (!isTitled(value))
      return Object.fromEntries(Object.entries(value).map(([key, held]) => [key, VALUES.includes(key) ? held : apart(held)]))
    const { title, ...schema } = value
    const own = JSON.stringify(schema)
    const known = found.get(title)
    if (known === undefined) {
      found.set(title, own)
      schemas[title] = apart(schema)
    } else if (known !== own) throw new Error(`two schemas have the title ${title}`)
    return { $ref: `#/components/schemas/${title}` }
  }
  named.map(apart)
  const whole = apart(document) as { components?: Schema }
  return { ...whole, components: { ...whole.components, schemas } }
}
