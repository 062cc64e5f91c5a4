/** The API document against the server that it describes: every operation asked in every way that it has, and every answer held to what is promised of it. */
import { cpSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import t, { type Test } from 'tap'
import { ApiDocument, type Operation } from '../../support/api-document.ts'
import { request } from '../../support/http.ts'
import { demoModel } from '../../support/repo.ts'
import { type Served, startServed } from '../../support/served.ts'

/** Bodies by operation that must be served: each way of answering that there is. */
const SERVED: Record<string, object[]> = {
  createCompletion: [
    { prompt: 'Once', max_tokens: 4, stream: true, stream_options: { include_usage: true, continuous_usage_stats: true } },
    {
      prompt: ['Once', 'A fox'],
      max_tokens: 3,
      n: 2,
      best_of: 3,
      logprobs: 2,
      echo: true,
      prompt_logprobs: 1,
      return_token_ids: true,
    },
    { prompt: 'Once', max_tokens: 3, logprobs: 1, echo: true, return_token_ids: true, prompt_logprobs: 0, stream: true },
    // What is complete and may not end: its ends follow each other.
    { prompt: 'Once', max_tokens: 12, ignore_eos: true, structured_outputs: { choice: ['a', 'b'] } },
    { prompt: [5, 6], max_tokens: 3, logprobs: 3, allowed_token_ids: [7], return_tokens_as_token_ids: true },
  ],
  createChatCompletion: [
    { messages: [{ role: 'user', content: 'Hi' }], max_tokens: 3, logprobs: true, top_logprobs: 2, n: 2, return_token_ids: true },
    {
      messages: [{ role: 'user', content: 'Hi' }],
      max_tokens: 3,
      logprobs: true,
      stream: true,
      prompt_logprobs: 1,
      return_token_ids: true,
    },
    { messages: [{ role: 'user', content: 'Hi' }], max_tokens: 40, tools: [TOOL()], tool_choice: 'required' },
    { messages: [{ role: 'user', content: 'Hi' }], max_tokens: 40, tools: [TOOL()], tool_choice: 'required', stream: true },
    { messages: [{ role: 'user', content: 'Hi' }], max_tokens: 3, stream: true, stream_options: { include_usage: true } },
  ],
  invoke: [
    { prompt: 'Once', max_tokens: 2, stream: true },
    { messages: [{ role: 'user', content: 'Hi' }], max_tokens: 2, stream: true },
  ],
  tokenize: [{ messages: [{ role: 'user', content: 'Hi' }], return_token_strs: true }],
  createEmbeddings: [{ input: [[5, 6], [7]], encoding_format: 'base64', dimensions: 4 }],
  pool: [{ input: ['a', 'b'], task: 'embed' }],
  createResponse: [
    { input: 'Hi', max_output_tokens: 3, stream: true, include: ['message.output_text.logprobs'], top_logprobs: 1 },
    { input: 'Hi', max_output_tokens: 40, tools: [{ type: 'function', ...TOOL().function }], tool_choice: 'required' },
    {
      input: 'Hi',
      max_output_tokens: 40,
      tools: [{ type: 'function', ...TOOL().function }],
      tool_choice: 'required',
      stream: true,
    },
    { input: 'Hi', max_output_tokens: 3, background: true },
    { input: 'Hi', max_output_tokens: 3, background: true, stream: true },
    { input: [{ role: 'user', content: 'Hi' }], max_output_tokens: 3, metadata: { a: 'b' }, text: { format: { type: 'text' } } },
  ],
  createMessage: [
    { messages: [{ role: 'user', content: 'Hi' }], max_tokens: 3, stream: true },
    ...[true, false].map((stream) => ({
      messages: [{ role: 'user', content: 'Hi' }],
      max_tokens: 40,
      tools: [{ name: 'look', input_schema: TOOL().function.parameters }],
      tool_choice: { type: 'any' },
      stream,
    })),
  ],
  generate: [
    {
      inputs: 'Once',
      parameters: { max_new_tokens: 3, details: true, decoder_input_details: true, top_n_tokens: 2, return_k_alternatives: 1 },
    },
    {
      inputs: 'Once',
      parameters: { max_new_tokens: 3, details: true, do_sample: true, best_of: 2, seed: 5, adapter_id: 'pirate' },
    },
  ],
  generateStream: [{ inputs: 'Once', parameters: { max_new_tokens: 3, top_n_tokens: 1, return_k_alternatives: 1 } }],
}

function TOOL() {
  const parameters = { type: 'object', properties: { x: { type: 'boolean' } }, required: ['x'], additionalProperties: false }
  return { type: 'function', function: { name: 'look', parameters } }
}

/** Operations whose example cannot be served here, with the status that says so: there is no classifier, and the adapter is there already. */
const REFUSED: Record<string, number> = { classify: 400, loadAdapter: 400 }

t.test('answers of every operation', async (t) => {
  const folder = mkdtempSync(path.join(tmpdir(), 'api-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  cpSync(demoModel('adapters'), folder, { recursive: true })
  const served = await startServed(t, {
    model: demoModel('base'),
    adapters: folder,
    'allow-adapter-management': true,
    'body-limit': '64KiB',
  })
  const document = await ApiDocument.of(served.url)
  const { operations } = document
  /** Asks, and holds the answer to the document. */
  const ask = async (t: Test, operation: Operation, at: string, init: Parameters<typeof request>[1] = {}) => {
    const answer = await request(served.url + at, { method: operation.method, ...init })
    t.equal(document.complaintOf(operation, answer), undefined, `${operation.id} ${at}: ${answer.status}`)
    return answer
  }
  const send = (t: Test, operation: Operation, body: unknown, at = operation.path, headers = {}) =>
    ask(t, operation, at, { body: JSON.stringify(body), headers })

  for (const operation of operations.filter(({ body }) => body))
    t.test(`${operation.id}: bodies`, async (t) => {
      const { id, body } = operation
      const at = operation.path.replace(/\{\w+\}/, 'pirate')
      for (const one of [...(body?.examples ?? []), ...(SERVED[id] ?? [])]) {
        t.equal(document.complaintOfBody(operation, one), undefined, 'the body is documented')
        const { status, text } = await send(t, operation, one, at)
        if (at === operation.path) t.equal(status, REFUSED[id] ?? 200, text.slice(0, 300))
      }
      const odd = { '\u0000 nobody knows': 1 }
      t.ok(document.complaintOfBody(operation, odd), 'unknown fields are not documented')
      const refusals = [
        ask(t, operation, at, { body: '{"' }),
        ask(t, operation, at, { body: '[]' }),
        ask(t, operation, at, { body: '<a/>', headers: { 'content-type': 'text/xml' } }),
        send(t, operation, odd, at),
        ask(t, operation, at, { body: `"${'x'.repeat(1 << 17)}"` }),
      ]
      t.same(
        (await Promise.all(refusals)).map(({ status }) => status).filter((status) => status < 400 || status >= 500),
        [],
      )
      if (operation.parameters.some(({ name }) => name === 'x-lora-adapter')) {
        const named = (adapter: string) => send(t, operation, body?.examples[0], at, { 'x-lora-adapter': adapter })
        t.equal((await named('nobody')).status, 404)
        t.equal((await named('pirate;digest="00000000"')).status, 412)
        t.equal((await named('?1')).status, 400)
        const { headers, status } = await named('pirate;w=0.5, json')
        const told = operation.answerHeaders.includes('x-lora-adapter') && status === 200
        t.equal(headers.get('x-lora-adapter'), told ? 'pirate;w=0.5, json' : null)
      }
    })

  t.test('what is there is looked at', async (t) => {
    for (const operation of operations.filter(({ method, path: at }) => method === 'GET' && !at.includes('{')))
      t.equal((await ask(t, operation, operation.path)).status, 200)
    const get = document.byId('getModel')
    for (const [id, status] of [
      ['base', 200],
      ['pirate', 200],
      ['base%3Apirate', 200],
      ['nobody', 404],
    ] as const)
      t.equal((await ask(t, get, `/v1/models/${id}`)).status, status)
    await ask(t, document.byId('postPing'), '/ping')
  })

  t.test('stored responses', async (t) => {
    const create = document.byId('createResponse')
    const made = async (fields: object) => (await send(t, create, { input: 'Hi', max_output_tokens: 200, ...fields })).json.id
    const id = await made({ background: true })
    const on = (operation: string, one: string, query = '') => {
      const found = document.byId(operation)
      return ask(t, found, found.path.replace('{id}', one) + query)
    }
    t.equal((await on('cancelResponse', id)).status, 200)
    t.equal((await on('getResponse', id)).status, 200)
    t.equal((await on('listInputItems', id, '?limit=1&order=asc')).status, 200)
    t.equal((await on('listInputItems', id, '?limit=0')).status, 400)
    t.equal((await on('cancelResponse', await made({}))).status, 400)
    t.equal((await on('deleteResponse', id)).status, 200)
    for (const gone of ['cancelResponse', 'getResponse', 'listInputItems', 'deleteResponse'])
      t.equal((await on(gone, id)).status, 404)
    t.equal((await send(t, create, { input: 'Hi', previous_response_id: id })).status, 400)
  })

  t.test('adapters come, go and change', async (t) => {
    const put = document.byId('putAdapter')
    const on = (operation: string, name: string, init = {}) => {
      const found = document.byId(operation)
      return ask(t, found, found.path.replace('{name}', name), init)
    }
    t.equal((await send(t, put, { name: 'pirate', limits: { max_requests: 5 } })).status, 200)
    t.equal((await send(t, put, { name: 'pirate', src: 'json', canary: 0.5 })).status, 200)
    t.equal((await on('getAdapter', 'pirate')).json.canary.share, 0.5)
    t.equal((await on('promoteAdapter', 'pirate', { body: '{"expected_digest":"00"}' })).status, 412)
    t.equal((await on('promoteAdapter', 'pirate')).status, 200)
    t.equal((await on('rollBackAdapter', 'pirate', { body: 'null' })).status, 200)
    t.equal((await on('rollBackAdapter', 'quiz')).status, 404)
    t.equal((await send(t, put, { name: 'new', src: 'no/such' })).status, 404)
    t.equal((await send(t, put, { name: 'new', src: '/etc' })).status, 403)
    t.equal((await on('deleteAdapter', 'pirate')).status, 200)
    t.equal((await on('deleteAdapter', 'pirate')).status, 404)
    t.equal((await on('getAdapter', 'pirate')).status, 404)
  })
})

t.test('who may not is told as documented', async (t) => {
  const base = { model: demoModel('base'), adapters: demoModel('adapters') }
  const keyed = await startServed(t, { ...base, 'api-key': 'acme=k1', 'metrics-key': 'm', 'rate-limit': 1000 })
  const document = await ApiDocument.of(keyed.url)
  for (const operation of document.operations) {
    const at = operation.path.replace(/\{\w+\}/, 'x')
    const answer = await request(keyed.url + at, { method: operation.method })
    t.equal(document.complaintOf(operation, answer), undefined, operation.id)
    const open = operation.tags.includes('operations') && !['getServer', 'getMetrics'].includes(operation.id)
    t.equal(answer.status, open ? 200 : 401, operation.id)
  }
})

t.test('what is full or called by another name is told as documented', async (t) => {
  const served = await startServed(t, { model: demoModel('base'), adapters: demoModel('adapters'), 'max-concurrent-requests': 1 })
  const document = await ApiDocument.of(served.url)
  const busy = new AbortController()
  const body = JSON.stringify({ prompt: 'Once', max_tokens: 900, ignore_eos: true, stream: true })
  const headers = { 'content-type': 'application/json' }
  const held = await fetch(`${served.url}/v1/completions`, { method: 'POST', headers, body, signal: busy.signal })
  for (const id of ['createCompletion', 'createMessage', 'generate', 'tokenize', 'createEmbeddings', 'getTokenizer']) {
    const operation = document.byId(id)
    const answer = await request(served.url + operation.path, {
      method: operation.method,
      ...(operation.body && { body: JSON.stringify(operation.body.examples[0]) }),
    })
    t.equal(answer.status, 429, id)
    t.equal(document.complaintOf(operation, answer), undefined, id)
  }
  busy.abort()
  await held.body?.cancel().catch(() => {})
})

t.test('the document itself', async (t) => {
  const served: Served = await startServed(t, { model: demoModel('base'), adapters: demoModel('adapters') })
  const { json } = await request(`${served.url}/openapi.json`)
  const document = new ApiDocument(json)
  const ids = document.operations.map(({ id }) => id)
  t.same([...new Set(ids)], ids, 'ids are unique')
  for (const { id, links, parameters, path: at } of document.operations) {
    const names = parameters.filter((one) => one.in === 'path').map(({ name }) => name)
    t.same(
      [...at.matchAll(/\{(\w+)\}/g)].map(([, name]) => name),
      names,
      `${id}: the path's parameters`,
    )
    for (const [name, link] of Object.entries(links)) t.ok(document.byId(link.operationId), `${id}: ${name}`)
  }
})
