/** The CPU's KV cache in 16 and 8 bits: as near to transformers + PEFT as rounding lets it be, and every answer the same alone, in a batch, and brought back after a preemption. */
import t from 'tap'
import type { CacheDtype } from '../../native/types.ts'
import { OracleFamily, type Verdict } from '../support/oracle.ts'

/** Bounds on the logits' error: about twice what was measured over these families. */
const TOLERANCE = { float16: 4e-2, bfloat16: 3e-1, int8: 7e-1 } as const

for (const name of ['llama', 'llama-heads16', 'gemma2'])
  for (const [dtype, tolerance] of Object.entries(TOLERANCE) as [CacheDtype, number][])
    t.test(`${name}, ${dtype}`, async (t) => {
      const family = new OracleFamily(name, 'float32', undefined, 'cpu', undefined, dtype)
      const whole = new OracleFamily(name)
      t.ok(family.blockBytes < whole.blockBytes, 'blocks are smaller')
      const engine = await family.start(family.ampleBlocks)
      t.teardown(() => engine.close())
      t.equal(engine.info.cacheDtype, dtype)
      t.equal(engine.info.blockBytes, family.blockBytes)
      const alone: Verdict[] = []
      for (const [i, one] of family.cases.entries()) alone.push(await family.run(engine, one, `alone-${i}`))
      const worst = Math.max(...alone.map(({ logitsError }) => logitsError))
      t.ok(worst <= tolerance, `logits err by ${worst.toExponential(1)}`)
      t.ok(worst > 1e-5, 'which is more than float32 does: the cache is rounded')
      t.same(await family.runAll(engine), alone, 'all at once: the same to the bit')

      const small = await family.start(family.leastBlocks + 2, { maxBatchTokens: 24 })
      t.teardown(() => small.close())
      t.same(await family.runAll(small), alone, 'in chunks, put back and brought back: the same to the bit')
      t.ok(small.snapshot.counters.preemptions > 0, `${small.snapshot.counters.preemptions} preemptions`)
    })
