/** The engine over the toy model: every output equals what the sequence gives by itself, whatever happens around it; nothing is lost. */
import t from 'tap'
import { tokenLogprobs } from '../support/logprobs.ts'
import { ToyCore, toyImage, use } from '../support/toy-core.ts'
import { TOY_VOCABULARY, toyTokens } from '../support/toy-engine.ts'

/** Seeded and small (Numerical Recipes' LCG). */
function random(seed: number): (below: number) => number {
  let state = seed
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return Math.floor((state / 2 ** 32) * below)
  }
}

const prompt = (r: (n: number) => number, length: number) => Array.from({ length }, () => r(TOY_VOCABULARY))

t.test('a sequence alone gives its tokens and frees its blocks', async (t) => {
  const toy = new ToyCore({ blockCount: 16, prefixCache: false })
  toy.submit('a', [1, 2, 3, 4, 5], [], { maxTokens: 9 })
  await toy.drain()
  t.same(toy.tokens('a'), toyTokens([1, 2, 3, 4, 5], [], 9))
  t.equal(toy.last('a')?.finish, 'length')
  t.equal(toy.core.snapshot().blocks.free, 16)
})

t.test('a prompt longer than the budget is computed in chunks, beside others', async (t) => {
  const toy = new ToyCore({ blockCount: 64, maxBatchTokens: 8 })
  const r = random(1)
  const long = prompt(r, 50)
  toy.submit('short', [5, 6], [], { maxTokens: 12 })
  toy.submit('long', long, [], { maxTokens: 3 })
  await toy.drain()
  t.same(toy.tokens('short'), toyTokens([5, 6], [], 12))
  t.same(toy.tokens('long'), toyTokens(long, [], 3))
})

t.test('who wants to know when its first step begins is told so before that is over', async (t) => {
  const toy = new ToyCore({ blockCount: 64, maxBatchTokens: 8 })
  const long = prompt(random(1), 20)
  toy.submit('told', long, [], { maxTokens: 2 }, { tellStart: true })
  toy.submit('quiet', long, [], { maxTokens: 2 })
  await toy.step()
  t.match(toy.outputs.get('told'), [{ tokens: [], cachedTokens: 0, scheduledAt: /\d/ }])
  t.equal(toy.outputs.get('quiet'), undefined)
  await toy.drain()
  t.same(toy.tokens('told'), toyTokens(long, [], 2))
  t.equal(toy.outputs.get('told')?.filter(({ scheduledAt }) => scheduledAt !== undefined).length, 1, 'once')
})

t.test('different adapters and mixes share a batch', async (t) => {
  const toy = new ToyCore({ blockCount: 32 })
  const images = [toyImage('x', 2), toyImage('y', 3), toyImage('z', 1)]
  for (const image of images) toy.core.addAdapter(image)
  const uses = [[], [use(images[0])], [use(images[1])], [use(images[0], 0.5), use(images[2], -2)]]
  for (const [i, adapters] of uses.entries()) toy.submit(`${i}`, [9, 8, 7], adapters)
  await toy.drain()
  for (const [i, adapters] of uses.entries()) t.same(toy.tokens(`${i}`), toyTokens([9, 8, 7], adapters, 8), `${i}`)
  t.equal(toy.native.steps, 8, 'all in the same steps')
})

t.test('a prefix is found again, by the same adapter and salt only', async (t) => {
  const toy = new ToyCore({ blockCount: 64 })
  const image = toyImage('x', 1)
  toy.core.addAdapter(image)
  const shared = prompt(random(2), 17)
  const cached = async (id: string, adapters = [use(image)], cacheSalt?: string) => {
    toy.submit(id, [...shared, 1], adapters, { maxTokens: 4 }, { cacheSalt })
    await toy.drain()
    t.same(toy.tokens(id), toyTokens([...shared, 1], adapters, 4), id)
    return toy.outputs.get(id)?.[0].cachedTokens
  }
  t.equal(await cached('first'), 0)
  t.equal(await cached('second'), 16)
  t.equal(await cached('other weight', [use(image, 0.5)]), 0)
  t.equal(await cached('base', []), 0)
  t.equal(await cached('salted', [use(image)], 'tenant'), 0)
  t.equal(await cached('salted again', [use(image)], 'tenant'), 16)
  toy.core.removeAdapter(image.digest)
  toy.core.addAdapter(image)
  t.equal(await cached('after a removal'), 0)
})

t.test('a short pool preempts the latest and still gives everybody the right tokens', async (t) => {
  const toy = new ToyCore({ blockCount: 12 })
  const r = random(3)
  const prompts = Array.from({ length: 6 }, () => prompt(r, 7))
  for (const [i, ids] of prompts.entries()) toy.submit(`${i}`, ids, [], { maxTokens: 20 })
  await toy.drain()
  for (const [i, ids] of prompts.entries()) t.same(toy.tokens(`${i}`), toyTokens(ids, [], 20), `${i}`)
  t.ok(toy.core.scheduler.preemptions > 0)
})

t.test('more adapters than the pool holds take turns', async (t) => {
  const toy = new ToyCore({ blockCount: 10 })
  const images = Array.from({ length: 12 }, (_, i) => toyImage(`adapter ${i}`, 4))
  for (const image of images) toy.core.addAdapter(image)
  for (let i = 0; i < 36; i++) toy.submit(`${i}`, [i, 2], [use(images[i % 12])], { maxTokens: 5 })
  await toy.drain()
  for (let i = 0; i < 36; i++) t.same(toy.tokens(`${i}`), toyTokens([i, 2], [use(images[i % 12])], 5), `${i}`)
  t.ok(toy.core.snapshot().counters.adapterEvictions > 0)
})

t.test('a sequence that outgrows the whole pool ends by length, and is told why; so is the operator, once', async (t) => {
  const toy = new ToyCore({ blockCount: 4, blockSize: 4 })
  const { warnings } = toy
  toy.submit('a', [1, 2, 3], [], { maxTokens: 500 })
  await toy.drain()
  t.equal(toy.last('a')?.finish, 'length')
  t.same(toy.tokens('a'), toyTokens([1, 2, 3], [], toy.tokens('a').length))
  t.ok(toy.tokens('a').length >= 13)
  t.equal(toy.last('a')?.stopReason, 'pool_exhausted')
  toy.submit('again', [1, 2, 3], [], { maxTokens: 500 })
  toy.submit('short', [1, 2, 3], [], { maxTokens: 2 })
  await toy.drain()
  t.equal(toy.last('again')?.stopReason, 'pool_exhausted')
  t.match(toy.last('short'), { finish: 'length', stopReason: undefined }, 'max_tokens is no such reason')
  t.equal(warnings.length, 1)
  t.match(warnings[0], /outgrown the whole pool of 4 blocks .*--pool/)
})

t.test('what cannot be admitted even alone is refused, and the others go on', async (t) => {
  const toy = new ToyCore({ blockCount: 4 })
  const big = toyImage('big', 9)
  toy.core.addAdapter(big)
  toy.submit('big', [1], [use(big)])
  toy.submit('fine', [1])
  await toy.drain()
  t.equal(toy.last('big')?.error?.code, 'pool_too_small')
  t.same(toy.tokens('fine'), toyTokens([1], [], 8))
})

t.test('an aborted sequence is gone before the next step', async (t) => {
  const toy = new ToyCore({ blockCount: 32, prefixCache: false })
  toy.submit('a', [1, 2, 3], [], { maxTokens: 100 })
  toy.submit('b', [4, 5, 6], [], { maxTokens: 6 })
  await toy.step()
  toy.core.abort('a')
  await toy.step()
  t.equal(toy.last('a')?.finish, 'abort')
  t.equal(toy.core.scheduler.running.length, 1)
  await toy.drain()
  t.same(toy.tokens('b'), toyTokens([4, 5, 6], [], 6))
  t.equal(toy.core.snapshot().blocks.free, 32)
})

t.test('a step that fails takes down the guilty sequence alone', async (t) => {
  const toy = new ToyCore({ blockCount: 64 })
  for (let i = 0; i < 7; i++) toy.submit(`${i}`, [i, i + 1], [], { maxTokens: 5 })
  toy.native.beforeStep = ({ sequences }) => {
    if (sequences.some(({ past, tokens }) => past === 0 && tokens[0] === 4)) throw new Error('poisoned')
  }
  await toy.drain()
  t.match(toy.last('4'), { finish: 'error', error: { code: 'step_failed', message: /poisoned/ } })
  for (const i of [0, 1, 2, 3, 5, 6]) t.same(toy.tokens(`${i}`), toyTokens([i, i + 1], [], 5), `${i}`)
})

t.test('who leaves while the step that it makes fail is in flight takes nobody along', async (t) => {
  for (const overlap of [false, true]) {
    const toy = new ToyCore({ blockCount: 32, overlap })
    toy.submit('guilty', [9, 1, 2])
    toy.submit('other', [3, 4, 5])
    toy.native.beforeStep = ({ sequences }) => {
      const guilty = sequences.find(({ slot }) => toy.native.slots.get(slot)?.tokens[0] === 9)
      if (guilty?.past === 3) toy.core.abort('guilty')
      if (guilty && guilty.past >= 4) throw new Error('only one does this')
    }
    await toy.drain()
    t.equal(toy.last('guilty')?.finish, 'abort')
    t.equal(toy.last('other')?.finish, 'length')
    t.same(toy.tokens('other'), toyTokens([3, 4, 5], [], 8))
  }
})

t.test('a sequence that the addon refuses fails alone, also while a later step is under way', async (t) => {
  for (const overlap of [false, true]) {
    const toy = new ToyCore({ blockCount: 32, overlap })
    toy.native.beforeAdmit = ({ tokens }) => {
      if (tokens[0] === 9) throw new RangeError('refused')
    }
    toy.submit('refused', [9, 1, 2, 4])
    await toy.step()
    toy.submit('later', [3, 4])
    await toy.drain()
    t.match(toy.last('refused'), { finish: 'error', error: { code: 'step_failed', message: /refused/ } })
    t.equal(toy.last('later')?.finish, 'length')
    t.same(toy.tokens('later'), toyTokens([3, 4], [], 8))
  }
})

t.test('a residency that is not the one named fails loudly', async (t) => {
  const toy = new ToyCore({ blockCount: 32 })
  const image = toyImage('x', 2)
  toy.core.addAdapter(image)
  toy.submit('a', [1, 2], [use(image)], { maxTokens: 50 })
  toy.submit('base', [1, 2], [], { maxTokens: 3 })
  await toy.step()
  const resident = toy.core.pool.adapters.get(image.digest)
  toy.native.putAdapter({
    index: resident?.index ?? 0,
    generation: 999,
    digest: 1n,
    image: new Uint8Array(),
    blocks: new Int32Array(),
    frames: new Int32Array(),
    rows: new Int32Array(),
    entries: new Int32Array(),
  })
  await toy.drain()
  t.equal(toy.last('a')?.error?.code, 'adapter_identity_mismatch')
  t.same(toy.tokens('base'), toyTokens([1, 2], [], 3))
})

t.test('stop tokens end a sequence, but not before min_tokens', async (t) => {
  const toy = new ToyCore({ blockCount: 32 })
  const expected = toyTokens([3, 1, 4], [], 10)
  toy.submit('stop', [3, 1, 4], [], { maxTokens: 10, stopTokenIds: [expected[2]] })
  await toy.drain()
  t.same(toy.tokens('stop'), expected.slice(0, expected.indexOf(expected[2]) + 1))
  t.match(toy.last('stop'), { finish: 'stop', stopToken: expected[2] })
})

t.test('prompt logprobs come in pieces, one per prompt token, also after a preemption', async (t) => {
  const toy = new ToyCore({ blockCount: 8, maxBatchTokens: 6 })
  toy.submit('a', [1, 2, 3], [], { maxTokens: 16 })
  const long = prompt(random(5), 11)
  toy.submit('b', long, [], { maxTokens: 12, promptLogprobs: 0 })
  await toy.drain()
  const scored = (id: string) =>
    (toy.outputs.get(id) ?? []).flatMap(({ promptLogprobs }) => tokenLogprobs(promptLogprobs).map(({ token }) => token))
  t.same(scored('b'), long.slice(1))
  const pieces = (toy.outputs.get('b') ?? []).filter((output) => output.promptLogprobs)
  t.ok(pieces.length > 1, 'a piece for each chunk')
  t.ok(
    pieces.slice(0, -1).every(({ tokens }) => tokens.length === 0),
    'before the first token',
  )
  toy.submit('score only', long, [], { maxTokens: 0, promptLogprobs: 0 })
  await toy.drain()
  t.match(toy.last('score only'), { tokens: [], finish: 'length' })
  t.same(scored('score only'), long.slice(1))
})

t.test('under a random storm everybody gets the right tokens and every block is accounted for', async (t) => {
  for (let seed = 1; seed <= 12; seed++) {
    const r = random(seed)
    const toy = new ToyCore({ blockCount: 14 + r(12), blockSize: 1 + r(5), maxBatchTokens: 5 + r(20), maxSequences: 2 + r(12) })
    const images = Array.from({ length: 5 }, (_, i) => toyImage(`a${i}`, 1 + r(3)))
    for (const image of images) toy.core.addAdapter(image)
    const wanted = new Map<string, { ids: number[]; adapters: ReturnType<typeof use>[]; count: number }>()
    const stems = [prompt(r, 9), prompt(r, 6)]
    for (let i = 0; i < 60; i++) {
      const ids = [...stems[r(2)].slice(0, r(9)), ...prompt(r, 1 + r(5))]
      const adapters = r(3) === 0 ? [] : [use(images[r(5)])]
      if (r(6) === 0) adapters.push(use(images[(r(5) + 1) % 5], 0.5))
      if (new Set(adapters.map((a) => a.digest)).size < adapters.length) adapters.pop()
      const count = 1 + r(9)
      wanted.set(`${i}`, { ids, adapters, count })
      toy.submit(`${i}`, ids, adapters, { maxTokens: count }, { priority: r(8) === 0 ? -1 : 0 })
      if (r(3) === 0) await toy.step()
      if (r(10) === 0) toy.core.abort(`${r(i + 1)}`)
      const failing = r(12) === 0
      toy.native.beforeStep = () => {
        if (failing && toy.native.steps % 3 === 0) throw new Error('a step that fails')
      }
    }
    toy.native.beforeStep = undefined
    await toy.drain()
    for (const [id, { ids, adapters, count }] of wanted) {
      const expected = toyTokens(ids, adapters, count)
      const finish = toy.last(id)?.finish
      const got = toy.tokens(id)
      // Short are only those that were ended, or have filled all that their adapters leave of the pool.
      const room = toy.blockCount - adapters.reduce((sum, a) => sum + (images.find((i) => i.digest === a.digest)?.blocks ?? 0), 0)
      const short = finish === 'abort' || finish === 'error' || ids.length + got.length > room * toy.blockSize
      t.same(got, short ? expected.slice(0, got.length) : expected, `${seed}/${id} ${finish}`)
    }
    const { blocks, running, waiting } = toy.core.snapshot()
    t.equal(running + waiting, 0, `seed ${seed}: nothing in flight`)
    t.equal(
      blocks.free + blocks.idleAdapters + blocks.cachedPrefixes,
      blocks.total,
      `seed ${seed}: every block is free, idle or cached`,
    )
  }
})
