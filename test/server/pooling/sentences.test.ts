/** Rows of tokens, Dense modules, named prompts, conversations and score templates against what transformers and torch compute (test/fixtures/pooling/make_sentences.py). */
import { cpSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import t, { type Test } from 'tap'
import { LOGITS_TOLERANCE } from '../../support/oracle.ts'
import { farthest, pooledFolder } from '../../support/pooled.ts'
import { readJson } from '../../support/repo.ts'
import { type Served, startServed } from '../../support/served.ts'

interface Row {
  each: number[][]
  dense: number[][]
  prompts: Record<string, number[][]>
  logits?: number[][]
}
type Golden = { ids: number[][]; texts: string[]; chat: number[]; chat_last: number[] } & Record<
  'base' | 'feature' | 'classes',
  Row
>
const golden = readJson<Golden>(pooledFolder('llama', 'sentences.json'))
const WIDTH = 32
const NAMES = ['base', 'feature', 'classes'] as const
const modelOf = (name: string) => (name === 'base' ? 'tiny' : name)

const adapters = pooledFolder('llama', 'adapters')
const start = (t: Test, model = pooledFolder('llama', 'base'), settings = {}) =>
  startServed(t, { model, adapters, 'served-model-name': 'tiny', ...settings })

/** The llama folder with the sentence-transformers files that were committed, and others in their place. */
function sentences(t: Test, others: Record<string, unknown> = {}): string {
  const folder = t.testdir({})
  const base = pooledFolder('llama', 'base')
  for (const name of readdirSync(base)) symlinkSync(path.join(base, name), path.join(folder, name))
  cpSync(pooledFolder('llama', 'sentence'), folder, { recursive: true })
  for (const [name, content] of Object.entries(others)) writeFileSync(path.join(folder, name), JSON.stringify(content))
  return folder
}

async function ok(served: Served, route: string, body: object) {
  const answer = await served.post(route, body)
  if (answer.status !== 200) throw new Error(JSON.stringify(answer.body))
  return answer.body
}

async function embedded(served: Served, body: object): Promise<number[][]> {
  const { data } = await ok(served, '/v1/embeddings', body)
  return data.map((one: { embedding: number[] }) => one.embedding)
}

t.test('a row for each token', async (t) => {
  const served = await start(t)
  const others = Array.from({ length: 4 }, (_, i) =>
    served.post('/v1/completions', { prompt: `the fox ${i}`, max_tokens: 30, ignore_eos: true }),
  )
  for (const name of NAMES) {
    const row = golden[name]
    const body = { model: modelOf(name), input: golden.ids, task: 'token_embed' }
    const { data, usage, object } = await ok(served, '/pooling', body)
    t.equal(object, 'list')
    t.equal(usage.prompt_tokens, golden.ids.flat().length)
    for (const [i, ids] of golden.ids.entries()) {
      t.match(data[i], { index: i, object: 'pooling' })
      t.equal(data[i].data.length, ids.length)
      t.ok(farthest(data[i].data.flat(), row.each[i]) <= LOGITS_TOLERANCE, `${name}, ${ids.length} tokens`)
    }
    const base64 = await ok(served, '/pooling', { ...body, encoding_format: 'base64' })
    const bytes = Buffer.from(base64.data[2].data, 'base64')
    const floats = Array.from({ length: bytes.length / 4 }, (_, i) => bytes.readFloatLE(4 * i))
    t.same(floats, data[2].data.flat(), 'base64 holds the same')
    const short = await ok(served, '/pooling', { ...body, use_activation: true, dimensions: 5 })
    for (const [i, vector] of short.data[2].data.entries()) {
      const kept = data[2].data[i].slice(0, 5)
      const length = Math.hypot(...kept)
      t.ok(
        farthest(
          vector,
          kept.map((x: number) => x / length),
        ) <= 1e-5,
        'cut, and of length 1',
      )
    }
  }
  const classified = { model: 'classes', input: golden.ids, task: 'token_classify' }
  const { data } = await ok(served, '/pooling', classified)
  for (const [i] of golden.ids.entries())
    t.ok(farthest(data[i].data.flat(), golden.classes.logits?.[i] ?? []) <= LOGITS_TOLERANCE, 'logits of each')
  const activated = await ok(served, '/pooling', { ...classified, use_activation: true })
  for (const probs of activated.data[2].data) t.ok(Math.abs(probs.reduce((a: number, b: number) => a + b) - 1) < 1e-5)
  for (const { status } of await Promise.all(others)) t.equal(status, 200)
  const refused = async (body: object, error: object) => {
    const { status, body: answer } = await served.post('/pooling', { input: 'a', ...body })
    t.match({ status, ...answer.error }, { status: 400, ...error })
  }
  await refused({ task: 'token_classify' }, { param: 'task', message: /no classifier/ })
  await refused({ task: 'token_embed', dimensions: WIDTH + 1 }, { param: 'dimensions', message: /32 elements/ })
  await refused({ model: 'classes', dimensions: 2 }, { param: 'dimensions', message: /logits of a classifier/ })
  await refused(
    { task: 'token_embed', input: Array(2048).fill(Array(300).fill(5)) },
    { param: 'input', message: /524288 in one request/ },
  )
  t.same(await served.idleComplaints(), [])
})

t.test('Dense modules, and prompts by name', async (t) => {
  const served = await start(t, sentences(t))
  for (const name of NAMES) {
    const row = golden[name]
    const model = modelOf(name)
    const vectors = await embedded(served, { model, input: golden.ids })
    for (const [i, vector] of vectors.entries()) t.ok(farthest(vector, row.dense[i]) <= LOGITS_TOLERANCE, `${name} ${i}`)
    for (const [prompt, wanted] of Object.entries(row.prompts)) {
      const found = await embedded(served, { model, input: golden.texts, prompt_name: prompt })
      for (const [i, vector] of found.entries())
        t.ok(farthest(vector, wanted[i]) <= LOGITS_TOLERANCE, `${name}, ${prompt}, ${golden.texts[i]}`)
    }
    const usual = await embedded(served, { model, input: golden.texts })
    t.ok(farthest(usual[0], row.prompts.query[0]) <= LOGITS_TOLERANCE, 'the default prompt')
    const bare = await ok(served, '/pooling', { model, input: golden.texts, task: 'embed', use_activation: true })
    t.ok(farthest(bare.data[0].data, row.prompts.passage[0]) <= LOGITS_TOLERANCE, '/pooling puts nothing before them')
  }
  const scored = await ok(served, '/score', { text_1: golden.texts[0], text_2: golden.texts })
  const { passage } = golden.base.prompts
  for (const [i, { score }] of scored.data.entries()) {
    const cosine = passage[0].reduce((sum, x, k) => sum + x * passage[i][k], 0)
    t.ok(Math.abs(score - cosine) <= 1e-4, 'scores are of the same vectors')
  }
  const refused = async (body: object, error: object) => {
    const { status, body: answer } = await served.post('/v1/embeddings', { input: 'a', ...body })
    t.match({ status, ...answer.error }, { status: 400, ...error })
  }
  await refused({ prompt_name: 'querry' }, { param: 'prompt_name', message: /querry; did you mean query\?/ })
  await refused({ prompt_name: 'query', input: [5, 6] }, { param: 'prompt_name', message: /token ids/ })
  await refused({ dimensions: 17 }, { param: 'dimensions', message: /<= 16/ })
  const none = await start(t)
  t.match(await none.post('/v1/embeddings', { input: 'a', prompt_name: 'query' }), {
    status: 400,
    body: { error: { param: 'prompt_name', message: /this model has no prompts/ } },
  })
})

t.test('files that cannot be served are refused by name', async (t) => {
  const dense = { in_features: 32, out_features: 24, bias: true, activation_function: 'torch.nn.modules.activation.Tanh' }
  const modules = readJson<{ path: string }[]>(pooledFolder('llama', 'sentence', 'modules.json'))
  for (const [file, content, message] of [
    [
      '2_Dense/config.json',
      { ...dense, activation_function: 'torch.nn.GELU' },
      /Dense in 2_Dense.*activation GELU is not served/,
    ],
    ['2_Dense/config.json', { ...dense, in_features: 33 }, /in_features is 33.*have 32/],
    ['2_Dense/config.json', { ...dense, out_features: 25 }, /linear\.weight has shape \[24,32\]/],
    ['2_Dense/config.json', { ...dense, module_input_name: 'token_embeddings' }, /module_input_name/],
    ['modules.json', modules.map((one) => ({ ...one, path: one.path.replace('2_D', '../2_D') })), /leads out of/],
    ['modules.json', modules.filter(({ path }) => path !== '1_Pooling'), /Dense before Pooling/],
    ['config_sentence_transformers.json', { prompts: {}, default_prompt_name: 'x' }, /default_prompt_name is x/],
  ] as const) {
    const served = await start(t, sentences(t, { [file]: content }))
    const answer = await served.post('/v1/embeddings', { input: 'a' })
    t.match(answer, { status: 400, body: { error: { code: 'unsupported_parameter', param: 'model', message } } })
    t.match(await served.post('/v1/completions', { prompt: 'a', max_tokens: 1 }), { status: 200 })
  }
  const without = { word_embedding_dimension: 32, pooling_mode_mean_tokens: true, include_prompt: false }
  const served = await start(t, sentences(t, { '1_Pooling/config.json': without }))
  t.match(await served.post('/v1/embeddings', { input: 'a' }), {
    status: 400,
    body: { error: { message: /include_prompt: false/ } },
  })
  t.match(await served.post('/v1/embeddings', { input: 'a', prompt_name: 'passage' }), { status: 200 })
})

t.test('a conversation is one input', async (t) => {
  const served = await start(t)
  const messages = [
    { role: 'system', content: 'Embed.' },
    { role: 'user', content: [{ type: 'text', text: 'a fox' }] },
  ]
  const [vector] = await embedded(served, { messages })
  t.ok(farthest(vector, golden.chat_last) <= LOGITS_TOLERANCE)
  const { usage } = await ok(served, '/v1/embeddings', { messages })
  t.equal(usage.prompt_tokens, golden.chat.length)
  const cut = await ok(served, '/pooling', { messages, task: 'token_embed', truncate_prompt_tokens: 3, truncation_side: 'left' })
  t.equal(cut.data[0].data.length, 3)
  const last = await ok(served, '/pooling', { input: golden.chat.slice(-3), task: 'token_embed' })
  t.same(cut.data, last.data, 'the last three tokens')
  const own = await ok(served, '/v1/embeddings', { messages, chat_template: '{{ messages[1].content }}' })
  const text = await ok(served, '/v1/embeddings', { input: 'a fox', add_special_tokens: false })
  t.same(own.data, text.data)
  t.match(await ok(served, '/classify', { model: 'classes', messages }), { data: [{ num_classes: 3 }] })
  for (const [body, param] of [
    [{ messages, input: 'a' }, 'input'],
    [{ input: 'a', chat_template: 'x' }, 'chat_template'],
    [{ messages, prompt_name: 'query' }, 'prompt_name'],
    [{ messages: [{ role: 'user', content: [{ type: 'image_url', image_url: {} }] }] }, 'messages.0.content.0.type'],
  ] as const)
    t.match(await served.post('/v1/embeddings', body), { status: 400, body: { error: { param } } })
  t.same(await served.idleComplaints(), [])
})

t.test("a reranker's template", async (t) => {
  const rows = readJson<{ query: string; document: string; instruction: string | null; score: number; logit: number }[]>(
    pooledFolder('qwen3-reranker', 'sentences.json'),
  )
  const model = pooledFolder('qwen3-reranker', 'base')
  const served = await startServed(t, { model, 'chat-template': pooledFolder('qwen3-reranker', 'score.jinja') })
  for (const [text_1, text_2] of [
    ['text_1', 'text_2'],
    ['queries', 'documents'],
    ['queries', 'items'],
    ['data_1', 'data_2'],
  ])
    for (const { query, document, instruction, score, logit } of rows) {
      const pair = { [text_1]: query, [text_2]: [document], ...(instruction !== null && { instruction }) }
      const { data } = await ok(served, '/score', pair)
      t.ok(Math.abs(data[0].score - score) <= LOGITS_TOLERANCE)
      const raw = await ok(served, '/score', { ...pair, use_activation: false })
      t.ok(Math.abs(raw.data[0].score - logit) <= LOGITS_TOLERANCE)
    }
  const given = rows.slice(3)
  const { results } = await ok(served, '/rerank', {
    query: given[0].query,
    documents: given.map(({ document }) => document),
    chat_template_kwargs: { instruction: given[0].instruction },
  })
  t.same(
    results.map(({ index }: { index: number }) => index),
    [0, 1, 2].sort((a, b) => given[b].score - given[a].score),
  )
  const whole = await ok(served, '/score', { text_1: 'what flew?', text_2: 'a fox and a crane and a fox' })
  const cut = await ok(served, '/score', { text_1: 'what flew?', text_2: 'a fox and a crane and a fox', max_tokens_per_doc: 2 })
  t.ok(cut.usage.prompt_tokens < whole.usage.prompt_tokens)
  const plain = await startServed(t, { model })
  t.match(await plain.post('/score', { text_1: 'a', text_2: 'b', instruction: 'x' }), {
    status: 400,
    body: { error: { param: 'instruction', message: /scores without one/ } },
  })
  for (const [body, param] of [
    [{ text_1: 'a' }, 'text_2'],
    [{ items: 'a' }, 'queries'],
    [{ text_1: 'a', text_2: 'b', queries: 'c' }, 'queries'],
    [{}, 'text_1'],
  ] as const)
    t.match(await plain.post('/score', body), { status: 400, body: { error: { param } } })
  t.same(await served.idleComplaints(), [])
})
