/** Limits of tenants and adapters: what is counted, what is refused, and what is forgotten. */
import t from 'tap'
import { Quota } from '../../server/access/quota.ts'
import { configOf } from '../../server/config/config.ts'
import { ApiError } from '../../server/errors.ts'
import { type Asked, type LimitSettings, RequestLimits } from '../../server/request-limits.ts'

function refusal(ask: () => unknown): ApiError {
  try {
    ask()
  } catch (error) {
    if (error instanceof ApiError) return error
    throw error
  }
  throw new Error('it was let in')
}

const limits = (settings: Partial<LimitSettings>, now?: () => number) => new RequestLimits({ ...configOf({}), ...settings }, now)
const asked = (others: Partial<Asked> = {}): Asked => ({
  key: new Quota({}),
  tenant: undefined,
  adapters: [],
  generates: true,
  ...others,
})
const of = (...names: string[]) => asked({ adapters: names.map((name) => ({ name })) })

t.test('requests in flight of an adapter; a mix counts for each, or for none', async (t) => {
  const all = limits({ adapterMaxRequests: 2 })
  const first = all.enter(of('a'))
  all.enter(of('a', 'b'))
  const refused = refusal(() => all.enter(of('b', 'a')))
  t.match(refused, {
    code: 'too_many_requests',
    message: 'the adapter a has 2 requests in flight, which is its limit (adapter-max-requests); try again when one is done',
  })
  t.match(refused.body().error, {
    type: 'rate_limit_error',
    param: null,
    limit: { of: 'adapter', name: 'adapter-max-requests', value: 2 },
  })
  all.enter(of('b'))
  refusal(() => all.enter(of('b')))
  first.leave()
  first.leave()
  all.enter(of('a'))
  refusal(() => all.enter(of('a')))
  t.equal(refusal(() => all.enter({ ...of('a'), generates: false })).limit?.name, 'adapter-max-requests')
})

t.test("an adapter's own limits go before those of all", async (t) => {
  const all = limits({ adapterMaxRequests: 1, adapterTokensPerMinute: 100 })
  const own = asked({ adapters: [{ name: 'a', limits: { maxRequests: 2 } }] })
  all.enter(own)
  all.enter(own).work(1, { promptTokens: 200, completionTokens: 0 })
  t.equal(refusal(() => all.enter(own)).limit?.value, 2)
  t.match(
    refusal(() => all.enter(asked({ adapters: [{ name: 'a', limits: { maxRequests: 9 } }] }))).limit,
    { name: 'adapter-tokens-per-minute', value: 100 },
    'what it has none of its own for is that of all',
  )
})

t.test('a queue: those that have not begun', async (t) => {
  const all = limits({ tenantMaxQueued: 2 })
  const first = all.enter(asked({ tenant: 'acme' }))
  const second = all.enter(asked({ tenant: 'acme' }))
  t.match(
    refusal(() => all.enter(asked({ tenant: 'acme' }))),
    {
      message: 'the tenant acme has 2 requests waiting, which is its limit (tenant-max-queued); try again when one has begun',
      limit: { of: 'tenant', name: 'tenant-max-queued', value: 2 },
    },
  )
  all.enter(asked({ tenant: 'other' }))
  all.enter(asked({ tenant: 'acme', generates: false }))
  t.equal(first.bounded, true)
  first.begun()
  first.begun()
  all.enter(asked({ tenant: 'acme' }))
  refusal(() => all.enter(asked({ tenant: 'acme' })))
  second.leave()
  all.enter(asked({ tenant: 'acme' }))
  refusal(() => all.enter(asked({ tenant: 'acme' })))
  t.equal(limits({ tenantMaxRequests: 2 }).enter(asked({})).bounded, false)
})

t.test('the queue of a key', async (t) => {
  const all = limits({})
  const key = new Quota({ maxQueued: 1 })
  const first = all.enter(asked({ key }))
  t.match(
    refusal(() => all.enter(asked({ key }))),
    {
      message: /^this key has 1 requests waiting.*max-queued-requests/,
      limit: { of: 'key', name: 'max-queued-requests', value: 1 },
    },
  )
  t.equal(first.bounded, true)
  first.begun()
  all.enter(asked({ key })).leave()
  all.enter(asked({ key }))
})

t.test('tokens a minute are refused before any work, and say when to come again', async (t) => {
  let now = 0
  const all = limits({ tenantTokensPerMinute: 600, adapterTokensPerMinute: 6000 }, () => now)
  const acme = asked({ tenant: 'acme', adapters: [{ name: 'a' }] })
  const turn = all.enter(acme)
  const spent = { promptTokens: 100, completionTokens: 0 }
  turn.work(1, spent)
  all.enter(acme).leave()
  spent.completionTokens = 1100
  const late = refusal(() => all.enter(acme))
  t.match(late, { retryAfter: 61, limit: { name: 'tenant-tokens-per-minute', value: 600 } })
  turn.leave()
  t.equal(refusal(() => all.enter(acme)).retryAfter, 61, 'what is over counts like what is in flight')
  t.equal(refusal(() => all.enter({ ...acme, adapters: [] })).limit?.of, 'tenant')
  all.enter({ ...acme, generates: false }).leave()
  all.enter({ ...acme, tenant: 'other' }).leave()
  now = 61_000
  all.enter(acme).leave()
})

t.test('what is used up while a request is read is told before it runs, and its place goes back', async (t) => {
  const all = limits({ adapterTokensPerMinute: 100, adapterMaxRequests: 1 }, () => 0)
  const both = limits({ adapterTokensPerMinute: 100 }, () => 0)
  const [one, other] = [both.enter(of('a')), both.enter(of('a'))]
  one.work(1, { promptTokens: 100, completionTokens: 0 })
  t.equal(refusal(() => other.work(1, { promptTokens: 1, completionTokens: 0 })).limit?.name, 'adapter-tokens-per-minute')
  const turn = all.enter(of('a'))
  turn.work(1, { promptTokens: 1, completionTokens: 0 })
  turn.leave()
  all.enter(of('a'))
})

t.test('what comes when it is over takes nothing', async (t) => {
  const all = limits({ adapterTokensPerMinute: 100 }, () => 0)
  const turn = all.enter(of('a'))
  turn.leave()
  turn.work(1, { promptTokens: 1000, completionTokens: 0 })
  all.enter(of('a')).work(1, { promptTokens: 1000, completionTokens: 0 })
  t.equal(refusal(() => all.enter(of('a'))).limit?.of, 'adapter')
})

t.test('those who name no tenant are one', async (t) => {
  const all = limits({ tenantMaxRequests: 1 })
  all.enter(asked())
  t.match(
    refusal(() => all.enter(asked())),
    { message: /^the tenant of all who name none has 1 requests in flight/ },
  )
  all.enter(asked({ tenant: 'acme' }))
})

t.test('without limits nothing is counted; what is at rest is forgotten, what owes is not', async (t) => {
  let now = 0
  t.equal(limits({}).counted, 0)
  const none = limits({})
  none.enter(asked({ tenant: 'a', adapters: [{ name: 'b' }] }))
  t.equal(none.counted, 0)
  // Tokens that nobody limits are no debt.
  const free = limits({ tenantMaxRequests: 5 })
  for (let i = 0; i < 5000; i++) {
    const turn = free.enter(asked({ tenant: `tenant ${i}` }))
    turn.work(1, { promptTokens: 1000, completionTokens: 0 })
    turn.leave()
  }
  t.ok(free.counted <= 1024, `${free.counted} counters`)
  // Also where many have come, a mix counts for all that it names.
  const many = limits({ adapterMaxRequests: 1 })
  for (let i = 0; i < 2000; i++) {
    const mix = of(`a ${i}`, `b ${i}`, `c ${i}`)
    const turn = many.enter(mix)
    for (const { name } of mix.adapters) if (!refusal(() => many.enter(of(name)))) t.fail(name)
    turn.leave()
  }
  const all = limits({ tenantTokensPerMinute: 60, tenantMaxRequests: 5 }, () => now)
  const held = all.enter(asked({ tenant: 'held' }))
  const debtor = all.enter(asked({ tenant: 'debtor' }))
  debtor.work(1, { promptTokens: 6000, completionTokens: 0 })
  debtor.leave()
  for (let i = 0; i < 20_000; i++) all.enter(asked({ tenant: `tenant ${i}` })).leave()
  t.ok(all.counted <= 2048, `${all.counted} counters`)
  refusal(() => all.enter(asked({ tenant: 'debtor' })))
  for (let i = 0; i < 4; i++) all.enter(asked({ tenant: 'held' }))
  t.equal(refusal(() => all.enter(asked({ tenant: 'held' }))).limit?.value, 5, 'also after thousands of others')
  held.leave()
  // All of them owe: they are kept, up to a bound.
  for (let i = 0; i < 150_000; i++) {
    const turn = all.enter(asked({ tenant: `debtor ${i}` }))
    turn.work(1, { promptTokens: 600, completionTokens: 0 })
    turn.leave()
  }
  t.ok(all.counted <= 65_536, `${all.counted} counters`)
  t.equal(refusal(() => all.enter(asked({ tenant: 'debtor 149999' }))).limit?.name, 'tenant-tokens-per-minute')
  refusal(() => {
    for (let i = 0; i < 5; i++) all.enter(asked({ tenant: 'held' }))
  })
  now = 3_600_000
  for (let i = 0; i < 70_000; i++) all.enter(asked({ tenant: `later ${i}` })).leave()
  t.ok(all.counted <= 65_536)
})
