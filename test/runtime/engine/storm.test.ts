/**
 * Everything at once, and while steps are in flight: requests come, are aborted, adapters are removed and given again, the addon refuses some, steps fail. The
 * validator runs after every step; with copies beside the steps they arrive when they like. Whatever is told of a sequence is a prefix of what it gives alone.
 */
import t, { type Test } from 'tap'
import { ToyCore, toyImage, use } from '../../support/toy-core.ts'
import { TOY_VOCABULARY, toyTokens } from '../../support/toy-engine.ts'

/** mulberry32. */
function random(seed: number): (below: number) => number {
  let state = seed
  return (below) => {
    state = (state + 0x6d2b79f5) | 0
    let x = Math.imul(state ^ (state >>> 15), 1 | state)
    x = (x + Math.imul(x ^ (x >>> 7), 61 | x)) ^ x
    return Math.floor((((x ^ (x >>> 14)) >>> 0) / 2 ** 32) * below)
  }
}

interface Wanted {
  prompt: number[]
  adapters: ReturnType<typeof use>[]
  count: number
}

async function storm(t: Test, seed: number, { copiesAside = false, overlap = false, fair = false, framesPerBlock = 1 }) {
  const r = random(seed)
  const toy = new ToyCore({
    blockCount: 16 + r(20),
    blockSize: 1 + r(6),
    framesPerBlock,
    maxBatchTokens: 1 + r(30),
    maxSequences: 1 + r(16),
    prefixCache: r(4) > 0,
    maxModelLen: 20 + r(30),
    copiesAside,
    overlap,
    fair,
  })
  const images = Array.from({ length: framesPerBlock > 1 ? 16 : 8 }, (_, i) =>
    framesPerBlock > 1
      ? toyImage(`a${i}`, r(3) ? 0 : r(4), 1 + r(framesPerBlock - 1), framesPerBlock)
      : toyImage(`a${i}`, 1 + r(4)),
  )
  const known = new Set(images)
  for (const image of images) toy.core.addAdapter(image)
  const stems = Array.from({ length: 3 }, () => Array.from({ length: 12 }, () => r(TOY_VOCABULARY)))
  const wanted = new Map<string, Wanted>()

  const act = () => {
    if (copiesAside && r(3) === 0) toy.native.arrive(r(3))
    const image = images[r(images.length)]
    switch (r(8)) {
      case 0:
        toy.core.abort(`${r(wanted.size + 1)}`)
        break
      case 1:
        if (r(2)) {
          known.delete(image)
          toy.core.removeAdapter(image.digest)
        } else {
          known.add(image)
          toy.core.addAdapter(image)
        }
        break
      default: {
        const choice = [...known]
        const adapters = choice.length && r(4) ? [use(choice[r(choice.length)], r(3) ? 1 : 0.5)] : []
        const second = choice[r(Math.max(1, choice.length))]
        if (second && r(5) === 0 && adapters[0]?.digest !== second.digest) adapters.push(use(second, -0.5))
        const prompt = [...stems[r(3)].slice(0, r(12)), ...Array.from({ length: 1 + r(4) }, () => r(TOY_VOCABULARY))]
        const one = { prompt, adapters, count: 1 + r(12) }
        const id = `${wanted.size}`
        wanted.set(id, one)
        toy.submit(
          id,
          prompt,
          adapters,
          { maxTokens: one.count },
          { priority: r(9) ? 0 : -1, arrival: r(6), flow: fair ? `${r(3)}` : undefined },
        )
      }
    }
  }

  let left = 90
  toy.native.beforeStep = ({ sequences }) => {
    for (let i = r(4); i > 0 && left > 0; i--, left--) act()
    if (r(25) === 0 || sequences[0].tokens[0] === 13) throw new Error('a step that fails')
  }
  toy.native.beforePut = () => {
    if (r(40) === 0) throw new RangeError('an adapter that is refused')
  }
  for (let i = 0; left > 0; i++) {
    if (i > 2000) throw new Error(`seed ${seed}: not drained`)
    act()
    left--
    await toy.step()
  }
  await toy.drain()

  for (const [id, { prompt, adapters, count }] of wanted) {
    const got = toy.tokens(id)
    const { finish, error } = toy.last(id) ?? {}
    const outputs = toy.outputs.get(id) ?? []
    t.equal(outputs.filter((output) => output.finish).length, 1, `${seed}/${id} ends once`)
    const expected = toyTokens(prompt, adapters, count).slice(0, got.length)
    t.same(got, expected, `${seed}/${id} ${finish} ${error?.code ?? ''}`)
    if (finish !== 'length') continue
    const held = images.filter(({ digest }) => adapters.some((one) => one.digest === digest))
    const frames = held.reduce((sum, image) => sum + image.frames, 0)
    const room = toy.blockCount - held.reduce((sum, image) => sum + image.blocks, 0) - Math.ceil(frames / framesPerBlock)
    const context = Math.min(toy.maxModelLen, room * toy.blockSize)
    t.ok(got.length === count || prompt.length + got.length >= context, `${seed}/${id} is complete: ${got.length} of ${count}`)
  }
  const { blocks, running, waiting } = toy.core.snapshot()
  t.equal(toy.native.slots.size, 0, `seed ${seed}: every slot is free`)
  t.equal(running + waiting, 0, `seed ${seed}: nothing in flight`)
  t.equal(blocks.free + blocks.idleAdapters + blocks.cachedPrefixes, blocks.total, `seed ${seed}: every block is accounted for`)
  const names = new Set([...known].map((image) => image.name))
  t.ok(
    toy.residents.every((one) => names.has(one.image.name)),
    `seed ${seed}: removed adapters are gone`,
  )
}

t.test('a storm during steps', async (t) => {
  const from = Number(process.env.LORIKEET_STORM ?? 1)
  for (let seed = from; seed < from + 30; seed++) await storm(t, seed, {})
})

t.test('a storm while adapters are on their way', async (t) => {
  const from = Number(process.env.LORIKEET_STORM ?? 1)
  for (let seed = from; seed < from + 30; seed++) await storm(t, seed, { copiesAside: true })
})

t.test('a storm while the next step is planned during each, and adapters are on their way', async (t) => {
  const from = Number(process.env.LORIKEET_STORM ?? 1)
  for (let seed = from; seed < from + 30; seed++) await storm(t, seed, { copiesAside: seed % 2 === 0, overlap: true })
})

t.test('storms with blocks that adapters share', async (t) => {
  const from = Number(process.env.LORIKEET_STORM ?? 1)
  for (let seed = from; seed < from + 60; seed++)
    await storm(t, seed, {
      copiesAside: seed % 2 === 0,
      overlap: seed % 3 === 0,
      fair: seed % 5 === 0,
      framesPerBlock: 2 ** (1 + (seed % 4)),
    })
})

t.test('a storm of several flows that are served fairly', async (t) => {
  const from = Number(process.env.LORIKEET_STORM ?? 1)
  for (let seed = from; seed < from + 30; seed++)
    await storm(t, seed, { copiesAside: seed % 2 === 0, overlap: seed % 3 === 0, fair: true })
})
