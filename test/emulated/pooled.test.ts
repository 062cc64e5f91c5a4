/** Pooled sequences on the CUDA engine, emulated: float16 throughout, steps in flight, beside sequences that generate, against what transformers + PEFT compute in float32. */
import t from 'tap'
import type { Engine } from '../../runtime/types.ts'
import { logitsOf } from '../../server/pooling/classifier.ts'
import { needsEmulated } from '../support/emulated.ts'
import { greedy } from '../support/greedy.ts'
import { FLOAT16, idleComplaints } from '../support/oracle.ts'
import { farthest, PooledFamily } from '../support/pooled.ts'

function generate(engine: Engine, id: string): Promise<number[]> {
  const tokens: number[] = []
  return new Promise((resolve, reject) => {
    engine.submit({ id, promptIds: [7, 8, 9], sampling: greedy(20), adapters: [], arrival: Date.now() }, (output) => {
      tokens.push(...output.tokens)
      if (output.finish === 'error') reject(new Error(output.error?.message))
      else if (output.finish) resolve(tokens)
    })
  })
}

for (const name of ['llama', 'gemma2', 'granite', 'phi3', 'llama-classifier', 'mistral-bare'])
  t.test(name, needsEmulated, async (t) => {
    const family = new PooledFamily(name, 'cuda')
    // 24 tokens a step: prompts of 61 go in by chunks, two steps in flight.
    const engine = await family.start(400, { maxBatchTokens: 24, maxModelLen: 128 })
    t.teardown(() => engine.close())
    const generates = !engine.info.headless
    const wanted = generates ? await generate(engine, 'generated-alone') : []
    const beside = generates ? [0, 1].map((i) => generate(engine, `generated-${i}`)) : []
    const pooled = await Promise.all(family.cases.map((one, i) => family.run(engine, one, `${i}`)))
    for (const [i, one] of family.cases.entries()) {
      const { adapter = 'base', row, pooling } = one
      const off = farthest(pooled[i], row[pooling])
      t.ok(off <= FLOAT16.tolerance, `${adapter}, ${pooling} of ${row.prompt.length}: off by ${off}`)
      const head = family.headOf(one)
      if (pooling !== 'last' || !row.logits || !head) continue
      const logitsOff = farthest(logitsOf(head, pooled[i]), row.logits)
      t.ok(logitsOff <= FLOAT16.tolerance, `${adapter}: logits off by ${logitsOff}`)
    }
    for (const tokens of await Promise.all(beside)) t.same(tokens, wanted, 'who generates is not disturbed')
    await engine.idle()
    t.same(idleComplaints(engine.snapshot), [])
    t.equal(engine.snapshot.counters.failedSteps, 0)
  })
