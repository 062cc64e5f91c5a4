/** Checkpoints whose weights are quantized already, on CUDA without a GPU: there they are floats. */
import t from 'tap'
import { needsEmulated } from '../support/emulated.ts'
import { FLOAT16, failures } from '../support/oracle.ts'
import { storedCheckpoints, storedFamily } from '../support/stored.ts'

for (const name of storedCheckpoints)
  t.test(`${name}: as PEFT over the values that its integers mean`, needsEmulated, async (t) => {
    const family = storedFamily(t, name, false, 'cuda')
    const engine = await family.start(family.ampleBlocks)
    t.teardown(() => engine.close())
    t.strictSame(failures(await family.runAll(engine), FLOAT16.tolerance), [])
  })
