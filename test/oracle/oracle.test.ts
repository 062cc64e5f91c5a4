/**
 * Every family × method against transformers + PEFT (issue 2, "What it must show", 2), with adapter rows in float32: alone, all in flight at
 * once, and on a pool so small that adapters and sequences are put out and brought back. LORIKEET_ORACLE=DIR runs make_oracle.py's full output.
 */
import t, { type Test } from 'tap'
import { failures, idleComplaints, OracleFamily, oracleFamilies, type Verdict } from '../support/oracle.ts'

/**
 * With int8 rows on these deliberately unruly models: about twice the largest error of a logit that was measured, and a little less than the part of the adapters' cases
 * that kept every token.
 */
const INT8 = {
  llama: { tolerance: 0.65, whole: 0.5 },
  gemma2: { tolerance: 0.9, whole: 0.8 },
  'added-heads16': { tolerance: 0.2, whole: 0.65 },
}

const families = oracleFamilies()
t.ok(families.length >= 1, 'there are oracle folders')
/** One whose adapters all have the base's vocabulary and act on the whole prompt. */
const first = families.find((name) => !/^(added|alora)/.test(name)) as string

for (const name of families)
  t.test(name, async (t) => {
    const family = new OracleFamily(name)
    const alone: Verdict[] = []

    t.test('alone and all at once', async (t) => {
      const engine = await family.start(family.ampleBlocks)
      t.teardown(() => engine.close())
      for (const [i, one] of family.cases.entries()) alone.push(await family.run(engine, one, `alone-${i}`))
      t.same(failures(alone), [], 'alone: logits and greedy tokens')
      await engine.idle()
      t.same(idleComplaints(engine.snapshot), [], 'alone: pool accounting')

      const together = await family.runAll(engine)
      t.same(failures(together), [], 'all at once: logits and greedy tokens')
      await engine.idle()
      t.same(idleComplaints(engine.snapshot), [], 'all at once: pool accounting')
      t.equal(engine.snapshot.counters.failedSteps, 0)
    })

    for (const [what, leastFrameBytes] of [
      ['on a pool too small for its adapters and sequences', undefined],
      ['the same with blocks that adapters share', 64],
    ] as const)
      t.test(what, (t) => tooSmall(t, new OracleFamily(name, 'float32', undefined, 'cpu', leastFrameBytes)))

    t.test('with host memory and a pool too small for its adapters', async (t) => {
      const engine = await family.start(family.leastBlocks + 2, { maxBatchTokens: 24 }, [])
      t.teardown(() => engine.close())
      // Room for as many as the largest mix has.
      const most = Math.max(...family.cases.map(({ weights }) => Object.keys(weights).length))
      const { registry, memory } = family.hostTier(engine, most)
      const twice = [...family.cases, ...family.cases]
      const verdicts = await Promise.all(twice.map((one, i) => family.runLeased(engine, registry, one, `leased-${i}`)))
      t.same(failures(verdicts), [], 'logits and greedy tokens')
      await engine.idle()
      t.same(idleComplaints(engine.snapshot), [], 'pool accounting')
      t.ok(memory.evictions > 0, `adapters left host memory (${memory.evictions})`)
      t.ok(
        registry.counts.loaded > family.images.size,
        `and were read again (${registry.counts.loaded} of ${family.images.size})`,
      )
      t.equal(memory.bytes.reserved, 0)
      t.ok(memory.count <= most)
    })
  })

/** Everything at once, adapters and sequences put out and brought back. */
async function tooSmall(t: Test, family: OracleFamily): Promise<void> {
  // 24 tokens a step: the prompts of 61 tokens go in by chunks, between other sequences' decode rows.
  const engine = await family.start(family.leastBlocks + 2, { maxBatchTokens: 24 })
  t.teardown(() => engine.close())
  const verdicts = [...(await family.runAll(engine, 'first')), ...(await family.runAll(engine, 'second'))]
  t.same(failures(verdicts), [], 'logits and greedy tokens')
  await engine.idle()
  t.same(idleComplaints(engine.snapshot), [], 'pool accounting')
  const { counters } = engine.snapshot
  t.ok(counters.adapterEvictions > 0, `adapters were put out (${counters.adapterEvictions})`)
  t.ok(
    counters.adapterLoads > family.images.size,
    `and brought back (${counters.adapterLoads} loads of ${family.images.size} adapters)`,
  )
  t.ok(counters.preemptions > 0, `sequences were preempted (${counters.preemptions})`)
  t.equal(counters.failedSteps, 0)
  if (family.frameBytes < family.blockBytes)
    t.ok(
      [...family.images.values()].some(({ frames }) => frames > 0),
      'and blocks were shared',
    )
}

t.test('16-bit adapter rows keep the tokens of nearly every case', async (t) => {
  const family = new OracleFamily(first, 'float16')
  const engine = await family.start(family.ampleBlocks)
  t.teardown(() => engine.close())
  const verdicts = await family.runAll(engine)
  const whole = verdicts.filter((v) => v.agreed === v.tokens.length).length
  t.ok(whole >= 0.9 * verdicts.length, `${whole} of ${verdicts.length} with every token equal`)
  t.same(failures(verdicts.filter((v) => v.name === 'base')), [], 'the base is untouched by it')
})

t.test(
  'int8 adapter rows keep logits and tokens near, and every answer the same alone, in a batch and brought back',
  async (t) => {
    for (const [name, bounds] of Object.entries(INT8)) {
      const family = new OracleFamily(name, 'int8')
      const engine = await family.start(family.ampleBlocks)
      t.teardown(() => engine.close())
      t.equal(engine.info.adapterDtype, 'int8')
      const verdicts = await family.runAll(engine)
      const rounded = verdicts.filter((v) => v.name !== 'base')
      t.same(failures(verdicts.filter((v) => v.name === 'base')), [], 'the base is untouched by it')
      const worst = Math.max(...rounded.map((v) => v.logitsError))
      t.ok(worst <= bounds.tolerance, `${name}: logits err by ${worst.toExponential(1)}`)
      t.ok(worst > 1e-4, 'which is more than float32 does: rows are rounded')
      const whole = rounded.filter((v) => v.agreed === v.tokens.length).length
      t.ok(whole >= bounds.whole * rounded.length, `${whole} of ${rounded.length} with every token equal`)

      const small = await family.start(family.leastBlocks + 2, { maxBatchTokens: 24 })
      t.teardown(() => small.close())
      t.same(await family.runAll(small), verdicts, 'in chunks, put back and brought back: the same to the bit')
    }
  },
)

t.test('a wrong adapter does not pass for the right one', async (t) => {
  const family = new OracleFamily(first)
  const engine = await family.start(family.ampleBlocks)
  t.teardown(() => engine.close())
  const [one, other] = [...family.images.keys()]
  const swapped = family.cases.filter((c) => c.name === one).map((c) => ({ ...c, weights: { [other]: 1 } }))
  const verdicts = await Promise.all(swapped.map((c, i) => family.run(engine, c, `swapped-${i}`)))
  t.equal(failures(verdicts).length, swapped.length)
})
