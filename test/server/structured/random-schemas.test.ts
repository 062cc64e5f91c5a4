/** Random JSON schemas on the demo model, at a temperature that writes garbage: every answer that ends is valid by its schema. LORIKEET_SCHEMAS=N begins at another seed. */
import Ajv from 'ajv/dist/2020.js'
import addFormats from 'ajv-formats'
import t from 'tap'
import { RandomSchemas } from '../../support/random-schema.ts'
import { demoModel, readJsonLines } from '../../support/repo.ts'
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

t.test('the json adapter: every answer is valid by the schema of what it was taught', async (t) => {
  const { post } = await startServed(t, { pool: '64MiB', 'max-sequences': 16 })
  const schema = {
    type: 'object',
    properties: Object.fromEntries(['hero', 'object', 'place', 'mood'].map((name) => [name, { type: 'string', maxLength: 24 }])),
    required: ['hero', 'object', 'place', 'mood'],
    additionalProperties: false,
  }
  const rows = readJsonLines<{ model: string; messages: object[] }>(demoModel('golden.jsonl')).filter(
    ({ model }) => model === 'json',
  )
  t.ok(rows.length >= 20)
  const valid = async (format: object) => {
    const answers = await Promise.all(
      rows.map(({ messages }, seed) =>
        post(CHAT, { model: 'json', messages, max_tokens: 200, temperature: 1.3, seed, ...format }),
      ),
    )
    return answers.filter(({ body }) => {
      try {
        return ajv.validate(schema, JSON.parse(body.choices[0].message.content))
      } catch {
        return false
      }
    }).length
  }
  const free = await valid({})
  const held = await valid(ofSchema(schema))
  t.comment(`${free} of ${rows.length} valid by themselves at this temperature, ${held} held to the schema`)
  t.equal(held, rows.length)
  t.ok(free < rows.length, 'by themselves they are not')
})
