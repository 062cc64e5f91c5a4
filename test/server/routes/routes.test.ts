import type { FastifyInstance } from 'fastify'
import t from 'tap'
import { buildApp } from '../../../server/app.ts'
import { Readiness } from '../../../server/readiness.ts'
import type { Serving } from '../../../server/types.ts'
import { VERSION } from '../../../server/version.ts'
import { utilityServing } from './serving.ts'

async function appOf(
  t: { teardown(handler: () => unknown): unknown },
  overrides: Partial<Serving> = {},
): Promise<FastifyInstance> {
  const app = await buildApp(utilityServing(overrides))
  t.teardown(() => app.close())
  return app
}

const pirate = {
  id: 'pirate',
  object: 'model',
  created: 20,
  owned_by: 'lorikeet',
  root: '/adapters/pirate',
  parent: 'demo',
  max_model_len: 1024,
  permission: [],
  digest: 'ab12',
  method: 'LORA',
}

t.test('models', async (t) => {
  const app = await appOf(t)
  const get = (id: string) => app.inject(`/v1/models/${id}`)

  t.test('the list holds the base and what can be asked for', async (t) => {
    const { object, data } = (await app.inject('/v1/models')).json()
    t.equal(object, 'list')
    t.same(
      data.map(({ id, root, parent }: Record<string, unknown>) => [id, root, parent]),
      [
        ['demo', '/models/demo', null],
        ['pirate', '/adapters/pirate', 'demo'],
        ['team/pirate v2', '/adapters/team', 'demo'],
      ],
    )
  })

  t.test('an adapter that comes or goes later is on the page, or off it', async (t) => {
    const serving = utilityServing()
    const all = serving.adapters.list()
    let now = all.slice(0, 1)
    const changing = await appOf(t, { adapters: { ...serving.adapters, list: () => now } })
    const ids = async () => (await changing.inject('/v1/models')).json().data.map(({ id }: { id: string }) => id)
    t.same(await ids(), ['demo', 'pirate'])
    t.same(await ids(), ['demo', 'pirate'])
    now = all.slice(0, 2)
    t.same(await ids(), ['demo', 'pirate', 'team/pirate v2'])
    now = []
    t.same(await ids(), ['demo'])
  })

  t.test('one by its id', async (t) => {
    t.same((await get('pirate')).json(), pirate)
    t.equal((await get('demo')).json().parent, null)
    t.same((await get('demo:pirate')).json(), pirate, 'in the form that requests may use')
    t.equal((await get('team%2Fpirate%20v2')).json().id, 'team/pirate v2', 'as the openai packages encode it')
    t.equal((await get('team/pirate%20v2')).json().id, 'team/pirate v2')
  })

  t.test('an unknown one is 404 with the nearest names, a refused one 400 with the reason', async (t) => {
    const unknown = await get('pirat')
    t.equal(unknown.statusCode, 404)
    t.match(unknown.json().error, {
      type: 'not_found_error',
      code: 'model_not_found',
      param: 'model',
      message: /`pirat` does not exist.*`pirate`/,
    })
    const refused = await get('broken')
    t.equal(refused.statusCode, 400)
    t.match(refused.json().error, { code: 'adapter_refused', message: /adapter_model\.safetensors/ })
  })
})

t.test('tokenize and detokenize', async (t) => {
  const app = await appOf(t)
  const post = async (url: string, payload: object) => {
    const response = await app.inject({ method: 'POST', url, payload })
    return { status: response.statusCode, body: response.json() }
  }

  t.test('a prompt, with special tokens unless that is declined', async (t) => {
    const { body } = await post('/tokenize', { model: 'pirate', prompt: 'a fox', return_token_strs: true })
    t.equal(body.token_strs[0], '<|bos|>')
    t.equal(body.count, body.tokens.length)
    t.equal(body.max_model_len, 1024)
    const plain = await post('/tokenize', { prompt: 'a fox', add_special_tokens: false })
    t.same(plain.body.tokens, body.tokens.slice(1))
    t.equal(plain.body.token_strs, null)
  })

  t.test('messages, as the chat template renders them', async (t) => {
    const messages = [{ role: 'user', content: 'hi' }]
    const { body } = await post('/tokenize', { messages })
    const whole = '<|bos|><|user|>\nhi<|end|>\n<|assistant|>\n'
    t.equal((await post('/detokenize', { tokens: body.tokens })).body.prompt, whole)
    const open = await post('/tokenize', { messages, add_generation_prompt: false })
    t.equal((await post('/detokenize', { tokens: open.body.tokens })).body.prompt, whole.replace('<|assistant|>\n', ''))
  })

  t.test('there and back', async (t) => {
    const prompt = 'Él dijo: 🙂 <|end|>\n'
    const { body } = await post('/tokenize', { prompt, add_special_tokens: false })
    t.equal((await post('/detokenize', { tokens: body.tokens })).body.prompt, prompt)
    t.equal((await post('/detokenize', { tokens: [] })).body.prompt, '')
    t.equal((await post('/detokenize', { tokens: [1539] })).body.prompt, '', 'an id that only the padded model has')
  })

  t.test('what is wrong is told', async (t) => {
    const wrong: [string, object, number, RegExp][] = [
      ['/tokenize', {}, 400, /either prompt or messages/],
      ['/tokenize', { prompt: 'a', messages: [{ role: 'user', content: 'b' }] }, 400, /either prompt or messages/],
      ['/tokenize', { prompt: 4 }, 400, /prompt must be string/],
      ['/tokenize', { prompt: 'a', add_special_token: true }, 400, /add_special_token\. Did you mean add_special_tokens/],
      ['/tokenize', { prompt: 'a', model: 'pirat' }, 404, /does not exist/],
      ['/tokenize', { prompt: ' fox'.repeat(5000) }, 400, /20000 characters are more than any 1024 tokens hold/],
      ['/detokenize', {}, 400, /tokens/],
      ['/detokenize', { tokens: [1.5] }, 400, /tokens/],
      ['/detokenize', { tokens: [-1] }, 400, /tokens/],
      ['/detokenize', { tokens: [1540] }, 400, /1540 is not a token id of this model \(0 to 1539\)/],
    ]
    for (const [url, payload, status, message] of wrong) {
      const answer = await post(url, payload)
      t.equal(answer.status, status, JSON.stringify(payload))
      t.match(answer.body.error, { message }, JSON.stringify(payload))
    }
  })
})

t.test('operations', async (t) => {
  const app = await appOf(t)

  t.test('health and ping are 200 and empty', async (t) => {
    for (const request of [{ url: '/health' }, { url: '/ping' }, { url: '/ping', method: 'POST' as const }]) {
      const response = await app.inject(request)
      t.equal(response.statusCode, 200)
      t.equal(response.body, '')
    }
  })

  t.test('they are 503 after the engine failed or while it hangs, and say why', async (t) => {
    const failed = await appOf(t, { unhealthy: () => 'a step hangs' })
    for (const url of ['/health', '/ping']) {
      const response = await failed.inject(url)
      t.equal(response.statusCode, 503)
      t.match(response.json().error, { code: 'engine_unavailable', message: /a step hangs/ })
    }
  })

  t.test('ready is 200 and empty, and 503 with the reason where nothing should be sent here', async (t) => {
    const response = await app.inject('/ready')
    t.same([response.statusCode, response.body], [200, ''])
    const draining = new Readiness()
    draining.drain()
    const reasons = {
      engine_unavailable: { unhealthy: () => 'a step hangs' },
      pinned_adapters_missing: { readiness: new Readiness(() => ({ count: 3, refused: 0 })) },
      server_draining: { readiness: draining },
    }
    for (const [code, overrides] of Object.entries(reasons)) {
      const other = await appOf(t, overrides)
      const { statusCode, headers, ...answer } = await other.inject('/ready')
      t.equal(statusCode, 503)
      t.equal(String(headers['retry-after']), '1')
      t.match(answer.json().error, { code, type: 'service_unavailable_error', param: null })
      t.equal((await other.inject('/health')).statusCode, code === 'engine_unavailable' ? 503 : 200)
    }
  })

  t.test('version, load and what this is', async (t) => {
    t.same((await app.inject('/version')).json(), { version: VERSION })
    t.same((await app.inject('/load')).json(), { server_load: 5 })
    t.same((await app.inject('/')).json(), { name: 'lorikeet', version: VERSION, model: 'demo', adapters: 2, docs: '/docs' })
  })

  t.test('metrics as Prometheus reads them', async (t) => {
    const response = await app.inject('/metrics')
    t.match(response.headers['content-type'], /^text\/plain; version=0\.0\.4/)
    t.match(response.body, 'vllm:num_requests_waiting{model_name="demo",engine="0"} 3')
  })

  t.test('the API document describes every route', async (t) => {
    const { paths } = (await app.inject('/docs/json')).json()
    for (const route of ['/v1/models', '/tokenize', '/detokenize', '/health', '/version', '/load', '/metrics', '/v1/completions'])
      t.ok(paths[route], route)
  })
})
