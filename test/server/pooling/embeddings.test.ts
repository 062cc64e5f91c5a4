/** /v1/embeddings and /pooling against what transformers + PEFT compute, by the official client and by hand. */
import { mkdirSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import t, { type Test } from 'tap'
import { openaiClient } from '../../support/openai.ts'
import { LOGITS_TOLERANCE } from '../../support/oracle.ts'
import { farthest, type PooledRow, pooledFolder } from '../../support/pooled.ts'
import { readJson } from '../../support/repo.ts'
import { type Served, startServed } from '../../support/served.ts'

const golden = readJson<Record<string, PooledRow[]>>(pooledFolder('llama', 'golden.json'))

const unit = (vector: readonly number[]) => {
  const length = Math.hypot(...vector)
  return vector.map((value) => value / length)
}

const adapters = pooledFolder('llama', 'adapters')
const start = (t: Test, model = pooledFolder('llama', 'base'), settings = {}) =>
  startServed(t, { model, adapters, 'served-model-name': 'tiny', ...settings })

/** The llama folder with sentence-transformers files. */
function sentenceTransformers(t: Test, pooling: object, modules: string[]): string {
  const folder = t.testdir({ '1_Pooling': { 'config.json': JSON.stringify(pooling) } })
  const base = pooledFolder('llama', 'base')
  for (const name of readdirSync(base)) symlinkSync(path.join(base, name), path.join(folder, name))
  const paths: Record<string, string> = { Pooling: '1_Pooling', Normalize: '2_Normalize', Dense: '3_Dense' }
  for (const one of modules) mkdirSync(path.join(folder, paths[one] ?? one), { recursive: true })
  const list = modules.map((one, idx) => ({
    idx,
    name: `${idx}`,
    path: paths[one] ?? '',
    type: `sentence_transformers.models.${one}`,
  }))
  writeFileSync(path.join(folder, 'modules.json'), JSON.stringify(list))
  return folder
}

async function embedded(served: Served, body: object, headers = {}): Promise<number[][]> {
  const answer = await served.post('/v1/embeddings', body, headers)
  if (answer.status !== 200) throw new Error(JSON.stringify(answer.body))
  return answer.body.data.map((one: { embedding: number[] }) => one.embedding)
}

t.test('the official client', async (t) => {
  const served = await start(t)
  const client = openaiClient(served)
  for (const [name, model] of [
    ['base', 'tiny'],
    ['lora', 'lora'],
    ['feature', 'tiny:feature'],
    ['classes', 'classes'],
  ]) {
    const rows = golden[name]
    const answer = await client.embeddings.create({ model, input: rows.map(({ prompt }) => prompt) })
    t.equal(answer.data.length, rows.length)
    for (const [i, row] of rows.entries()) {
      t.equal(answer.data[i].index, i)
      t.ok(farthest(answer.data[i].embedding, unit(row.last)) <= LOGITS_TOLERANCE, `${name}, ${row.prompt.length} tokens`)
    }
    const tokens = rows.reduce((sum, { prompt }) => sum + prompt.length, 0)
    t.match(answer.usage, { prompt_tokens: tokens, total_tokens: tokens })
    t.equal(answer.model, model.replace('tiny:', ''))
  }
  const [one, floats] = [{}, { encoding_format: 'float' as const }].map((more) =>
    client.embeddings.create({ model: 'tiny', input: 'the cat and the dog', ...more }),
  )
  t.same((await one).data[0].embedding, (await floats).data[0].embedding, 'base64 and float are the same bits')
  t.same(await served.idleComplaints(), [])
})

t.test('what is cut, and what is refused', async (t) => {
  const served = await start(t)
  const [row] = golden.base.filter(({ prompt }) => prompt.length === 23)
  const [cut] = await embedded(served, { input: row.prompt, dimensions: 7 })
  t.ok(farthest(cut, unit(row.last.slice(0, 7))) <= LOGITS_TOLERANCE, 'dimensions')
  for (const field of ['normalize', 'use_activation']) {
    const [raw] = await embedded(served, { input: row.prompt, [field]: false })
    t.ok(farthest(raw, row.last) <= LOGITS_TOLERANCE, field)
  }
  const mix = await embedded(served, { input: row.prompt }, { 'x-lora-adapter': 'lora;w=0.5, feature;w=0.25' })
  t.equal(mix[0].length, 32)
  const [whole] = await embedded(served, { input: row.prompt.slice(0, 5) })
  const [truncated] = await embedded(served, { input: row.prompt, truncate_prompt_tokens: 5 })
  t.ok(farthest(truncated, whole) <= 1e-6, 'the first tokens stay')
  const long = new Array(600).fill(5)
  t.equal((await embedded(served, { input: long, truncate_prompt_tokens: -1 })).length, 1)
  const refused = async (body: object, error: object, status = 400) => {
    const answer = await served.post('/v1/embeddings', body)
    t.equal(answer.status, status, JSON.stringify(answer.body))
    t.match(answer.body.error, error)
  }
  await refused({ input: [[5], [5], [5], [99999]] }, { param: 'input.3.0', message: /input\.3\.0: 99999/ })
  await refused({ input: ['a', 'b', '', 'c'] }, { param: 'input.2', message: /input\.2 must hold at least one token/ })
  await refused(
    { input: [[5], long] },
    { param: 'input.1', code: 'context_length_exceeded', message: /512 tokens.*input\.1 holds 600/ },
  )
  await refused({ input: ['x'.repeat(100_000), 'b'] }, { param: 'input.0', code: 'context_length_exceeded' })
  await refused({ input: 'a', dimensions: 33 }, { param: 'dimensions', message: /<= 32/ })
  await refused({ input: [] }, { param: 'input' })
  await refused({}, { param: 'input' })
  await refused({ input: 'a', encoding_format: 'int8' }, { param: 'encoding_format', message: /"float", "base64"/ })
  await refused({ input: 'a', truncate_prompt_tokens: 513 }, { param: 'truncate_prompt_tokens', message: /holds 512/ })
  await refused({ input: 'a', truncate_prompt_tokens: 0 }, { param: 'truncate_prompt_tokens', message: /1 or more, or -1/ })
  await refused({ input: 'a', embed_dtype: 'float16' }, { param: 'embed_dtype' })
  await refused({ input: 'a', dimension: 3 }, { param: 'dimension', message: /Did you mean dimensions/ })
  await refused({ input: 'a', model: 'nobody' }, { code: 'model_not_found' }, 404)
  for (const adapter of ['feature', 'classes'])
    for (const route of ['/v1/completions', '/v1/chat/completions']) {
      const what = route.includes('chat') ? { messages: [{ role: 'user', content: 'hi' }] } : { prompt: 'hi' }
      const answer = await served.post(route, { model: adapter, ...what })
      t.match(answer, {
        status: 400,
        body: { error: { param: 'model', message: /was trained for (FEATURE_EXTRACTION|SEQ_CLS)/ } },
      })
    }
  t.same(await served.idleComplaints(), [])
})

t.test('more inputs than one request may have sequences go in one after the other', async (t) => {
  const served = await start(t, undefined, { 'max-request-sequences': 3 })
  const rows = golden.feature
  const input = Array.from({ length: 50 }, (_, i) => rows[i % rows.length].prompt)
  const vectors = await embedded(served, { model: 'feature', input })
  for (const [i, vector] of vectors.entries()) t.ok(farthest(vector, unit(rows[i % rows.length].last)) <= LOGITS_TOLERANCE)
  t.match(await served.post('/v1/completions', { prompt: ['a', 'b', 'c', 'd'] }), { status: 400 })
  t.same(await served.idleComplaints(), [])
})

t.test("sentence-transformers' files decide", async (t) => {
  const flags = { pooling_mode_cls_token: false, pooling_mode_mean_tokens: true, pooling_mode_max_tokens: false }
  for (const [what, pooling, modules, kind, normal] of [
    ['the mean', flags, ['Transformer', 'Pooling'], 'mean', false],
    ['the first token, of length 1', { pooling_mode: 'cls' }, ['Transformer', 'Pooling', 'Normalize'], 'first', true],
  ] as const)
    await t.test(what, async (t) => {
      const served = await start(t, sentenceTransformers(t, pooling, [...modules]))
      for (const name of ['base', 'feature'])
        for (const row of golden[name]) {
          const model = name === 'base' ? 'tiny' : name
          const [vector] = await embedded(served, { model, input: row.prompt })
          const wanted = normal ? unit(row[kind]) : row[kind]
          t.ok(farthest(vector, wanted) <= LOGITS_TOLERANCE, `${name}, ${row.prompt.length} tokens`)
        }
    })
  for (const [modules, pooling, message] of [
    [['Transformer', 'Pooling', 'LSTM'], flags, /LSTM.*Transformer, Pooling, Dense and Normalize are supported/],
    [['Transformer', 'Pooling', 'Dense'], flags, /Dense in 3_Dense: ENOENT[^/]* '3_Dense\/config.json'/],
    [['Transformer', 'Pooling'], { pooling_mode_max_tokens: true }, /pools by max; cls, mean, lasttoken/],
    [['Transformer', 'Pooling'], { ...flags, pooling_mode_cls_token: true }, /pools by cls\+mean/],
  ] as const)
    await t.test(String(message), async (t) => {
      const served = await start(t, sentenceTransformers(t, pooling, [...modules]))
      const answer = await served.post('/v1/embeddings', { input: 'a' })
      t.match(answer, { status: 400, body: { error: { code: 'unsupported_parameter', param: 'model', message } } })
      t.match(await served.post('/v1/completions', { prompt: 'a' }), { status: 200 }, 'it generates all the same')
    })
})

t.test('/pooling gives what is there, raw', async (t) => {
  const served = await start(t)
  const [row] = golden.classes.filter(({ prompt }) => prompt.length === 61)
  const pooled = async (body: object) => {
    const { status, body: answer } = await served.post('/pooling', { model: 'classes', input: row.prompt, ...body })
    t.equal(status, 200, JSON.stringify(answer))
    return answer.data[0].data
  }
  t.ok(farthest(await pooled({}), row.logits as number[]) <= LOGITS_TOLERANCE, 'the logits of a classifier')
  t.ok(farthest(await pooled({ task: 'embed' }), row.last) <= LOGITS_TOLERANCE, 'or its hidden state')
  t.ok(farthest(await pooled({ task: 'embed', use_activation: true }), unit(row.last)) <= LOGITS_TOLERANCE)
  const bytes = Buffer.from(await pooled({ encoding_format: 'base64' }), 'base64')
  t.ok(
    farthest(
      [0, 1, 2].map((i) => bytes.readFloatLE(4 * i)),
      row.logits as number[],
    ) <= LOGITS_TOLERANCE,
  )
  const none = await served.post('/pooling', { input: 'a', task: 'classify' })
  t.match(none, { status: 400, body: { error: { param: 'task', message: /`tiny` has no classifier/ } } })
})
