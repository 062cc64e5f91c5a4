/**
 * The CUDA engine in float16, without a GPU, against transformers + PEFT in float32: every adapter method's kernels, mixes, packed and separate projections,
 * windows and soft caps. Alone, all in flight at once, ending at different times, on a pool too small, with and without captured graphs.
 */
import t from 'tap'
import { emulatedFamily, FAMILIES, needsEmulated } from '../support/emulated.ts'
import { FLOAT16, failures, idleComplaints, type Verdict } from '../support/oracle.ts'

const wrong = (verdicts: Verdict[]) => failures(verdicts, FLOAT16.tolerance)
const tokens = (verdicts: Verdict[]) => verdicts.map((verdict) => verdict.tokens)

for (const name of FAMILIES)
  t.test(name, needsEmulated, async (t) => {
    const family = emulatedFamily(name)
    const alone: Verdict[] = []

    t.test('alone and all at once: the same tokens, and the right ones', async (t) => {
      const engine = await family.start(family.ampleBlocks)
      t.teardown(() => engine.close())
      for (const [i, one] of family.cases.entries()) alone.push(await family.run(engine, one, `alone-${i}`))
      t.same(wrong(alone), [], 'alone: logits and greedy tokens')
      // Steps that return logits are not captured; these are.
      const captured: Verdict[] = []
      for (const [i, one] of family.cases.entries())
        captured.push(await family.run(engine, one, `captured-${i}`, { returnLogits: false }))
      t.same(tokens(captured), tokens(alone), 'alone, captured: the same')
      t.same(tokens(await family.runAll(engine, 'all')), tokens(alone), 'all at once: the same')
      t.same(
        tokens(await family.runAll(engine, 'captured', { returnLogits: false })),
        tokens(alone),
        'all at once, captured: the same',
      )
      await engine.idle()
      t.same(idleComplaints(engine.snapshot), [])
      t.equal(engine.snapshot.counters.failedSteps, 0)
    })

    t.test('sequences that end one after the other', async (t) => {
      const engine = await family.start(family.ampleBlocks)
      t.teardown(() => engine.close())
      const lengths = family.cases.map((_, i) => 2 + ((i * 7) % 23))
      const ragged = await Promise.all(
        family.cases.map((one, i) => family.run(engine, one, `${i}`, { returnLogits: false, maxTokens: lengths[i] })),
      )
      t.same(
        tokens(ragged),
        alone.map((verdict, i) => verdict.tokens.slice(0, lengths[i])),
      )
      t.equal(engine.snapshot.counters.failedSteps, 0)
    })

    t.test('with blocks that adapters share, on a pool too small for them', async (t) => {
      const cut = emulatedFamily(name, 'cuda', 64)
      t.ok(cut.frameBytes < cut.blockBytes)
      const engine = await cut.start(cut.leastBlocks + 2, { maxBatchTokens: 24 })
      t.teardown(() => engine.close())
      t.same(tokens(await cut.runAll(engine, 'shared', { returnLogits: false })), tokens(alone))
      await engine.idle()
      t.same(idleComplaints(engine.snapshot), [])
      const { counters } = engine.snapshot
      t.ok(counters.adapterEvictions > 0, `adapters were put out (${counters.adapterEvictions})`)
      t.equal(counters.failedSteps, 0)
    })

    t.test('on a pool too small for its adapters and sequences', async (t) => {
      const engine = await family.start(family.leastBlocks + 2, { maxBatchTokens: 24 })
      t.teardown(() => engine.close())
      const verdicts = [
        ...(await family.runAll(engine, 'first', { returnLogits: false })),
        ...(await family.runAll(engine, 'second', { returnLogits: false })),
      ]
      t.same(tokens(verdicts), [...tokens(alone), ...tokens(alone)])
      await engine.idle()
      t.same(idleComplaints(engine.snapshot), [])
      const { counters } = engine.snapshot
      t.ok(counters.adapterEvictions > 0, `adapters were put out (${counters.adapterEvictions})`)
      t.ok(counters.adapterLoads > family.images.size, `and brought back (${counters.adapterLoads} loads)`)
      t.ok(counters.preemptions > 0, `sequences were preempted (${counters.preemptions})`)
      t.equal(counters.failedSteps, 0)
    })

    t.test('without captured graphs', async (t) => {
      const engine = await family.start(family.ampleBlocks, { captureGraphs: false })
      t.teardown(() => engine.close())
      t.same(tokens(await family.runAll(engine, 'plain', { returnLogits: false })), tokens(alone))
    })
  })
