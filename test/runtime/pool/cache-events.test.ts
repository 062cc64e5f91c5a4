/** What is told of the prefix cache is what is in it, after every step of a small pool whose adapters come and go; and a listener that is slow costs no more than the pool. */
import { MessageChannel, receiveMessageOnPort } from 'node:worker_threads'
import t from 'tap'
import { CacheTeller, HELD, TAKEN } from '../../../runtime/engine/cache-teller.ts'
import { CacheEvents } from '../../../runtime/pool/cache-events.ts'
import type { CacheBatch, CacheEvent } from '../../../runtime/types.ts'
import { Believed } from '../../support/believed.ts'
import { ToyCore, toyImage, use } from '../../support/toy-core.ts'

/** Numbers from 0 to below 1, the same for the same seed. */
function randomOf(seed: number): () => number {
  let state = seed
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return state / 2 ** 32
  }
}

const prefixes = ['a', 'b', 'c', 'd'].map((_, i) => Array.from({ length: 24 }, (_, k) => (i * 31 + k * 7) % 50))

/** Runs a storm, calling `told` after each step. */
async function storm(
  seed: number,
  overlap: boolean,
  told: (toy: ToyCore, events: CacheEvents) => void,
  steps = 300,
): Promise<ToyCore> {
  const toy = new ToyCore({ blockCount: 24, overlap, maxBatchTokens: 16, maxSequences: 6 })
  const events = new CacheEvents()
  toy.core.pool.prefixes.events = events
  const random = randomOf(seed)
  // The engine recovers: halves of a failed step run again.
  toy.native.beforeStep = () => {
    if (random() < 0.03) throw new Error('the step is lost')
  }
  const images = ['x', 'y', 'z'].map((name) => toyImage(name, 2))
  for (const image of images) toy.core.addAdapter(image)
  const open: string[] = []
  for (let step = 0; step < steps; step++) {
    if (random() < 0.5 && open.length < 12) {
      const prompt = [...prefixes[Math.floor(random() * prefixes.length)].slice(0, 4 + Math.floor(random() * 20)), step % 50]
      const image = images[Math.floor(random() * images.length)]
      const adapters = random() < 0.6 && toy.core.adapters.images.has(image.digest) ? [use(image)] : []
      open.push(`s${step}`)
      toy.submit(`s${step}`, prompt, adapters, { maxTokens: 1 + Math.floor(random() * 12) })
    }
    if (random() < 0.05 && open.length > 0) toy.core.abort(open[Math.floor(random() * open.length)])
    if (random() < 0.05) {
      // A version goes, and perhaps the same content comes again.
      const image = images[Math.floor(random() * images.length)]
      if (random() < 0.5) toy.core.removeAdapter(image.digest)
      else toy.core.addAdapter(image)
    }
    await toy.step()
    told(toy, events)
    for (const [id, outputs] of toy.outputs) if (outputs.at(-1)?.finish) open.splice(open.indexOf(id), open.includes(id) ? 1 : 0)
  }
  await toy.drain()
  told(toy, events)
  return toy
}

for (const overlap of [false, true])
  t.test(`the believed set is the cache after every step${overlap ? ', planned while one runs' : ''}`, async (t) => {
    for (let seed = 1; seed <= 5; seed++) {
      const believed = new Believed()
      let wrong = 0
      await storm(seed, overlap, (toy, events) => {
        for (const event of events.take()) believed.take(event)
        wrong += believed.differences(toy.core.pool.prefixes.hashes()).length
      })
      t.equal(wrong, 0, `seed ${seed}`)
      t.same(believed.faults, [])
      t.ok(believed.removed > 50 && believed.stored > believed.removed, `${believed.stored} stored, ${believed.removed} removed`)
    }
  })

t.test('a step that stores is one event a sequence, in the order of its blocks', async (t) => {
  const toy = new ToyCore({ blockCount: 24 })
  const events = new CacheEvents()
  toy.core.pool.prefixes.events = events
  const image = toyImage('x', 1)
  toy.core.addAdapter(image)
  const prompt = Array.from({ length: 13 }, (_, i) => i + 1)
  toy.submit('a', prompt, [use(image)], { maxTokens: 1 }, { cacheSalt: 'salt', tenant: 'acme' })
  await toy.drain()
  const [event, ...others] = events.take()
  t.same(others, [])
  t.match(event, { type: 'stored', parent: undefined, tokens: prompt.slice(0, 12), cacheSalt: 'salt', tenant: 'acme' })
  t.match(event, { adapters: [{ name: 'x', digest: image.digest, weight: 1 }] })
  t.same((event as { hashes: string[] }).hashes.length, 3)
  toy.submit('b', [...prompt, 14, 15, 16, 17], [use(image)], { maxTokens: 1 }, { cacheSalt: 'salt', tenant: 'acme' })
  await toy.drain()
  const [next] = events.take()
  t.match(next, { type: 'stored', parent: (event as { hashes: string[] }).hashes[2], tokens: [13, 14, 15, 16] })
  toy.core.removeAdapter(image.digest)
  const [gone] = events.take()
  t.same(gone?.type, 'removed')
  t.same((gone as { hashes: string[] }).hashes.length, 4, 'all of them leave with the adapter, in one event')
})

t.test('a listener that takes nothing costs no more than the pool holds, and misses nothing', async (t) => {
  const { port1, port2 } = new MessageChannel()
  t.teardown(() => port2.close())
  const shared = new Int32Array(new SharedArrayBuffer(8))
  const believed = new Believed()
  let teller: CacheTeller | undefined
  let batches = 0
  const read = () => {
    for (let got = receiveMessageOnPort(port2); got; got = receiveMessageOnPort(port2)) {
      batches++
      Atomics.add(shared, TAKEN, 1)
      for (const event of (got.message as CacheBatch).events as CacheEvent[]) believed.take(event)
    }
  }
  let most = 0
  const toy = await storm(
    9,
    false,
    (_, events) => {
      teller ??= new CacheTeller(events, { port: port1, shared, most: 3 })
      teller.flush()
      most = Math.max(most, (events as unknown as { records: unknown[] }).records.length)
    },
    4000,
  )
  t.equal(teller?.sequence, 3, 'so many are before it')
  t.equal(Atomics.load(shared, HELD), 1, 'it is told that there is more')
  t.ok(most > 500 && most < 2100, `at most ${most} records were kept`)
  read()
  // As when it asks.
  teller?.flush()
  read()
  t.equal(batches, 4)
  t.same(believed.differences(toy.core.pool.prefixes.hashes()), [])
  t.same(believed.faults, [])
  teller?.close()
})
