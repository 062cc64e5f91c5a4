/** A device that is lost, and one that cannot be had: the provider or one of CUDA's libraries is missing. */
import '../support/hollow.ts'
import { spawnSync } from 'node:child_process'
import { copyFileSync, mkdirSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import t from 'tap'
import { onnxRuntimeLibrary } from '../../native/index.ts'
import { ask } from '../support/ask.ts'
import { fault, needsHollow, startHollow } from '../support/hollow.ts'
import { fixture, repoRoot, temporaryFolder } from '../support/repo.ts'

const base = fixture('oracle/llama-heads16/base')
const adapters = fixture('oracle/llama-heads16/adapters')
const hollow = path.join(repoRoot(), 'build/hollow')
const provider = path.join(repoRoot(), 'build/cuda-provider')

t.afterEach(() => fault())

t.test('a device that is lost ends the engine', needsHollow, async (t) => {
  // In prefill, in a decode step, while a graph is captured, and before a replay (replays launch nothing: the next prefill finds it).
  for (const launches of [0, 20, 100, 190, 230])
    await t.test(`after ${launches} launches`, async (t) => {
      const { engine, images } = await startHollow(t, base, adapters)
      const failures: string[] = []
      engine.onFailure = ({ message }) => failures.push(message)
      fault(`lost ${launches}`)
      const one = { name: 'dora', digest: images.get('dora')!.digest, weight: 1 }
      const open = [0, 1, 2, 3].map((i) => ask(engine, [3, 4, 5 + i], { maxTokens: 400 }, i === 3 ? [one] : []))
      let later = 0
      while (failures.length === 0 && later++ < 100) await ask(engine, [9, 9], {}).catch(() => undefined)
      for (const answer of await Promise.all(open))
        t.match(answer, { finish: 'error', error: /the device is lost/ }, 'every open request hears of it')
      t.match(failures, [/the device is lost: .+/], 'and the server')
      await t.rejects(async () => ask(engine, [3, 4, 5], {}), 'nothing can be asked any more')
      fault()
      await engine.close()
    })
})

t.test('one that is lost before the first launch of a step', needsHollow, async (t) => {
  // The first thing that a request asks of the device is whether the tokens of those before it have arrived.
  const { engine, images } = await startHollow(t, base, adapters)
  const failures: string[] = []
  engine.onFailure = ({ message }) => failures.push(message)
  const dora = [{ name: 'dora', digest: images.get('dora')!.digest, weight: 1 }]
  t.equal((await ask(engine, [3, 4, 5], {}, dora)).error, undefined)
  fault('lost -1')
  t.match(await ask(engine, [3, 4, 5], {}, dora), { finish: 'error', error: /the device is lost: CUDA, an event: / })
  t.match(failures, [/the device is lost: .+/])
  fault()
  await engine.close()
})

/** What a process of its own says that starts the engine with ONNX Runtime from `library` and CUDA's libraries from `libraries`. */
function startElsewhere(library: string, libraries: string): string {
  const url = (file: string) => JSON.stringify(path.join(repoRoot(), 'dist', file))
  const program = `
    import { loadNative } from ${url('native/index.js')}
    import { buildModel } from ${url('runtime/model/index.js')}
    import { siteOptions } from ${url('runtime/model/sites.js')}
    const model = buildModel(${JSON.stringify(base)}, { device: 'cuda', dtype: 'float16' })
    const limits = { blockSize: 256, blockCount: 8, maxBlockCount: 8, memoryFraction: 0.9, maxBatchTokens: 16, maxSequences: 4, maxModelLen: 64 }
    const types = { device: 'cuda', dtype: 'float16', adapterDtype: 'float16', cacheDtype: 'float16' }
    const rest = { threads: 1, ...siteOptions(model.base), captureGraphs: true, overlapLaunches: false, maxLogitsRows: 64 }
    loadNative()
      .createEngine({ ...model, model: model.graph, library: ${JSON.stringify(library)}, ...limits, ...types, ...rest }, () => {})
      .then((engine) => { console.log('started'); engine.close() }, (error) => console.log(error.message))`
  const env = { ...process.env, LD_LIBRARY_PATH: libraries }
  const run = spawnSync(process.execPath, ['--input-type=module', '-e', program], { encoding: 'utf8', env })
  return run.status === 0 ? run.stdout.trim() : `status ${run.status}, signal ${run.signal}\n${run.stderr}`
}

t.test('libraries that are missing are named', needsHollow, async (t) => {
  t.equal(startElsewhere(path.join(provider, 'libonnxruntime.so.1'), hollow), 'started')
  t.match(
    startElsewhere(onnxRuntimeLibrary(), hollow),
    /^the model does not load .*libonnxruntime_providers_shared\.so/s,
    'no provider beside ONNX Runtime',
  )

  const folder = temporaryFolder(t)
  const [broken, without] = ['broken', 'without'].map((name) => path.join(folder, name))
  for (const made of [broken, without]) mkdirSync(made)
  symlinkSync(onnxRuntimeLibrary(), path.join(broken, 'libonnxruntime.so.1'))
  copyFileSync(path.join(provider, 'libonnxruntime_providers_shared.so'), path.join(broken, 'libonnxruntime_providers_shared.so'))
  writeFileSync(path.join(broken, 'libonnxruntime_providers_cuda.so'), '')
  t.match(
    startElsewhere(path.join(broken, 'libonnxruntime.so.1'), hollow),
    /^the model does not load .*libonnxruntime_providers_cuda\.so/s,
    'one that is no library',
  )

  for (const name of readdirSync(hollow))
    if (!name.startsWith('libcublas.')) symlinkSync(path.join(hollow, name), path.join(without, name))
  t.match(
    startElsewhere(path.join(provider, 'libonnxruntime.so.1'), without),
    /^the model does not load .*libcublas\.so\.13/s,
    'no cuBLAS',
  )
})
