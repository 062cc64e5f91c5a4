/**
 * Hidden states of pooled sequences against transformers + PEFT: three kinds of pooling, bases and adapters of every kind, alone, all at once beside sequences that generate, and cut into
 * chunks on a pool that is too small; the classifiers' logits with them.
 */
import t, { type Test } from 'tap'
import type { Engine } from '../../runtime/types.ts'
import { logitsOf } from '../../server/pooling/classifier.ts'
import { greedy } from '../support/greedy.ts'
import { idleComplaints, LOGITS_TOLERANCE } from '../support/oracle.ts'
import { farthest, type PooledCase, PooledFamily, pooledFamilies } from '../support/pooled.ts'

const families = pooledFamilies()
t.ok(families.length >= 6, 'there are folders')

/** What is wrong with a case's result. */
function complaint(family: PooledFamily, one: PooledCase, pooled: Float32Array): string[] {
  const { adapter = 'base', row, pooling } = one
  const what = `${adapter}, ${pooling} of ${row.prompt.length}`
  const off = farthest(pooled, row[pooling])
  const wrong = off <= LOGITS_TOLERANCE ? [] : [`${what}: off by ${off}`]
  if (pooling !== 'last' || !row.logits) return wrong
  const head = family.headOf(one)
  const logitsOff = head ? farthest(logitsOf(head, pooled), row.logits) : Number.POSITIVE_INFINITY
  return logitsOff <= LOGITS_TOLERANCE ? wrong : [...wrong, `${what}: logits off by ${logitsOff}`]
}

async function runAll(family: PooledFamily, engine: Engine, round: string): Promise<string[]> {
  const results = await Promise.all(family.cases.map((one, i) => family.run(engine, one, `${round}-${i}`)))
  return results.flatMap((pooled, i) => complaint(family, family.cases[i], pooled))
}

/** Tokens of the base, while others are pooled. */
function generate(engine: Engine, id: string, promptIds: number[]): Promise<number[]> {
  const tokens: number[] = []
  return new Promise((resolve, reject) => {
    engine.submit({ id, promptIds, sampling: greedy(24), adapters: [], arrival: Date.now() }, (output) => {
      tokens.push(...output.tokens)
      if (output.finish === 'error') reject(new Error(output.error?.message))
      else if (output.finish) resolve(tokens)
    })
  })
}

async function idle(t: Test, engine: Engine): Promise<void> {
  await engine.idle()
  t.same(idleComplaints(engine.snapshot), [], 'pool accounting')
  t.equal(engine.snapshot.counters.failedSteps, 0)
}

for (const name of families)
  t.test(name, async (t) => {
    const family = new PooledFamily(name)
    const engine = await family.start()
    t.teardown(() => engine.close())
    const alone: string[] = []
    for (const [i, one] of family.cases.entries())
      alone.push(...complaint(family, one, await family.run(engine, one, `alone-${i}`)))
    t.same(alone, [], 'alone')
    await idle(t, engine)

    const prompt = family.cases[0].row.prompt.concat(9, 11, 13)
    if (engine.info.headless) {
      await t.rejects(generate(engine, 'never', prompt), { code: 'not_generative', message: /no language-model head/ })
    } else {
      const wanted = await generate(engine, 'generated-alone', prompt)
      const beside = [0, 1, 2].map((i) => generate(engine, `generated-${i}`, prompt))
      t.same(await runAll(family, engine, 'mixed'), [], 'beside others that generate')
      for (const tokens of await Promise.all(beside)) t.same(tokens, wanted, 'who generates is not disturbed')
    }
    await idle(t, engine)
  })

t.test('in chunks, on a small pool', async (t) => {
  const family = new PooledFamily('llama')
  const engine = await family.start(14, { maxBatchTokens: 13, maxSequences: 5 })
  t.teardown(() => engine.close())
  for (const round of ['first', 'second']) t.same(await runAll(family, engine, round), [], round)
  t.ok(engine.snapshot.counters.adapterEvictions > 0, 'adapters were put out')
  await idle(t, engine)
})

t.test('alone and in any batch the same bits', async (t) => {
  const family = new PooledFamily('qwen3')
  const engine = await family.start()
  t.teardown(() => engine.close())
  const alone: Float32Array[] = []
  for (const [i, one] of family.cases.entries()) alone.push(await family.run(engine, one, `alone-${i}`))
  const together = await Promise.all(family.cases.map((one, i) => family.run(engine, one, `together-${i}`)))
  t.same(
    together.map((pooled) => [...pooled]),
    alone.map((pooled) => [...pooled]),
  )
})

t.test('the prefix cache serves the last token alone', async (t) => {
  const family = new PooledFamily('llama')
  const engine = await family.start()
  t.teardown(() => engine.close())
  const long = family.cases.filter(({ adapter, row }) => adapter === undefined && row.prompt.length === 61)
  const cached = async (round: string) => {
    const before = engine.snapshot.counters.cachedTokens
    for (const one of long) t.same(complaint(family, one, await family.run(engine, one, `${round}-${one.pooling}`)), [])
    await engine.idle()
    return engine.snapshot.counters.cachedTokens - before
  }
  await cached('first')
  t.equal(await cached('second'), 48, 'three blocks of 16, of one prompt of three')
})

t.test('an adapter that was trained for something else generates nothing', async (t) => {
  const family = new PooledFamily('llama')
  const engine = await family.start()
  t.teardown(() => engine.close())
  for (const name of ['feature', 'classes']) {
    const { digest } = family.images.get(name)!
    const adapters = [{ name, digest, weight: 1 }]
    const request = { id: name, promptIds: [5, 6], sampling: greedy(1), adapters, arrival: 0 }
    t.throws(() => engine.submit(request, () => {}), { code: 'not_generative', message: new RegExp(`^${name} was trained for`) })
  }
})
