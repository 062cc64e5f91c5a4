/** Some of an adapter's ranks, on the CUDA engine without a GPU. */
import t from 'tap'
import { emulatedFamily, needsEmulated } from '../support/emulated.ts'
import { FLOAT16 } from '../support/oracle.ts'
import { checkRanks } from '../support/ranks.ts'

t.test('as PEFT', needsEmulated, (t) => checkRanks(t, emulatedFamily('llama-heads16'), FLOAT16.tolerance))
