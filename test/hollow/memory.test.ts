/** The pool that the engine makes for itself on a device of 80 GiB: it keeps to its share, and what steps need later is there before it. */
import '../support/hollow.ts'
import t from 'tap'
import { loadNative } from '../../native/index.ts'
import { ask } from '../support/ask.ts'
import { broken, needsHollow, startHollow, takeLog } from '../support/hollow.ts'
import { demoModel, fixture } from '../support/repo.ts'

const MAX_TOKENS = 512
const MAX_SEQUENCES = 32
/** Tables of resident adapters are kept in pieces of this. */
const ARENA = 8 << 20
// The validator looks at every block.
const limits = { poolBytes: undefined, maxBatchTokens: MAX_TOKENS, maxSequences: MAX_SEQUENCES, validate: false }

function memory() {
  const device = loadNative().cudaDevice()
  if ('missing' in device) throw new Error(device.missing)
  return { total: device.totalBytes, taken: device.totalBytes - device.freeBytes }
}

/** Bytes that were allocated on the device. */
const allocated = (log: string[]) =>
  log.filter((line) => line.startsWith('cudaMalloc ')).map((line) => Number(line.split(' ')[1]))

t.test('the pool takes what its share leaves, to the block', needsHollow, async (t) => {
  for (const memoryFraction of [0.9, 0.5, 0.02]) {
    const before = memory()
    const { engine } = await startHollow(t, demoModel('base'), undefined, { ...limits, memoryFraction })
    const { taken, total } = memory()
    const share = memoryFraction * total
    // An allocation may be rounded up by two megabytes.
    t.ok(taken <= share + (2 << 20), `${memoryFraction}: ${taken} of ${share} bytes are taken`)
    t.ok(taken > share - engine.info.blockBytes - (2 << 20), 'and less than a block remains')
    t.ok(engine.info.blockCount * engine.info.blockBytes > share - before.taken - (1 << 30), `${engine.info.blockCount} blocks`)
    await engine.close()
    t.equal(memory().taken, before.taken, 'the end gives everything back')
  }
  await t.rejects(startHollow(t, demoModel('base'), undefined, { ...limits, memoryFraction: 0.005 }), {
    message:
      /the device has \d+ bytes, \d+ of them taken by weights, workspace and others: within --gpu-memory-utilization no pool of 4 blocks/,
  })
})

t.test('steps that ask for everything allocate nothing more', needsHollow, async (t) => {
  for (const [base, adapters] of [
    [demoModel('base'), demoModel('adapters')],
    [fixture('oracle/llama-heads16/base'), fixture('oracle/llama-heads16/adapters')],
  ]) {
    takeLog()
    const { engine, images } = await startHollow(t, base, adapters, limits)
    takeLog()
    const uses = [...images.values()].map(({ name, digest }) => ({ name, digest, weight: 1 }))
    const everything = { temperature: 0.8, topP: 0.9, topK: 50, minP: 0.01, presencePenalty: 1, logprobs: 20 }
    const ids = (length: number) => Array.from({ length }, (_, i) => 3 + (i % 50))
    // Prompts that fill a step by themselves, alone and many of them; then many rows of decoding.
    const lengths = [MAX_TOKENS - 40, ...Array.from({ length: MAX_SEQUENCES - 1 }, (_, i) => 17 * (1 + (i % 9)))]
    const answers = lengths.map((length, i) =>
      ask(engine, ids(length), { ...everything, maxTokens: 30 }, [uses[i % uses.length]]),
    )
    for (const { error } of await Promise.all(answers)) t.equal(error, undefined)
    const greedy = lengths.map((length, i) => ask(engine, ids(length), { maxTokens: 20 }, i % 2 ? [] : [uses[i % uses.length]]))
    for (const { error } of await Promise.all(greedy)) t.equal(error, undefined)
    const log = takeLog()
    t.same(broken(log), [])
    t.same(
      allocated(log).filter((bytes) => bytes !== ARENA),
      [],
    )
    t.ok(allocated(log).length <= 1, 'but the tables of adapters')

    // Scoring a prompt is the exception: as many logits rows as tokens. They come out of what the share leaves to others.
    const scored = await ask(engine, ids(MAX_TOKENS - 40), { promptLogprobs: 0, maxTokens: 1 })
    t.match(scored, { error: undefined, promptLogprobs: { length: MAX_TOKENS - 40 } })
    const logits = 2 * MAX_TOKENS * engine.info.vocabSize
    t.ok(allocated(takeLog()).reduce((sum, bytes) => sum + bytes, 0) <= 2 * logits, 'and are few')
    await engine.close()
  }
})
