/** What putAdapter refuses: an image whose rows leave their blocks, or whose indices leave their outputs, would read and write other tenants' memory. */
import t from 'tap'
import { ENTRY, ENTRY_FIELDS } from '../../adapters-store/types.ts'
import { decodeStep, residentsOf } from '../../bench/decode-batch.ts'
import type { PackedAdapter } from '../../native/types.ts'
import { buildModel } from '../../runtime/model/index.ts'
import { startNativeEngine } from '../support/native-step.ts'
import { OracleFamily } from '../support/oracle.ts'
import { fixture } from '../support/repo.ts'

const family = new OracleFamily('llama', 'float32', fixture('oracle'), 'cpu')
const model = buildModel(fixture('oracle', family.name, 'base'), { device: 'cpu', dtype: 'float32' })
const BLOCKS = 256
const BLOCK_SIZE = family.blockSize

const start = () =>
  startNativeEngine(model, { blockSize: BLOCK_SIZE, blockCount: BLOCKS, maxBatchTokens: 4, maxSequences: 4, maxModelLen: 64 })

/** A copy whose arrays may be changed. */
function copyOf(name: string): PackedAdapter {
  const [resident] = residentsOf([family.images.get(name)!], 0)
  const { image, blocks, rows, entries } = resident
  return { ...resident, image: image.slice(), blocks: blocks.slice(), rows: rows.slice(), entries: entries.slice() }
}
const field = (entry: number, name: keyof typeof ENTRY) => entry * ENTRY_FIELDS + ENTRY[name]
/** The first entry whose row field is given. */
const entryWith = ({ entries }: PackedAdapter, name: keyof typeof ENTRY) =>
  Array.from({ length: entries.length / ENTRY_FIELDS }, (_, i) => i).find((i) => entries[field(i, name)] >= 0)!

t.test('putAdapter', async (t) => {
  const engine = await start()
  t.teardown(() => engine.close())
  const blockBytes = engine.blockBytes
  const refused = (name: string, change: (adapter: PackedAdapter) => void, message: RegExp) => {
    const adapter = copyOf(name)
    change(adapter)
    t.throws(() => engine.putAdapter(adapter), { message }, `${message}`)
  }
  for (const name of family.images.keys()) {
    t.doesNotThrow(() => engine.putAdapter(copyOf(name)), `${name} as it was packed`)
    engine.dropAdapter(0)
  }

  for (const [adapter, row] of [
    ['lora-r16-all', 'a'],
    ['lora-r16-all', 'b'],
    ['dora', 'outScale'],
    ['lora-bias', 'bias'],
  ] as const)
    refused(
      adapter,
      (made) => {
        made.rows[2 * made.entries[field(entryWith(made, row), row)] + 1] = blockBytes - 64
      },
      new RegExp(`putAdapter: site \\d+, ${row}: row \\d+ does not end in its block`),
    )

  refused(
    'lora-r16-all',
    (made) => {
      made.rows[1] += 4
    },
    /row 0 does not begin at a multiple of 64 bytes/,
  )
  refused(
    'lora-r16-all',
    (made) => {
      made.rows[0] = made.blocks.length
    },
    /row 0 is out of range/,
  )
  refused(
    'lora-r16-all',
    (made) => {
      made.rows[1] = -64
    },
    /row 0 is out of range/,
  )
  refused(
    'lora-r16-all',
    (made) => {
      made.image = made.image.subarray(0, 64)
    },
    /leaves the image/,
  )
  refused(
    'lora-r16-all',
    (made) => {
      made.entries[field(0, 'rank')] = -1
    },
    /rank is negative/,
  )
  refused(
    'lora-r16-all',
    (made) => {
      made.entries[field(0, 'a')] = made.rows.length / 2
    },
    /a names rows that do not exist/,
  )

  // In int8 a row of scales stands behind A's.
  const rounded = new OracleFamily('llama', 'int8', fixture('oracle'), 'cpu')
  const options = { blockSize: BLOCK_SIZE, blockCount: BLOCKS, maxBatchTokens: 4, maxSequences: 4, maxModelLen: 64 }
  const small = await startNativeEngine(model, { ...options, adapterDtype: 'int8' })
  t.teardown(() => small.close())
  for (const [name, image] of rounded.images) {
    t.doesNotThrow(() => small.putAdapter(residentsOf([image], 0)[0]), `${name} in int8`)
    small.dropAdapter(0)
  }
  const [resident] = residentsOf([rounded.images.get('lora-r16-all')!], 0)
  const scales = resident.entries[ENTRY.a] + resident.entries[ENTRY.rank]
  const rows = resident.rows.slice()
  const end = Math.ceil(resident.image.length / 64) * 64
  rows.set([Math.floor(end / blockBytes), end % blockBytes], 2 * scales)
  t.throws(() => small.putAdapter({ ...resident, rows }), { message: /site 1, the scales of a: row 16 leaves the image/ })
  const cut = resident.rows.slice(0, 2 * scales)
  t.throws(() => small.putAdapter({ ...resident, rows: cut }), { message: /the scales of a names rows that do not exist/ })
  await t.rejects(async () => startNativeEngine(model, { ...options, device: 'cuda', adapterDtype: 'int8' }), {
    message: /adapterDtype int8 needs the CPU/,
  })

  const indexOf = (made: PackedAdapter) => {
    const first = made.entries[field(entryWith(made, 'index'), 'index')]
    const at = made.rows[2 * first] * blockBytes + made.rows[2 * first + 1]
    return new DataView(made.image.buffer, made.image.byteOffset + at)
  }
  refused(
    'tokens',
    (made) => indexOf(made).setInt32(0, -1, true),
    /site 0, index holds -1 after -1: it must ascend from 0 to below \d+/,
  )
  refused('tokens', (made) => indexOf(made).setInt32(0, model.vocabSize, true), /site 0, index holds \d+ after -1/)
  refused('tokens', (made) => indexOf(made).setInt32(4, 0, true), /site 0, index holds 0 after \d+/)
})

t.test('frames', async (t) => {
  const cut = new OracleFamily('llama', 'float32', fixture('oracle'), 'cpu', 64)
  const perBlock = cut.blockBytes / cut.frameBytes
  t.ok(perBlock > 1)
  const options = { blockSize: BLOCK_SIZE, blockCount: BLOCKS, maxBatchTokens: 4, maxSequences: 4, maxModelLen: 64 }
  const engine = await startNativeEngine(model, { ...options, frameBytes: cut.frameBytes })
  t.teardown(() => engine.close())
  const name = 'lora-r16-all'
  const made = (): PackedAdapter => {
    const [resident] = residentsOf([cut.images.get(name)!], 0)
    const { image, blocks, frames, rows, entries } = resident
    const copies = {
      image: image.slice(),
      blocks: blocks.slice(),
      frames: frames.slice(),
      rows: rows.slice(),
      entries: entries.slice(),
    }
    return { ...resident, ...copies }
  }
  t.ok(made().blocks.length > 0 && made().frames.length > 1, 'it has both')
  const refused = (change: (adapter: PackedAdapter) => void, message: RegExp) => {
    const adapter = made()
    change(adapter)
    t.throws(() => engine.putAdapter(adapter), { message }, `${message}`)
  }
  const inFrame = ({ rows, blocks }: PackedAdapter) =>
    Array.from({ length: rows.length / 2 }, (_, i) => i).find((i) => rows[2 * i] >= blocks.length)!
  refused((adapter) => {
    adapter.rows[2 * inFrame(adapter) + 1] = cut.frameBytes - 64
  }, /row \d+ does not end in its block or frame/)
  refused((adapter) => {
    // In a block there would be room for it.
    adapter.rows[2 * inFrame(adapter) + 1] = cut.frameBytes
  }, /row \d+ is out of range/)
  refused((adapter) => {
    adapter.rows[2 * inFrame(adapter)] = adapter.blocks.length + adapter.frames.length
  }, /row \d+ is out of range/)
  refused((adapter) => {
    adapter.frames[0] = BLOCKS * perBlock
  }, /a frame is \d+; it must be 0 to/)
  refused((adapter) => {
    adapter.frames[0] = -1
  }, /a frame is -1; it must be 0 to/)
  refused((adapter) => {
    adapter.frames[1] = adapter.frames[0]
  }, /a frame is \d+; that frame is in use/)
  refused((adapter) => {
    adapter.frames[0] = adapter.blocks[0] * perBlock
  }, /a frame is 0; that frame is in use/)
  refused((adapter) => {
    adapter.frames = adapter.frames.subarray(0, 1)
  }, /the image is larger than its blocks and frames/)
  refused((adapter) => {
    adapter.image = adapter.image.subarray(0, -64)
  }, /leaves the image/)
  for (const frameBytes of [0, 96, 1280, 2 * cut.blockBytes])
    await t.rejects(async () => startNativeEngine(model, { ...options, frameBytes }), {
      message: /frameBytes must be a multiple of 64 that divides a block/,
    })

  // Two that share blocks, their frames one by one and the last first: the answers are those of adapters in blocks of their own.
  const names = [name, 'dora']
  const shared = names.map((name, index) => {
    const image = cut.images.get(name)!
    const [resident] = residentsOf([image], 10 + 40 * index)
    const frames = Int32Array.from({ length: image.frames }, (_, i) => 100 * perBlock + 2 * (image.frames - i) + index)
    return { ...resident, index, generation: index + 1, frames }
  })
  for (const adapter of shared) engine.putAdapter(adapter)
  t.throws(() => engine.putAdapter({ ...made(), index: 7, blocks: new Int32Array([99, 100]) }), {
    message: /a block is 100; that block is in use/,
  })
  const rows = { rows: 4, context: 0, blockSize: BLOCK_SIZE, vocabSize: model.vocabSize, returnLogits: true }
  const found = await decodeStep(engine, { ...rows, adapters: shared })
  const plain = await start()
  t.teardown(() => plain.close())
  const apart = residentsOf(
    names.map((name) => family.images.get(name)!),
    10,
  )
  for (const adapter of apart) plain.putAdapter(adapter)
  t.same(found.logits, (await decodeStep(plain, { ...rows, adapters: apart })).logits)
  const base = await decodeStep(plain, { ...rows, adapters: [] })
  t.notSame(found.logits, base.logits)
})
