/** What a tool's schema says of a parameter, whatever schema a client sends. */
import t from 'tap'
import { typesOf } from '../../../../server/openai/message/schema-types.ts'

const typesBy = (reference: string, name: string) =>
  [...typesOf({ properties: { a: { $ref: reference } }, $defs: { [name]: { type: ['integer', 'null'] } } }, 'a')].sort()

t.test('references are followed, long ones are not', async (t) => {
  t.same(typesBy('#/$defs/b', 'b'), ['integer', 'null'])
  t.same(typesBy('#/$defs/b~1c~0', 'b/c~'), ['integer', 'null'])
  t.same(typesBy('#/$defs/x/y', 'x'), [])
  const long = 'x'.repeat(2000)
  t.same(typesBy(`#/$defs/${long}`, long), [])
  t.same([...typesOf({ properties: { a: { $ref: '#/properties/a' } } }, 'a')], [], 'one that leads to itself ends')
})

t.test('looking them up costs little, whatever stands there', async (t) => {
  const reference = `#/${'/'.repeat(200_000)}`
  const parameters = { properties: { a: { anyOf: Array.from({ length: 64 }, () => ({ $ref: reference })) } } }
  const from = performance.now()
  typesOf(parameters, 'a')
  const took = performance.now() - from
  t.ok(took < 100, `${took} ms`)
})
