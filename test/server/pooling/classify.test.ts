/** /classify, /score and /rerank: classifiers of adapters and of bases against transformers + PEFT, cosines where there is none. */
import { copyFileSync } from 'node:fs'
import path from 'node:path'
import t, { type Test } from 'tap'
import { LOGITS_TOLERANCE } from '../../support/oracle.ts'
import { farthest, type PooledRow, pooledFolder } from '../../support/pooled.ts'
import { readJson } from '../../support/repo.ts'
import { type Served, startServed } from '../../support/served.ts'

const goldenOf = (family: string) => readJson<Record<string, PooledRow[]>>(pooledFolder(family, 'golden.json'))

const start = (t: Test, family: string, settings = {}) =>
  startServed(t, {
    model: pooledFolder(family, 'base'),
    ...(family !== 'qwen3-reranker' && { adapters: pooledFolder(family, 'adapters') }),
    'served-model-name': 'tiny',
    ...settings,
  })

const softmax = (logits: readonly number[]) => {
  const powers = logits.map(Math.exp)
  const sum = powers.reduce((a, b) => a + b)
  return powers.map((power) => power / sum)
}
const sigmoid = (x: number) => 1 / (1 + Math.exp(-x))
const bestOf = (logits: readonly number[]) => logits.indexOf(Math.max(...logits))

async function idle(t: Test, served: Served): Promise<void> {
  t.same(await served.idleComplaints(), [])
}

for (const [family, adapter, names] of [
  ['llama', 'classes', undefined],
  ['qwen3', 'classes', undefined],
  ['gemma2', 'classes', undefined],
  ['llama-classifier', undefined, ['NEGATIVE', 'POSITIVE']],
  // It is trained in the place of the base's.
  ['llama-classifier', 'classes', ['NEGATIVE', 'POSITIVE']],
] as const)
  t.test(`/classify by ${adapter ?? 'the base'} of ${family}`, async (t) => {
    const served = await start(t, family)
    const rows = goldenOf(family)[adapter ?? 'base']
    const body = { model: adapter ?? 'tiny', input: rows.map(({ prompt }) => prompt) }
    const { status, body: answer, headers } = await served.post('/classify', body)
    t.equal(status, 200, JSON.stringify(answer))
    t.equal(headers.get('x-lora-adapter'), adapter ?? null)
    t.match(answer, { object: 'list', model: body.model, id: /^classify-/, usage: { prompt_tokens: 90, total_tokens: 90 } })
    const raw = await served.post('/classify', { ...body, use_activation: false })
    for (const [i, { logits = [] }] of rows.entries()) {
      const { probs, label, num_classes, index } = answer.data[i]
      t.ok(farthest(probs, softmax(logits)) <= LOGITS_TOLERANCE, `probabilities ${probs}`)
      t.ok(farthest(raw.body.data[i].probs, logits) <= LOGITS_TOLERANCE, 'logits')
      t.same([label, num_classes, index], [names?.[bestOf(logits)] ?? `LABEL_${bestOf(logits)}`, logits.length, i])
    }
    await idle(t, served)
  })

t.test('without a classifier, with several, and with one that scores nothing', async (t) => {
  // The same classifier on another adapter.
  const classes = pooledFolder('llama', 'adapters/classes')
  const config = { ...readJson<object>(path.join(classes, 'adapter_config.json')), lora_alpha: 4 }
  const again = t.testdir({ 'adapter_config.json': JSON.stringify(config) })
  copyFileSync(path.join(classes, 'adapter_model.safetensors'), path.join(again, 'adapter_model.safetensors'))
  const served = await start(t, 'llama', { adapter: [`again=${again}`] })
  const none = await served.post('/classify', { input: 'a', model: 'lora' })
  t.match(none, { status: 400, body: { error: { param: 'model', message: /`lora` has no classifier/ } } })
  const labels = await served.post('/score', { model: 'classes', text_1: 'a', text_2: 'b' })
  t.match(labels, { status: 400, body: { error: { param: 'model', message: /a classifier of 3 labels/ } } })
  const [row] = goldenOf('llama').classes
  const mixed = await served.post('/classify', { input: row.prompt }, { 'x-lora-adapter': 'classes, lora;w=0.5' })
  t.match(mixed, { status: 200, body: { data: [{ num_classes: 3 }] } }, 'one classifier in a mix answers')
  const both = await served.post('/classify', { input: 'a' }, { 'x-lora-adapter': 'classes, again;w=0.5' })
  t.match(both, {
    status: 400,
    body: { error: { param: 'x-lora-adapter', message: /classes and again have a classifier each/ } },
  })
  const vectors = await served.post('/v1/embeddings', { input: 'a' }, { 'x-lora-adapter': 'classes, again;w=0.5' })
  t.match(vectors, { status: 200 }, 'of whose hidden states a mix is a mix')
  await idle(t, served)
})

t.test('a base that classifies generates nothing', async (t) => {
  const served = await start(t, 'llama-classifier')
  const message = /this model has no language-model head.*\/classify/
  for (const model of ['tiny', 'classes']) {
    const answer = await served.post('/v1/completions', { model, prompt: 'a', max_tokens: 1 })
    t.match(answer, { status: 400, body: { error: { param: 'model', message } } })
  }
  const embedding = await served.post('/v1/embeddings', { input: 'a' })
  t.match(embedding, { status: 200, body: { data: [{ embedding: { length: 32 } }] } })
  await idle(t, served)
})

t.test('/score and /rerank by a classifier of one label', async (t) => {
  const served = await start(t, 'qwen3-reranker')
  const logits = async (input: number[]) => (await served.post('/pooling', { input })).body.data[0].data[0] as number
  const tokens = async (prompt: string) => (await served.post('/tokenize', { prompt })).body.tokens as number[]
  const [query, ...documents] = ['the cat', 'ran to the river', 'sat in the sun', 'and the dog']
  const ids = await Promise.all([query, ...documents].map(tokens))
  const wanted = await Promise.all(documents.map((_, i) => logits([...ids[0], ...ids[i + 1]])))
  const { body: answer } = await served.post('/score', { text_1: query, text_2: documents })
  t.ok(
    farthest(
      answer.data.map(({ score }: { score: number }) => score),
      wanted.map(sigmoid),
    ) <= 1e-5,
  )
  t.match(answer, { object: 'list', data: [{ index: 0, object: 'score' }], id: /^score-/ })
  const raw = await served.post('/v1/score', { text_1: query, text_2: documents, use_activation: false })
  t.ok(
    farthest(
      raw.body.data.map(({ score }: { score: number }) => score),
      wanted,
    ) <= 1e-5,
  )
  const rows = goldenOf('qwen3-reranker').base
  for (const { prompt, logits: golden = [] } of rows) t.ok(Math.abs((await logits(prompt)) - golden[0]) <= LOGITS_TOLERANCE)

  const order = wanted.map((_, i) => i).sort((a, b) => wanted[b] - wanted[a])
  for (const route of ['/rerank', '/v1/rerank', '/v2/rerank']) {
    const { body } = await served.post(route, { query, documents })
    t.same(
      body.results.map(({ index }: { index: number }) => index),
      order,
      route,
    )
    t.same(body.results[0].document, { text: documents[order[0]] })
    t.ok(Math.abs(body.results[0].relevance_score - sigmoid(wanted[order[0]])) <= 1e-5)
  }
  const cut = await served.post('/rerank', { query, documents, max_tokens_per_doc: 1, use_activation: false })
  const firsts = await Promise.all(documents.map((_, i) => logits([...ids[0], ids[i + 1][0]])))
  for (const { index, relevance_score } of cut.body.results)
    t.ok(Math.abs(relevance_score - firsts[index]) <= 1e-5, 'max_tokens_per_doc')
  const top = await served.post('/rerank', {
    query,
    documents: documents.map((text) => ({ text })),
    top_n: 2,
    return_documents: false,
  })
  t.same(top.body.results.map(Object.keys), [
    ['index', 'relevance_score'],
    ['index', 'relevance_score'],
  ])
  await idle(t, served)
})

t.test('/score and /rerank without a classifier are cosines', async (t) => {
  const served = await start(t, 'llama')
  const texts = ['the cat and the dog', 'ran to the river', 'the cat and the dog']
  const { body: embedded } = await served.post('/v1/embeddings', { model: 'feature', input: texts })
  const [one, other] = embedded.data.map(({ embedding }: { embedding: number[] }) => embedding)
  const cosine = one.reduce((sum: number, value: number, i: number) => sum + value * other[i], 0)
  const { body: scored } = await served.post('/score', { model: 'feature', text_1: texts[0], text_2: texts.slice(1) })
  t.ok(Math.abs(scored.data[0].score - cosine) <= 1e-5)
  t.ok(Math.abs(scored.data[1].score - 1) <= 1e-5, 'the same text')
  t.equal(scored.usage.prompt_tokens, embedded.usage.prompt_tokens)
  const pairs = await served.post('/score', { model: 'feature', text_1: texts.slice(0, 2), text_2: texts.slice(0, 2) })
  t.ok(
    farthest(
      pairs.body.data.map(({ score }: { score: number }) => score),
      [1, 1],
    ) <= 1e-5,
    'each with its own',
  )
  const reranked = await served.post('/rerank', { model: 'feature', query: texts[0], documents: texts.slice(1) })
  t.same(
    reranked.body.results.map(({ index }: { index: number }) => index),
    [1, 0],
  )

  const refused = async (route: string, body: object, error: object) =>
    t.match(await served.post(route, body), { status: 400, body: { error } })
  await refused('/score', { text_1: ['a', 'b'], text_2: ['a'] }, { param: 'text_1', message: /holds 2 texts and text_2 1/ })
  await refused('/score', { text_1: 'a', text_2: ['a', ''] }, { param: 'text_2.1' })
  await refused('/rerank', { query: 'a', documents: [] }, { param: 'documents' })
  await refused('/rerank', { query: 'a' }, { param: 'documents' })
  await refused('/rerank', { query: '', documents: ['a'] }, { param: 'query' })
  await refused('/rerank', { query: 'a', documents: ['a', { txt: 'b' }] }, { message: /documents\.1/ })
  await refused('/v1/completions', { prompt: 'a', documents: ['a'] }, { code: 'unknown_parameter', param: 'documents' })
  await idle(t, served)
})
