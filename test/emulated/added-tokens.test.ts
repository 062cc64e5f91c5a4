/** Adapters with tokens of their own beside others, on the CUDA engine without a GPU. */
import t from 'tap'
import { checkAddedTokens } from '../support/added-tokens.ts'
import { emulatedFamily, needsEmulated } from '../support/emulated.ts'

for (const name of ['added-heads16', 'added-gemma2-heads16'])
  t.test(name, needsEmulated, async (t) => {
    const family = emulatedFamily(name)
    const engine = await family.start(family.ampleBlocks)
    t.teardown(() => engine.close())
    await checkAddedTokens(t, family, engine)
  })
