/** What crosses to the addon is checked there: whatever is wrong in a batch or a sequence is named, nothing runs or is written, and the next right step is right. */
import t from 'tap'
import { admitRows, decodeStep, residentsOf } from '../../bench/decode-batch.ts'
import type { SlotInput, StepBatch } from '../../native/types.ts'
import { STEP_BLOCK_FIELDS, STEP_SEQUENCE_FIELDS } from '../../native/types.ts'
import { buildModel } from '../../runtime/model/index.ts'
import { startNativeEngine } from '../support/native-step.ts'
import { OracleFamily } from '../support/oracle.ts'
import { fixture } from '../support/repo.ts'

const family = new OracleFamily('llama', 'float32', fixture('oracle'), 'cpu')
const model = buildModel(fixture('oracle', family.name, 'base'), { device: 'cpu', dtype: 'float32' })
const { blockSize } = family
const { vocabSize } = model
/** With the tokens that adapters may add. */
const WIDTH = vocabSize + (model.base.added?.count ?? 0)
const ROWS = 4
const BLOCKS = 256
const MAX_MODEL_LEN = 64

const start = () =>
  startNativeEngine(model, {
    blockSize,
    blockCount: BLOCKS,
    maxBatchTokens: 8,
    maxSequences: ROWS,
    maxModelLen: MAX_MODEL_LEN,
    maxLogitsRows: 64,
  })

const sequence = (): SlotInput => ({
  slot: 0,
  tokens: Int32Array.of(3, 4, 5),
  promptLength: 3,
  entryAdapter: new Int32Array(0),
  entryGeneration: new Int32Array(0),
  entryDigest: new BigUint64Array(0),
  entryWeight: new Float32Array(0),
  options: Float64Array.of(0, 1, 0, 0, 0, 0, 1, 0, -1, -1),
  seed: 0n,
  biasTokens: Int32Array.of(1),
  biasValues: Float32Array.of(1),
  allowed: new Uint32Array(Math.ceil(WIDTH / 32)).fill(0xffffffff),
  stopTokens: Int32Array.of(2),
  endTokens: Int32Array.of(2),
})

t.test('what a sequence brings', async (t) => {
  const engine = await start()
  t.teardown(() => engine.close())
  const refused = (change: Partial<Record<keyof SlotInput, unknown>>, message: RegExp) =>
    t.throws(() => engine.admit({ ...sequence(), ...change } as SlotInput), { message }, `${Object.keys(change)}: ${message}`)
  refused({ slot: ROWS }, /slot is 4; it must be 0 to 3/)
  refused({ tokens: new Int32Array(0) }, /tokens\.length is 0; it must be 1 to 64/)
  refused({ tokens: new Int32Array(MAX_MODEL_LEN + 1) }, /tokens\.length is 65/)
  refused({ promptLength: 4 }, /promptLength is 4/)
  for (const odd of [-1, WIDTH + 1]) refused({ vocabSize: odd }, new RegExp(`vocabSize is ${odd}; it must be 1 to ${WIDTH}`))
  refused({ vocabSize: 5 }, /tokens\[\] is 5; it must be 0 to 4/)
  refused(
    { vocabSize: vocabSize + 1, tokens: Int32Array.of(vocabSize + 1), promptLength: 1 },
    new RegExp(`tokens\\[\\] is ${vocabSize + 1}`),
  )
  refused({ options: new Float64Array(9) }, /options\.length is 9; it must be 10/)
  refused({ biasValues: new Float32Array(0) }, /biasValues\.length is 0; it must be 1/)
  refused({ allowed: new Uint32Array(1) }, /allowed\.length is 1/)
  refused({ entryWeight: Float32Array.of(1) }, /entryWeight\.length is 1/)
  refused({ entryAdapter: Int32Array.of(1) }, /entryAdapter, entryGeneration and entryDigest must have one length/)
  for (const odd of [-1, Number.NEGATIVE_INFINITY, Number.NaN, 1e300])
    refused({ options: Float64Array.of(0.5, odd, 0, 0, 0, 0, 1, 0, -1, -1) }, /options\[1\] is .*; it must be/)
  refused({ seed: 1 }, /seed must be a bigint/)
  for (const name of ['tokens', 'biasTokens', 'stopTokens', 'endTokens'] as const)
    for (const odd of [-1, name === 'tokens' ? vocabSize : WIDTH])
      refused({ [name]: Int32Array.of(odd), promptLength: 1 }, new RegExp(`${name}\\[\\] is ${odd}`))
  for (const name of Object.keys(sequence()) as (keyof SlotInput)[])
    if (typeof sequence()[name] === 'object') refused({ [name]: new Uint8Array(4) }, new RegExp(`${name} must be a typed array`))
  t.doesNotThrow(() => engine.admit(sequence()))
  t.throws(() => engine.admit(sequence()), { message: /slot is 0; that slot is taken/ })
})

t.test('what a step says', async (t) => {
  const engine = await start()
  t.teardown(() => engine.close())
  const rows = { rows: ROWS, context: 5, blockSize, vocabSize, adapters: [], returnLogits: true }
  const right = await decodeStep(engine, rows)
  const batch = admitRows(engine, rows)
  const wrong = async (what: string, change: (changed: StepBatch) => StepBatch, message: RegExp) => {
    const changed = { ...batch, sequences: batch.sequences.slice(), blocks: batch.blocks.slice() }
    await t.rejects(async () => engine.step(change(changed)), { message }, what)
  }
  const field = (name: 'sequences' | 'blocks', at: number, value: number) => (changed: StepBatch) => {
    changed[name][at] = value
    return changed
  }
  for (const cut of [1, STEP_SEQUENCE_FIELDS - 1])
    await wrong(
      'a shortened array',
      (b) => ({ ...b, sequences: b.sequences.subarray(0, -cut) }),
      /sequences\.length must be a multiple of 9/,
    )
  for (const cut of [1, STEP_BLOCK_FIELDS - 1])
    await wrong(
      'a shortened array',
      (b) => ({ ...b, blocks: b.blocks.subarray(0, -cut) }),
      /blocks\.length must be a multiple of 3/,
    )
  await wrong('nobody', (b) => ({ ...b, sequences: b.sequences.subarray(0, 0) }), /sequences is 0/)
  await wrong('blocks that are missing', (b) => ({ ...b, blocks: b.blocks.subarray(0, 0) }), /the sequence has 0 blocks/)
  await wrong('another type', (b) => ({ ...b, blocks: new Uint32Array(3) as never }), /blocks must be a typed array/)
  for (const odd of [-1, ROWS, 2 ** 31 - 1]) await wrong('a slot', field('sequences', 0, odd), new RegExp(`slot is ${odd}`))
  await wrong('a slot twice', field('sequences', STEP_SEQUENCE_FIELDS, 0), /the step names it twice/)
  await wrong('a negative past', field('sequences', 1, -1), /past is -1/)
  await wrong('a past that is too long', field('sequences', 1, 6), /past \+ count is 7; the sequence has 6 tokens/)
  await wrong('no tokens', field('sequences', 2, 0), /count is 0/)
  await wrong('more tokens than there are', field('sequences', 2, 2), /past \+ count is 7/)
  await wrong('scoring what is not computed', field('sequences', 4, 1), /scored is 1/)
  await wrong('summing what is not computed', field('sequences', 7, 1), /summed is 1/)
  await wrong('sampling twice', field('sequences', 5, 2), /samples is 2/)
  await wrong('a block slot', field('blocks', 0, ROWS), /slot is 4/)
  await wrong('a place', field('blocks', 1, 1), /place is 1/)
  for (const odd of [-1, BLOCKS]) await wrong('a block', field('blocks', 2, odd), new RegExp(`block is ${odd}`))
  await wrong(
    "another's block",
    field('blocks', 2, batch.blocks[batch.blocks.length - 1]),
    /the step would write into it, and others use it/,
  )
  t.same((await engine.step(batch)).logits, right.logits, 'the next right step is right')
  await t.rejects(
    async () => engine.step({ ...batch, blocks: new Int32Array(0) }),
    { message: /samples is 1/ },
    'a token is sampled once',
  )
})

t.test("an adapter's blocks and a sequence's are apart", async (t) => {
  const engine = await start()
  t.teardown(() => engine.close())
  const [resident] = residentsOf([family.images.get('lora-r16-all')!], 10)
  for (const name of ['image', 'blocks', 'rows', 'entries'] as const)
    t.throws(() => engine.putAdapter({ ...resident, [name]: new Uint32Array(8) } as never), {
      message: new RegExp(`${name} must be a typed array`),
    })
  t.throws(() => engine.putAdapter({ ...resident, blocks: resident.blocks.map(() => 20) }), {
    message: /a block is 20; that block is in use/,
  })
  t.throws(() => engine.release(undefined as never), { message: /slot must be a number/ })
  engine.putAdapter(resident)
  const rows = { rows: 1, context: 0, blockSize, vocabSize, adapters: [] }
  const batch = admitRows(engine, rows)
  batch.blocks[2] = 10
  await t.rejects(async () => engine.step(batch), { message: /block is 10; an adapter lies in that block/ })
  engine.dropAdapter(resident.index)
  await engine.step(batch)
  t.throws(() => engine.putAdapter(resident), { message: /a block is 10; that block is in use/ })
  engine.release(0)
  t.doesNotThrow(() => engine.putAdapter(resident))
})

t.test('two steps in flight, not three; a slot in flight stays', async (t) => {
  const engine = await start()
  t.teardown(() => engine.close())
  const alone = await decodeStep(engine, { rows: 1, context: 3, blockSize, vocabSize, adapters: [] })
  const batch = admitRows(engine, { rows: 1, context: 3, blockSize, vocabSize, adapters: [] })
  const next = (past: number): StepBatch => ({
    sequences: Int32Array.of(0, past, 1, 0, 0, 1, 0, 0, 0),
    blocks: new Int32Array(0),
  })
  const flights = [engine.step(batch), engine.step(next(4))]
  t.throws(() => engine.step(next(5)), { message: /two steps are in flight/ })
  t.throws(() => engine.release(0), { message: /a step in flight names that slot/ })
  t.throws(() => engine.close(), { message: /a step is in flight/ })
  const [first, second] = await Promise.all(flights)
  t.same(first.tokens, alone.tokens)
  t.equal((await engine.step(next(5))).tokens.length, 1)
  // The same two one after the other.
  engine.release(0)
  await engine.step(admitRows(engine, { rows: 1, context: 3, blockSize, vocabSize, adapters: [] }))
  t.same((await engine.step(next(4))).tokens, second.tokens, 'the second went on from what the first sampled')
})
