/** Images in the host tier are pinned for as long as they may be copied. */
import t from 'tap'
import { ToyCore, toyImage, use } from '../../support/toy-core.ts'
import { toyTokens } from '../../support/toy-engine.ts'

t.test('an image is pinned when it comes, and let go when the last request that uses it has ended', async (t) => {
  const toy = new ToyCore({ blockCount: 32 })
  const [x, y] = [toyImage('x', 2), toyImage('y', 2)]
  toy.core.addAdapter(x)
  toy.core.addAdapter(y)
  t.same(toy.native.pinned, new Set([x.image, y.image]))
  toy.core.removeAdapter(y.digest)
  t.same(toy.native.pinned, new Set([x.image]), 'nobody uses it')
  toy.submit('a', [1, 2], [use(x)], { maxTokens: 2 })
  await toy.step()
  toy.core.removeAdapter(x.digest)
  t.same(toy.native.pinned, new Set([x.image]))
  await toy.drain()
  t.equal(toy.native.pinned.size, 0)
})

t.test(
  'an image that is removed and given again before it has left stays pinned; the same content given twice is pinned once',
  (t) => {
    const toy = new ToyCore({ blockCount: 32 })
    const x = toyImage('x', 2)
    toy.core.addAdapter(x)
    toy.core.addAdapter(toyImage('x', 2))
    t.same(toy.native.pinned, new Set([x.image]), 'the first is the one that is copied')
    toy.submit('a', [1, 2], [use(x)], { maxTokens: 2 })
    toy.core.removeAdapter(x.digest)
    toy.core.addAdapter(x)
    t.same(toy.native.pinned, new Set([x.image]))
    t.end()
  },
)

t.test('closing lets every image go', (t) => {
  const toy = new ToyCore({ blockCount: 32 })
  for (const name of ['x', 'y']) toy.core.addAdapter(toyImage(name, 2))
  toy.core.close()
  t.equal(toy.native.pinned.size, 0)
  t.end()
})

t.test('memory that cannot be pinned is told once, and its adapters are served', async (t) => {
  const toy = new ToyCore({ blockCount: 32 })
  const { warnings } = toy
  toy.native.beforePin = () => {
    throw new Error('CUDA, pinning memory: out of memory')
  }
  const [x, y] = [toyImage('x', 2), toyImage('y', 2)]
  toy.core.addAdapter(x)
  toy.core.addAdapter(y)
  t.equal(warnings.length, 1)
  t.match(warnings[0], /adapter x cannot be pinned.*out of memory/)
  toy.submit('a', [1, 2], [use(y)], { maxTokens: 4 })
  await toy.drain()
  t.same(toy.tokens('a'), toyTokens([1, 2], [use(y)], 4))
})
