/** Speculative decoding answers as decoding token by token does, to the bit: whatever a request asks for, with preemptions, prefixes and ends in the middle of a draft. */
import t from 'tap'
import { answersTo } from '../../support/wishes.ts'

const speculation = { tokens: 4, shortest: 1, longest: 3 }
/** Passages that repeat, so that much is found, and some of it is wrong. */
const promptOf = (i: number) => Array.from({ length: 12 + ((i * 5) % 23) }, (_, k) => 10 + (((i % 3) * 40 + (k % 5) * 7) % 900))

for (const asyncScheduling of [false, true])
  t.test(`with the next step ${asyncScheduling ? '' : 'not '}planned ahead`, async (t) => {
    const without = await answersTo({ asyncScheduling }, promptOf, 40)
    const speculated = await answersTo({ asyncScheduling, speculation }, promptOf, 40)
    t.same(speculated.told, without.told)
    t.equal(speculated.complaint, undefined, 'every block has come back')
    const { counters } = speculated
    t.ok(counters.preemptions > 0, `preempted ${counters.preemptions} times`)
    t.ok(counters.acceptedTokens > 10, `${counters.acceptedTokens} drafted tokens stayed`)
    t.ok(counters.draftTokens > counters.acceptedTokens, `of ${counters.draftTokens}`)
  })
