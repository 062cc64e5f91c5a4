/**
 * Adapters on their way, on the emulated device: there a copy beside the steps happens when something waits for it and no earlier (test/cuda/emulated/streams.h),
 * so a step that does not wait reads NaN. And a device that is lost.
 */
import t from 'tap'
import { decodeStep, residentsOf } from '../../bench/decode-batch.ts'
import type { NativeEngine, PackedAdapter, StepOutput } from '../../native/types.ts'
import { buildModel } from '../../runtime/model/index.ts'
import { emulatedFamily, needsEmulated } from '../support/emulated.ts'
import { startNativeEngine } from '../support/native-step.ts'
import { fixture } from '../support/repo.ts'

const ROWS = 4
const family = emulatedFamily()
const model = buildModel(fixture('oracle', family.name, 'base'), { device: 'cuda', dtype: 'float16' })
const image = (name: string) => family.images.get(name)!

const start = () =>
  startNativeEngine(model, {
    blockSize: family.blockSize,
    blockCount: 256,
    maxBatchTokens: ROWS,
    maxSequences: ROWS,
    maxModelLen: 2 * model.maxModelLen,
    captureGraphs: true,
  })

/** One token of each of four sequences, behind `context` earlier ones; row r on adapter r mod adapters.length, or on the base. KV lies in the first blocks. */
const decode = (engine: NativeEngine, context: number, adapters: PackedAdapter[]): Promise<StepOutput> =>
  decodeStep(engine, {
    rows: ROWS,
    context,
    blockSize: family.blockSize,
    vocabSize: model.vocabSize,
    adapters,
    returnLogits: true,
  })

function arrival(engine: NativeEngine, index: number): void {
  for (let asked = 0; !engine.adapterReady(index); asked++) if (asked > 1000) throw new Error('the adapter never arrives')
}

t.test('uploads', needsEmulated, async (t) => {
  const engine = await start()
  t.teardown(() => engine.close())
  const [one, other] = residentsOf([image('lora-r16-all'), image('dora')], ROWS)
  engine.putAdapter(one)
  arrival(engine, one.index)
  const right = await decode(engine, 0, [one])
  const base = await decode(engine, 0, [])
  const width = right.logits!.length / ROWS
  t.ok(
    right.logits!.every((logit, i) => (i % width < model.vocabSize ? Number.isFinite(logit) : logit === -Infinity)),
    'the logits are numbers, and tokens that adapters may add do not exist',
  )
  t.notSame(right.logits, base.logits)

  t.test('a step with an adapter that is on its way waits for it', async (t) => {
    // In the place of another, whose tables it takes over: without the wait these, or NaN, would be read.
    engine.dropAdapter(one.index)
    engine.putAdapter({ ...other, index: one.index, generation: 6 })
    arrival(engine, one.index)
    t.notSame((await decode(engine, 0, [{ ...other, index: one.index, generation: 6 }])).logits, right.logits)
    const again = { ...one, generation: 7, blocks: one.blocks.map((block) => block + 100) }
    engine.dropAdapter(one.index)
    engine.putAdapter(again)
    t.notOk(engine.adapterReady(again.index))
    t.same((await decode(engine, 0, [again])).logits, right.logits)
    t.ok(engine.adapterReady(again.index))
    const stale = await decode(engine, 0, [one])
    t.same([...stale.sequenceStatus], Array(ROWS).fill(1), 'the residency before is not there')
  })

  t.test('blocks of an adapter that is dropped on its way hold KV unharmed', async (t) => {
    const first = await decode(engine, 0, [])
    const second = await decode(engine, 1, [])
    // The same sequences once more, now over blocks that an upload is still going to.
    const passing = { ...other, generation: 20, blocks: other.blocks.map((_, i) => i) }
    t.ok(passing.blocks.length >= ROWS, 'it would write to every one of them')
    engine.putAdapter(passing)
    engine.dropAdapter(passing.index)
    t.same((await decode(engine, 0, [])).logits, first.logits)
    const later = { ...other, generation: 21, blocks: other.blocks.map((block) => block + 100) }
    engine.putAdapter(later)
    arrival(engine, later.index)
    t.same((await decode(engine, 1, [])).logits, second.logits)
  })

  t.test('an image that is unpinned on its way is the host’s again', async (t) => {
    engine.dropAdapter(one.index)
    const bytes = Uint8Array.from(one.image)
    engine.pinImage(bytes)
    engine.pinImage(bytes)
    const pinned = { ...one, generation: 30, image: bytes, blocks: one.blocks.map((block) => block + 100) }
    engine.putAdapter(pinned)
    engine.unpinImage(bytes)
    engine.unpinImage(bytes)
    bytes.fill(0xff)
    t.same((await decode(engine, 0, [pinned])).logits, right.logits)
  })

  t.test('a fault on the device: every later step says that it is lost, and closing works', async (t) => {
    // The engine believes what it is told of the model: that a sequence may be longer than the table of rotations.
    for (const { index } of [one, other]) engine.dropAdapter(index)
    await t.rejects(decode(engine, model.maxModelLen, []), { code: 'DEVICE_LOST', message: /longer than the rotation's tables/ })
    await t.rejects(decode(engine, 0, []), { code: 'DEVICE_LOST' })
    t.throws(() => engine.putAdapter({ ...other, generation: 40 }), /lost/)
  })
})
