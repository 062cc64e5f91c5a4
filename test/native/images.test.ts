/** On the CPU an adapter's rows are read where they lie in host memory: its bytes are there once, for as long as anything reads them and no longer. */
import { readFileSync } from 'node:fs'
import { setTimeout } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import t, { type Test } from 'tap'
import { imageMemory } from '../../adapters-store/image-memory.ts'
import { admitRows, decodeStep, releaseRows, residentsOf } from '../../bench/decode-batch.ts'
import type { NativeEngine, PackedAdapter } from '../../native/types.ts'
import { buildModel } from '../../runtime/model/index.ts'
import { startNativeEngine } from '../support/native-step.ts'
import { OracleFamily } from '../support/oracle.ts'
import { fixture } from '../support/repo.ts'

const family = new OracleFamily('llama', 'float32', fixture('oracle'), 'cpu')
const model = buildModel(fixture('oracle', family.name, 'base'), { device: 'cpu', dtype: 'float32' })
const MIB = 1 << 20
const BLOCK_SIZE = family.blockSize
const KV_BLOCKS = 8
const skip = process.platform !== 'linux' && 'it reads /proc'
setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc') as () => void
const residentBytes = () => 1024 * Number(/^RssAnon:\s+(\d+) kB/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1])

const start = (blockCount: number) =>
  startNativeEngine(model, { blockSize: BLOCK_SIZE, blockCount, maxBatchTokens: 4, maxSequences: 4, maxModelLen: 64 })
/** The adapter with memory behind its rows that nothing names, all of it touched: as large as a large one. The first blocks stay a sequence's. */
function enlarged(bytes: number, blockBytes: number): PackedAdapter {
  const [resident] = residentsOf([family.images.get('lora-r16-all')!], KV_BLOCKS)
  const image = new Uint8Array(imageMemory(bytes)).fill(1)
  image.set(resident.image)
  return { ...resident, image, blocks: Int32Array.from({ length: Math.ceil(bytes / blockBytes) }, (_, i) => i + KV_BLOCKS) }
}
const rows = (adapters: PackedAdapter[]) => ({
  rows: 1,
  context: 8,
  blockSize: BLOCK_SIZE,
  vocabSize: model.vocabSize,
  adapters,
  returnLogits: true,
})
const logitsOf = async (engine: NativeEngine, adapters: PackedAdapter[]) => (await decodeStep(engine, rows(adapters))).logits

t.test('the memory of an adapter', { skip }, async (t) => {
  const { blockBytes } = family.images.get('lora-r16-all')!
  const engine = await start(KV_BLOCKS + Math.ceil((96 * MIB) / blockBytes))
  t.teardown(() => engine.close())
  await logitsOf(engine, [])
  collect()
  const before = residentBytes()
  const grown = () => Math.round((residentBytes() - before) / MIB)

  /** What is collected goes back to the system some turns later. */
  const goneAgain = async (t: Test) => {
    for (let tries = 0; tries < 100 && grown() >= 20; tries++) {
      collect()
      await setTimeout(10)
    }
    t.ok(grown() < 20, `grown by ${grown()} MiB`)
  }

  t.test('in use, it takes its bytes once', async (t) => {
    const [small] = residentsOf([family.images.get('lora-r16-all')!], KV_BLOCKS)
    engine.putAdapter(small)
    const expected = await logitsOf(engine, [small])
    engine.dropAdapter(small.index)
    const large = enlarged(64 * MIB, blockBytes)
    engine.putAdapter(large)
    t.same(await logitsOf(engine, [large]), expected)
    t.ok(grown() >= 60 && grown() < 80, `64 MiB of it: grown by ${grown()}`)
    // From here on only the engine has it.
    large.image = new Uint8Array(0)
    collect()
    t.same(await logitsOf(engine, [large]), expected)
    t.ok(grown() >= 60, 'it stays while it may be read')
    engine.dropAdapter(large.index)
  })

  t.test('dropped, it goes; with a step in flight, after that', async (t) => {
    await goneAgain(t)
    await (async () => {
      const large = enlarged(64 * MIB, blockBytes)
      engine.putAdapter(large)
      const logits = await logitsOf(engine, [large])
      const step = engine.step(admitRows(engine, rows([large])))
      engine.dropAdapter(large.index)
      large.image = new Uint8Array(0)
      collect()
      t.same((await step).logits, logits)
      releaseRows(engine, 1)
    })()
    await logitsOf(engine, [])
    await goneAgain(t)
  })
})
