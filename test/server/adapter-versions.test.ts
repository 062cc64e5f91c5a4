/** Which of two versions a client gets. */
import t from 'tap'
import { clientOf, versionFor } from '../../server/adapter-versions.ts'
import type { AdapterRecord } from '../../server/catalogue.ts'

const version = (digest: string | undefined, directory = '/a') =>
  ({ name: 'pirate', directory, created: 1, digest }) as AdapterRecord

const [A, B, C, D, E] = ['aa', 'bb', 'cc', 'dd', 'ee'].map((digits) => digits.repeat(32))

/** A name with a canary: their digests, and the one that the canary was set with. */
function split(share: number, own = A, other = B, identity = other) {
  const adapter = version(other, '/b')
  const main = version(own)
  main.canary = { adapter, share, identity } as AdapterRecord['canary']
  return { main, adapter, canary: main.canary as NonNullable<AdapterRecord['canary']> }
}

const users = Array.from({ length: 4000 }, (_, i) => `user-${i}`)
const client = (user?: string, tenant?: string) => clientOf({ tenant }, user)
const takers = ({ main, adapter }: ReturnType<typeof split>, tenant?: string) =>
  users.filter((user) => versionFor(main, client(user, tenant)) === adapter)

/** Whether `count` of `of` is what a coin of this `share` comes to: within five standard deviations. */
const likely = (count: number, of: number, share: number) =>
  Math.abs(count - of * share) < 5 * Math.sqrt(of * share * (1 - share))

t.test('a share of the clients, the same each time', async (t) => {
  for (const share of [0.05, 0.3, 0.9]) {
    const names = split(share)
    const first = takers(names)
    t.ok(likely(first.length, users.length, share), `${first.length} of ${users.length} at ${share}`)
    t.same(takers(names), first)
  }
})

t.test('a larger share keeps those who are on the canary, a smaller one takes from them alone', async (t) => {
  const names = split(0.05)
  let before = takers(names)
  for (const share of [0.1, 0.5, 0.99]) {
    names.canary.share = share
    const now = new Set(takers(names))
    t.ok(
      before.every((user) => now.has(user)),
      `at ${share}`,
    )
    before = [...now]
  }
  names.canary.share = 0.1
  const fewer = takers(names)
  t.ok(fewer.every((user) => before.includes(user)) && fewer.length < before.length)
})

t.test('other canaries, names and tenants have other clients first', async (t) => {
  const overlap = (a: string[], b: string[]) => a.filter((user) => b.includes(user)).length
  const first = takers(split(0.3))
  const expected = users.length * 0.3 * 0.3
  const other = takers(split(0.3, A, C))
  t.ok(Math.abs(overlap(first, other) - expected) < 5 * Math.sqrt(expected), `${overlap(first, other)} in both`)
  const tenant = takers(split(0.3), 'acme')
  t.ok(Math.abs(overlap(first, tenant) - expected) < 5 * Math.sqrt(expected), `${overlap(first, tenant)} in both`)
  t.same(takers(split(0.3, D)), first, 'the version beside it says nothing')
  const again = split(0.3, A, E, B)
  t.same(takers(again), first, 'nor what its folder holds after a restart')
})

t.test('who says nothing is another client each time; a tenant is one', async (t) => {
  const { main, adapter } = split(0.3)
  const count = (of: string | undefined) => users.filter(() => versionFor(main, of) === adapter).length
  t.ok(likely(count(undefined), users.length, 0.3))
  t.equal(client(), undefined)
  t.equal(client(''), undefined)
  for (const tenant of ['acme', 'other', 'third']) t.ok([0, users.length].includes(count(client(undefined, tenant))), tenant)
  t.not(client('a', 'b'), client('b', 'a'))
  t.not(client('acme'), client(undefined, 'acme'))
  t.equal(client(`${'x'.repeat(2000)}a`), client(`${'x'.repeat(2000)}b`), 'a long one is not hashed whole')
})

t.test('a version that is demanded is had, whatever the share', async (t) => {
  const { main, adapter } = split(0.001)
  t.equal(versionFor(main, client('x'), 'bbbbbbbb'), adapter)
  t.equal(versionFor(main, client('x'), 'aaaaaaaa'), main)
  t.equal(versionFor(main, client('x'), 'cccccccc'), main, 'its lease tells that it is another')
  const started = split(0.999)
  started.main.digest = undefined
  started.adapter.digest = undefined
  t.equal(
    versionFor(started.main, client('x'), 'bbbbbbbb'),
    started.adapter,
    'what was not read after a restart is known by what it was',
  )
  t.equal(versionFor(started.main, client('x'), 'aaaaaaaa'), started.main)
})

t.test('without a canary there is nothing to choose', async (t) => {
  const alone = version(A)
  t.equal(versionFor(alone, client('x')), alone)
})
