/** The composition root: what a configuration makes of a model folder. */
import { cpSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { pino } from 'pino'
import t from 'tap'
import { configOf } from '../../server/config/config.ts'
import { type ServeHooks, type Server, serve } from '../../server/serve.ts'
import { demoModel, temporaryFolder } from '../support/repo.ts'

type Settings = Parameters<typeof configOf>[0]

async function served(t: { teardown(handler: () => unknown): unknown }, settings: Settings, hooks?: ServeHooks): Promise<Server> {
  const server = await serve(configOf({ port: 0, 'log-level': 'silent', ...settings }), hooks)
  t.teardown(() => server.close())
  return server
}

t.test('a model folder gives its name, its sampling defaults and its template', async (t) => {
  const folder = path.join(temporaryFolder(t), 'fox-model')
  cpSync(demoModel('base'), folder, { recursive: true })
  const generation = { temperature: 0.6, top_p: 0.9, top_k: 20, min_p: 0.05, repetition_penalty: 1.1, max_length: 'ignored' }
  writeFileSync(path.join(folder, 'generation_config.json'), JSON.stringify({ ...generation, eos_token_id: 2 }))
  writeFileSync(path.join(folder, 'other.jinja'), 'other {{ messages[0].content }}')
  const settings = { model: folder, 'chat-template': path.join(folder, 'other.jinja'), 'max-model-len': 64 }
  const { serving, adapters } = await served(t, settings)
  t.match(serving.model, { name: 'fox-model', root: folder, maxModelLen: 64 })
  t.same(serving.defaults, { temperature: 0.6, topP: 0.9, topK: 20, minP: 0.05, repetitionPenalty: 1.1 })
  const { signal } = new AbortController()
  const messages = [{ role: 'user', content: 'x' }]
  const options = { addSpecialTokens: false, param: 'messages' }
  const ids = await serving.prompts.encodeConversation({ messages, options: { addGenerationPrompt: true } }, options, signal)
  t.equal(serving.tokenizer.decode(ids, { skipSpecialTokens: false }), 'other x')
  t.same(adapters, [], 'the demo adapters are for the demo model')
})

t.test('adapters come from a folder and by name; one that cannot be served does not stop the others', async (t) => {
  const folder = temporaryFolder(t)
  cpSync(demoModel('adapters/pirate'), path.join(folder, 'pirate'), { recursive: true })
  const adapter = { corsair: demoModel('adapters/pirate'), gone: path.join(folder, 'gone') }
  const { adapters, serving, address, preloaded } = await served(t, { adapters: folder, adapter, 'served-model-name': 'base' })
  t.same(adapters.map(({ name }) => name).sort(), ['corsair', 'gone', 'pirate'])
  await preloaded
  t.match(serving.adapters.get('gone'), {
    digest: undefined,
    refusal: 'the folder does not exist',
    detail: /gone does not exist/,
  })
  const list = await (await fetch(`${address}/v1/models`)).json()
  t.same(
    (list as { data: { id: string }[] }).data.map(({ id }) => id),
    ['base', ...adapters.filter(({ refusal }) => refusal === undefined).map(({ name }) => name)],
  )
})

t.test('what the model runs on is logged with the reasons; what a setting cannot do is warned about', async (t) => {
  const lines: Record<string, unknown>[] = []
  const log = pino({ level: 'info' }, { write: (line: string) => lines.push(JSON.parse(line)) })
  const machine = { cudaObstacles: () => ['no driver', 'no provider'], hasGpu: () => true }
  const settings = { pool: '1MiB', 'max-model-len': 1000, 'gpu-memory-utilization': 0.5 }
  const { device, serving } = await served(t, settings, { log, machine })
  t.match(device, /^cpu \(.+\), float32$/)
  t.match(
    lines.find(({ msg }) => msg === `device: ${device}`),
    { level: 30, device: 'cpu', notCuda: ['no driver', 'no provider'] },
  )
  const warnings = lines.filter(({ level }) => level === 40).map(({ msg }) => msg)
  t.match(warnings, [
    /--gpu-memory-utilization has no effect/,
    /NVIDIA GPU.*no driver; no provider/,
    /--max-model-len 1000 is cut to 256/,
  ])
  t.equal(serving.model.maxModelLen, 256, 'as many as the pool holds')
  await t.rejects(served(t, { device: 'cuda' }, { machine }), {
    message: '--device cuda cannot be used here\n  - no driver\n  - no provider',
  })
})

t.test('what the engine warns of is logged', async (t) => {
  const lines: Record<string, unknown>[] = []
  const log = pino({ level: 'warn' }, { write: (line: string) => lines.push(JSON.parse(line)) })
  const { serving, address } = await served(t, {}, { log })
  serving.engine.onWarning?.('copies are slower')
  t.match(lines.at(-1), { level: 40, msg: 'copies are slower' })
  t.equal((await fetch(`${address}/health`)).status, 200)
})

t.test('when the engine fails, the server says so and its owner is told', async (t) => {
  let told: Error | undefined
  const onFailure = (error: Error) => {
    told = error
  }
  const { serving, address } = await served(t, {}, { onFailure })
  t.equal((await fetch(`${address}/health`)).status, 200)
  serving.engine.onFailure?.(new Error('the worker is gone'))
  t.equal(told?.message, 'the worker is gone')
  const response = await fetch(`${address}/health`)
  t.equal(response.status, 503)
  t.match(await response.json(), { error: { code: 'engine_unavailable' } })
})

t.test('what cannot be served leaves nothing behind', async (t) => {
  const { address } = await served(t, {})
  const port = Number(new URL(address).port)
  await t.rejects(served(t, { port }), { code: 'EADDRINUSE' })
  await t.rejects(served(t, { 'served-model-name': 'pirate' }), { message: /an adapter has the base model's name/ })
  await t.rejects(served(t, { model: '/no/such/folder' }), { message: /\/no\/such\/folder does not exist/ })
  await t.rejects(served(t, { 'chat-template': '/no/such/file' }), { message: /\/no\/such\/file cannot be read/ })
  // The process ends by itself when no engine thread is left: tap waits for it.
})
