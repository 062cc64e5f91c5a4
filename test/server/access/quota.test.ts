/** What a key may have in flight and spend. */
import t from 'tap'
import { Quota } from '../../../server/access/quota.ts'
import { ApiError } from '../../../server/errors.ts'

function refusal(ask: () => unknown): ApiError {
  try {
    ask()
  } catch (error) {
    if (error instanceof ApiError) return error
    throw error
  }
  throw new Error('it was let in')
}

const nothing = () => ({ promptTokens: 0, completionTokens: 0 })

t.test('requests and sequences in flight', async (t) => {
  const quota = new Quota({ maxRequests: 2, maxSequences: 10 })
  const leave = quota.enter()
  quota.enter()
  t.match(
    refusal(() => quota.enter()),
    { code: 'too_many_requests', message: /2 requests in flight.*max-concurrent-requests/ },
  )
  leave()
  quota.enter()
  const done = quota.work(8, nothing())
  t.match(
    refusal(() => quota.work(3, nothing())),
    { code: 'too_many_requests', message: /8 of its 10 sequences.*3 more/ },
  )
  t.match(
    refusal(() => quota.work(11, nothing())),
    { code: 'invalid_request', param: 'n', message: /11 sequences.*10 at most/ },
  )
  done()
  quota.work(10, nothing())
})

t.test('tokens a minute are counted as they come, and debt is waited for', async (t) => {
  let now = 0
  const quota = new Quota({ tokensPerMinute: 600 }, () => now)
  const spent = { promptTokens: 100, completionTokens: 0 }
  const done = quota.work(1, spent)
  spent.completionTokens = 400
  quota.work(1, nothing())()
  spent.completionTokens = 1100
  const late = refusal(() => quota.work(1, nothing()))
  t.match(late, { code: 'too_many_requests', message: /600 tokens a minute.*tokens-per-minute/ })
  t.equal(late.retryAfter, 61, '600 tokens of debt, at 10 a second, and one to have')
  done()
  t.equal(refusal(() => quota.work(1, nothing())).retryAfter, 61, 'what is over counts like what is in flight')
  now = 60_000
  refusal(() => quota.work(1, nothing()))
  now = 61_000
  quota.work(1, nothing())()
  now = 10 * 60_000
  const rich = { promptTokens: 601, completionTokens: 0 }
  quota.work(1, rich)()
  t.equal(refusal(() => quota.work(1, nothing())).retryAfter, 1, 'a bucket holds a minute, however long nobody came')
})

t.test('other limits, the same account', async (t) => {
  const quota = new Quota({})
  quota.enter()
  quota.work(3, { promptTokens: 1_000_000, completionTokens: 0 })()
  quota.change({ maxRequests: 1, tokensPerMinute: 100 })
  t.match(
    refusal(() => quota.enter()),
    { message: /1 requests in flight/ },
  )
  quota.work(1, { promptTokens: 200, completionTokens: 0 })()
  quota.change({ tokensPerMinute: 200 })
  t.match(
    refusal(() => quota.work(1, nothing())),
    { message: /200 tokens a minute/ },
    'debt is not forgiven',
  )
})
