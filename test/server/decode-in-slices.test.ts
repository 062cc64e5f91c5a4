import t from 'tap'
import { decodeInSlices } from '../../server/decode-in-slices.ts'
import { ModelTokenizer } from '../../server/tokenizer/tokenizer.ts'
import { seeded } from '../support/pace.ts'
import { demoModel } from '../support/repo.ts'

const tokenizer = ModelTokenizer.load(demoModel('base'))

t.test('tokens decode in slices as at once, characters across them too', async (t) => {
  const random = seeded(5)
  const ids = Array.from({ length: 20_000 }, () => random.below(1500))
  for (const skipSpecialTokens of [true, false]) {
    const whole = tokenizer.decode(ids, { skipSpecialTokens })
    t.equal(await decodeInSlices(tokenizer, ids, { skipSpecialTokens }), whole)
    t.equal(await decodeInSlices(tokenizer, Int32Array.from(ids), { skipSpecialTokens }), whole)
  }
})
