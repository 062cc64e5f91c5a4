/** A name's versions: its own, the canary beside it, the one before it, and those that drain. */
import { cpSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import type { Adapter } from '../../adapters-store/index.ts'
import { readFor, testRegistry } from '../support/registry.ts'
import { fixture, temporaryFolder } from '../support/repo.ts'
import { baseModelOf } from './base-model.ts'

const read = readFor(baseModelOf(fixture('peft/biased/base')))
const source = (name: string) => fixture(`peft/biased/adapters/${name}`)

/** A name in a registry, with folders for its versions. */
async function named(t: Test) {
  const all = testRegistry(read)
  const folder = temporaryFolder(t)
  const place = (name: string, from: string) => {
    const directory = join(folder, name)
    rmSync(directory, { recursive: true, force: true })
    cpSync(source(from), directory, { recursive: true })
    return directory
  }
  const first = place('first', 'lora')
  const own = await all.read('a', first)
  return { ...all, place, first, second: place('second', 'dora'), own }
}

const canaryOf = ({ canary }: Adapter) => canary?.adapter as Adapter

t.test('a canary is read before it is there, and goes with its name', async (t) => {
  const { registry, place, second, own, here, memory } = await named(t)
  const broken = place('broken', 'lora')
  rmSync(join(broken, 'adapter_model.safetensors'))
  await t.rejects(registry.setCanary('a', broken, 0.1), { code: 'adapter_not_found' })
  t.equal(own.canary, undefined)
  await t.rejects(registry.setCanary('nobody', second, 0.1), { code: 'adapter_version_not_found' })
  t.equal(await registry.setCanary('a', second, 0.1), own)
  t.match(canaryOf(own), { state: 'loaded', directory: second, leases: 0 })
  t.match(own.canary, { share: 0.1, identity: canaryOf(own).digest })
  t.same(
    registry.canaries().map(({ name }) => name),
    ['a'],
  )
  t.equal(registry.list().length, 1)
  t.equal(here.size, 2)
  const canary = canaryOf(own)
  const lease = await registry.lease([canary])
  t.equal(registry.remove('a'), true)
  t.same(registry.draining('a'), [canary])
  t.equal(here.size, 1, 'only what is in use is left')
  lease.release()
  t.same(registry.draining('a'), [])
  t.equal(here.size, 0)
  t.same(memory.bytes, { used: 0, reserved: 0 })
  t.same(registry.canaries(), [])
})

t.test('another canary replaces it; another share does not', async (t) => {
  const { registry, place, second, own, here } = await named(t)
  own.pinned = true
  await t.rejects(registry.weigh('a', 0.5), { code: 'adapter_version_not_found', message: /no canary/ })
  await registry.setCanary('a', second, 0.1)
  const before = own.canary
  t.equal(await registry.weigh('a', 0.5), own)
  t.equal(own.canary, before)
  t.equal(before?.share, 0.5)
  t.equal(canaryOf(own).pinned, true, 'as its name is')
  const old = canaryOf(own)
  await registry.setCanary('a', place('third', 'ia3'), 0.2, { pinned: false })
  t.match(canaryOf(own), { pinned: false, state: 'loaded' })
  t.equal(old.state, 'draining')
  t.equal(here.size, 2)
  const digest = own.digest as string
  const expectedDigest = '0'.repeat(64)
  await t.rejects(registry.setCanary('a', second, 0.1, { expectedDigest }), {
    code: 'adapter_version_mismatch',
    currentDigest: digest,
  })
  await t.rejects(registry.weigh('a', 0.1, { expectedDigest }), { code: 'adapter_version_mismatch' })
  await registry.weigh('a', 0.1, { expectedDigest: digest })
  await registry.setCanary('a', second, 0.1, { expectedDigest: digest })
})

t.test('promoted: it is the name’s own version, and the old one drains', async (t) => {
  const { registry, second, own, here } = await named(t)
  await t.rejects(registry.promote('a'), { code: 'adapter_version_not_found' })
  await registry.setCanary('a', second, 0.1)
  const canary = canaryOf(own)
  await t.rejects(registry.promote('a', { expectedDigest: own.digest }), {
    code: 'adapter_version_mismatch',
    currentDigest: canary.digest,
  })
  const lease = await registry.lease([own])
  t.equal(await registry.promote('a', { expectedDigest: canary.digest }), canary)
  t.equal(registry.get('a'), canary)
  t.equal(canary.canary, undefined)
  t.match(canary.previous, { directory: own.directory, digest: own.digest })
  t.same(registry.draining('a'), [own])
  lease.release()
  t.same([...here.keys()], [canary.digest])
})

t.test('what cannot be read any more is not promoted, and can be rolled back', async (t) => {
  const { registry, second, own, memory } = await named(t)
  await registry.setCanary('a', second, 0.1)
  const canary = canaryOf(own)
  memory.dropIdle(-1)
  t.equal(canary.image, undefined)
  rmSync(second, { recursive: true })
  await t.rejects(registry.promote('a'), { code: 'adapter_not_found' })
  t.equal(own.canary?.adapter, canary)
  await t.rejects(registry.rollback('a', { expectedDigest: own.digest }), { code: 'adapter_version_mismatch' })
  t.equal(await registry.rollback('a', { expectedDigest: canary.digest }), own)
  t.equal(own.canary, undefined)
  t.equal(registry.get('a'), own)
  t.equal(canary.state, 'draining')
})

t.test('without a canary the version before is put back, if its folder holds that still', async (t) => {
  const { registry, place, first, second, own } = await named(t)
  await t.rejects(registry.rollback('a'), { code: 'adapter_version_not_found' })
  const old = own.digest
  await registry.setCanary('a', second, 0.1)
  const next = await registry.promote('a')
  await t.rejects(registry.rollback('a', { expectedDigest: old }), {
    code: 'adapter_version_mismatch',
    currentDigest: next.digest,
  })
  const back = await registry.rollback('a', { expectedDigest: next.digest })
  t.match(back, { directory: first, digest: old, state: 'loaded' })
  t.match(back.previous, { directory: second, digest: next.digest })
  const again = await registry.rollback('a')
  t.match(again, { directory: second, digest: next.digest }, 'and the other again')
  place('first', 'ia3')
  await t.rejects(registry.rollback('a'), { code: 'adapter_version_not_found', message: new RegExp(`${old}.* holds `) })
  t.equal(registry.get('a'), again)
  rmSync(first, { recursive: true })
  await t.rejects(registry.rollback('a'), { code: 'adapter_not_found' })
  t.equal(registry.get('a'), again)
  await registry.replace('a', second)
  t.match(registry.get('a')?.previous, { directory: first }, 'the same anew is no other version')
})

t.test('a replaced version leaves the canary, which may be read again after a restart', async (t) => {
  const { registry, place, first, second, own, loads } = await named(t)
  await registry.setCanary('a', second, 0.1)
  const { canary } = own
  const next = await registry.replace('a', place('third', 'ia3'))
  t.equal(next.canary, canary)
  t.equal(own.canary, undefined)
  t.match(next.previous, { directory: first, digest: own.digest })
  const started = testRegistry(read)
  const known = started.registry.enter('a', first)
  started.registry.enterCanary('a', second, 0.3, 'ab'.repeat(32))
  t.same(started.loads, [])
  t.match(known.canary, { share: 0.3, identity: 'ab'.repeat(32), adapter: { state: 'known', digest: undefined } })
  await t.rejects(started.registry.rollback('a', { expectedDigest: own.digest }), {
    code: 'adapter_version_mismatch',
    currentDigest: 'ab'.repeat(32),
  })
  t.equal((await started.registry.promote('a')).digest, canary?.adapter.digest)
  t.ok(loads.length > 0)
})

t.test('changes of one name come one after the other', async (t) => {
  const { registry, place, second, own } = await named(t)
  const third = place('third', 'ia3')
  const results = await Promise.allSettled([
    registry.setCanary('a', second, 0.1),
    registry.promote('a'),
    registry.setCanary('a', third, 0.2),
    registry.rollback('a'),
    registry.rollback('a'),
  ])
  t.same(
    results.map(({ status }) => status),
    Array(5).fill('fulfilled'),
  )
  t.match(registry.get('a'), { digest: own.digest, canary: undefined }, 'set, promoted, set, ended, and what was before put back')
  const gone = registry.setCanary('a', second, 0.1)
  registry.remove('a')
  await t.rejects(gone, { code: 'adapter_version_not_found' })
  t.equal(registry.get('a'), undefined)
})
