/** The engine in its thread, with the demo model: what the client refuses, aborts, shutdown. */
import path from 'node:path'
import t from 'tap'
import { type EngineSettings, type SequenceOutput, startEngine } from '../../runtime/index.ts'
import { greedy } from '../support/greedy.ts'
import { repoRoot } from '../support/repo.ts'

const settings: EngineSettings = {
  modelDir: path.join(repoRoot(), 'deploy/demo-model/base'),
  dtype: 'float32',
  device: 'cpu',
  poolBytes: 4 << 20,
  blockSize: 16,
  maxBatchTokens: 128,
  maxSequences: 16,
  adapterDtype: 'float16',
  threads: 2,
  prefixCache: true,
  validate: true,
}
const request = (id: string, promptIds: number[], maxTokens = 4) => ({
  id,
  promptIds,
  sampling: { ...greedy(maxTokens), returnLogits: true },
  adapters: [],
  arrival: Date.now(),
})

t.test('requests that can never run are refused at once, with a code', async (t) => {
  const engine = await startEngine(settings)
  t.teardown(() => engine.close())
  const refuse = (code: string, one: Parameters<typeof engine.submit>[0]) =>
    t.throws(() => engine.submit(one, () => {}), { code }, code)
  refuse('empty_prompt', request('a', []))
  refuse('token_out_of_range', request('a', [1, 999999]))
  refuse('context_length_exceeded', request('a', Array(2000).fill(5)))
  refuse('unknown_adapter', { ...request('a', [1]), adapters: [{ name: 'x', digest: 'ab', weight: 1 }] })
  engine.submit(request('twice', [1, 2]), () => {})
  refuse('duplicate_id', request('twice', [1, 2]))
  await engine.idle()
})

t.test('an abort ends the sequence and frees its blocks', async (t) => {
  const engine = await startEngine({ ...settings, prefixCache: false })
  t.teardown(() => engine.close())
  const outputs: SequenceOutput[] = []
  await new Promise<void>((resolve) => {
    engine.submit(
      { ...request('a', [1, 3, 205], 500), sampling: { ...greedy(500), ignoreEos: true, stopTokenIds: [] } },
      (output) => {
        outputs.push(output)
        if (outputs.length === 3) engine.abort('a')
        if (output.finish) resolve()
      },
    )
  })
  t.equal(outputs.at(-1)?.finish, 'abort')
  await engine.idle()
  t.equal(engine.snapshot.blocks.free, engine.snapshot.blocks.total)
})

t.test('closing ends what is under way with an error and lets the thread go', async (t) => {
  const engine = await startEngine(settings)
  const ended = new Promise<SequenceOutput>((resolve) => {
    engine.submit({ ...request('a', [1, 3], 900), sampling: { ...greedy(900), stopTokenIds: [] } }, (output) => {
      if (output.finish) resolve(output)
    })
  })
  await engine.close()
  await engine.idle()
  t.match(await ended, { finish: 'error', error: { code: 'engine_closed' } })
  t.throws(() => engine.submit(request('b', [1]), () => {}), { code: 'engine_closed' })
})

t.test('what cannot be loaded is told with its reason', async (t) => {
  await t.rejects(startEngine({ ...settings, modelDir: '/nowhere' }), {
    code: 'model_file_missing',
    message: /\/nowhere\/config.json/,
  })
  await t.rejects(startEngine({ ...settings, poolBytes: 1000 }), { code: 'invalid_settings', message: /--pool 1000 bytes/ })
  await t.rejects(startEngine({ ...settings, dtype: 'auto', device: 'cuda', adapterDtype: 'int8' }), {
    code: 'invalid_settings',
    message: /--adapter-dtype int8 needs --device cpu/,
  })
  await t.rejects(startEngine({ ...settings, maxModelLen: 5000 }), { message: /1024/ })
  for (const [name, wrong] of Object.entries({ blockSize: 0, maxBatchTokens: 0, maxSequences: 1.5 }))
    await t.rejects(startEngine({ ...settings, [name]: wrong }), {
      code: 'invalid_settings',
      message: /must be a positive integer/,
    })
})
