/** Random JSON schemas on the demo model, at a temperature that writes garbage: every answer that ends is valid by its schema. LORIKEET_SCHEMAS=N begins at another seed. */
import Ajv from 'ajv/dist/2020.js'
import addFormats from 'ajv-formats'
import t from 'tap'
import { RandomSchemas } from '../../support/random-schema.ts'
import { startServed } from '../../support/served.ts'

// biome-ignore lint/suspicious/noExplicitAny: CommonJS packages, whose types say default where there is none
const ajv = new (Ajv as any)({ strict: false, formats: { duration: true } })
// biome-ignore lint/suspicious/noExplicitAny: as above
;(addFormats as any)(ajv)

const CHAT = '/v1/chat/completions'
const messages = [{ role: 'user', content: 'Tell me something.' }]
const ofSchema = (schema: object) => ({ response_format: { type: 'json_schema', json_schema: { name: 'it', schema } } })

t.test('500 schemas', async (t) => {
  const { post, serving, idleComplaints } = await startServed(t, { pool: '64MiB', 'max-sequences': 16 })
  const schemas = new RandomSchemas(Number(process.env.LORIKEET_SCHEMAS ?? 1))
  let [finished, cut] = [0, 0]
  let begun = 0
  const ask = async () => {
    const seed = begun++
    const schema = schemas.next()
    const { status, body } = await post(CHAT, { messages, max_tokens: 500, temperature: 2, seed, ...ofSchema(schema) })
    if (status !== 200) return t.fail(`${JSON.stringify(schema)}: ${JSON.stringify(body)}`)
    const [{ finish_reason: why, message }] = body.choices
    if (why === 'length') {
      cut++
      return
    }
    finished++
    let value: unknown
    try {
      value = JSON.parse(message.content)
    } catch {
      return t.fail(`${JSON.stringify(schema)}: ${message.content} is no JSON`)
    }
    if (!ajv.validate(schema, value)) t.fail(`${JSON.stringify(schema)}: ${message.content}: ${ajv.errorsText()}`)
  }
  // As many at once as run at once.
  const clients = Array.from({ length: 16 }, async () => {
    while (begun < 500) await ask()
  })
  await Promise.all(clients)
  t.comment(`${finished} finished, ${cut} were cut; ${serving.engine.snapshot.counters.lateMasks} masks were late`)
  t.ok(finished > 350, `most end (${finished})`)
  t.same(await idleComplaints(), [])
})
