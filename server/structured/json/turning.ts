/** What turns schemas into ways of keeping to them, as its parts see it. */
import type { Facts, Item } from './facts.ts'
import type { References } from './references.ts'

/** Facts so far, and schemas that are to hold as well. */
export interface Way {
  facts: Facts
  items: readonly Item[]
}

export interface Turning {
  readonly references: References
  /** All ways to keep to all of these. Throws ConstraintError at a keyword that cannot be followed. */
  of(items: readonly Item[]): readonly Facts[]
  /** A schema of the same value as `item` is. */
  sameValue(item: Item, schema: unknown, at: string, negated?: boolean): Item
  /** What its $ref names, of the same value. */
  referred(item: Item, negated: boolean): Item
}
