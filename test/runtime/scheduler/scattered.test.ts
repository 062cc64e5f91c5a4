/** Adapters that lie in more blocks than they fill: whoever is alone and short of blocks gets them back. */
import t from 'tap'
import { ToyCore, toyImage, use } from '../../support/toy-core.ts'
import { toyTokens } from '../../support/toy-engine.ts'

/** A pool of 4 blocks of 4 tokens and 8 frames; four frames of `x` lie in two of them, which hold nothing else. */
async function scattered() {
  const toy = new ToyCore({ blockCount: 4, blockSize: 4, framesPerBlock: 8, prefixCache: false })
  const [first, x] = [toyImage('first', 0, 5, 8), toyImage('x', 0, 4, 8)]
  for (const image of [first, x]) {
    toy.core.addAdapter(image)
    toy.submit(`brings in ${image.name}`, [1], [use(image)], { maxTokens: 1 })
    await toy.drain()
  }
  toy.core.removeAdapter(first.digest)
  const pieces = () => toy.core.pool.adapters.get(x.digest)?.pieces.map(({ count }) => count)
  t.same(pieces(), [3, 1])
  return { toy, x, pieces }
}

t.test('one that waits alone has them brought in anew, closely packed', async (t) => {
  const { toy, x, pieces } = await scattered()
  const prompt = Array.from({ length: 11 }, (_, i) => i)
  toy.submit('long', prompt, [use(x)], { maxTokens: 1 })
  await toy.drain()
  t.same(toy.tokens('long'), toyTokens(prompt, [use(x)], 1))
  t.match(toy.last('long'), { finish: 'length', stopReason: undefined })
  t.same(pieces(), [4])
})

t.test('one that runs alone and cannot grow too, before it is told that the pool is exhausted', async (t) => {
  const { toy, x, pieces } = await scattered()
  const prompt = Array.from({ length: 8 }, (_, i) => i)
  toy.submit('grows', prompt, [use(x)], { maxTokens: 30 })
  await toy.drain()
  const tokens = toy.tokens('grows')
  t.same(tokens, toyTokens(prompt, [use(x)], tokens.length))
  t.equal(tokens.length, 5, 'three blocks of tokens beside the one of its adapter, and the token after them')
  t.match(toy.last('grows'), { finish: 'length', stopReason: 'pool_exhausted' })
  t.same(pieces(), [4])
  t.equal(toy.core.snapshot().counters.preemptions, 1, 'once: then there is nothing to be had')
})
