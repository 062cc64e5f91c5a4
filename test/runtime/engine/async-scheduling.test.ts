/** Steps that are planned while one runs answer as steps one after the other do, to the bit: whatever a request asks for, ends, preemptions and prefixes included. */
import t from 'tap'
import { answersTo } from '../../support/wishes.ts'

const promptOf = (i: number) => Array.from({ length: 6 + ((i * 5) % 23) }, (_, k) => 10 + (((i % 3) * 40 + k * 7) % 900))

t.test('answers do not depend on when steps are planned', async (t) => {
  const one = await answersTo({ asyncScheduling: false }, promptOf)
  const two = await answersTo({ asyncScheduling: true }, promptOf)
  for (const { counters, complaint } of [one, two]) {
    t.ok(counters.preemptions > 0, `preempted ${counters.preemptions} times`)
    t.equal(complaint, undefined, 'every block has come back')
  }
  t.ok(
    one.told.some(({ finish }) => finish === 'stop'),
    'some are stopped',
  )
  t.same(two.told, one.told)
})
