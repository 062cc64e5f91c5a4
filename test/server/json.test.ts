/** JSON in pieces: byte for byte what JSON.stringify makes, a turn of the event loop between them. */
import { Readable } from 'node:stream'
import t from 'tap'
import { jsonBody, jsonOf, paced, SlicedArray, slicedList, slicedNumbers } from '../../server/json.ts'

const odd = [
  'a"b',
  '\\',
  '\u2028',
  '💡',
  '\ud800',
  null,
  1e21,
  -0,
  0.1,
  undefined,
  Number.NaN,
  { __proto__: null, x: undefined, y: [[]] },
]
const nested = (array: unknown) => ({ a: [{ b: array, c: 'sliced' }], d: null, e: [array, 7] })

t.test('a value without sliced arrays is one text', async (t) => {
  t.equal(jsonOf(nested(odd)), JSON.stringify(nested(odd)))
})

const SLICINGS = [[], [[]], [odd], [[], odd.slice(0, 3), [], odd.slice(3)], odd.map((item) => [item])]

t.test('sliced arrays are written as the same plain ones are, however they are cut', async (t) => {
  for (const slices of SLICINGS) {
    const pieces = jsonOf({ a: new SlicedArray(slices), b: [nested(new SlicedArray(slices))], c: new SlicedArray(slices) })
    const plain = slices.flat()
    t.not(typeof pieces, 'string')
    t.equal([...pieces].join(''), JSON.stringify({ a: plain, b: [nested(plain)], c: plain }))
  }
})

t.test('sliced arrays may hold sliced arrays', async (t) => {
  for (const slices of SLICINGS) {
    const plain = slices.flat()
    const holding = (array: () => unknown) => [{ a: array(), b: 1 }, odd, null, [{ c: [array(), array()] }]]
    const deep = holding(() => new SlicedArray([holding(() => new SlicedArray(slices)), odd]))
    const flat = holding(() => [...holding(() => plain), ...odd])
    t.equal([...jsonOf({ x: new SlicedArray([deep]) })].join(''), JSON.stringify({ x: flat }))
  }
})

t.test('long lists of numbers are sliced', async (t) => {
  for (const length of [0, 1, 4096, 4097, 10_000]) {
    const list = Array.from({ length }, (_, i) => i)
    t.equal([...jsonOf({ list: slicedNumbers(list) })].join(''), JSON.stringify({ list }))
  }
})

t.test('a small body is one text, a large one a stream', async (t) => {
  t.equal(await jsonBody({ a: 1 }), '{"a":1}')
  t.equal(await jsonBody({ a: new SlicedArray([[1], [2]]) }), '{"a":[1,2]}')
  for (const length of [30_000, 100_000]) {
    const list = Array.from({ length }, (_, i) => i)
    const body = await jsonBody({ list: slicedNumbers(list) })
    t.ok(body instanceof Readable)
    t.equal((await (body as Readable).toArray()).join(''), JSON.stringify({ list }))
  }
})

t.test('slices are made one by one, when they are asked for', async (t) => {
  let made = 0
  const slices = function* () {
    for (; made < 10; made++) yield [made]
  }
  const pieces = jsonOf({ a: new SlicedArray(slices()) }) as Generator<string>
  t.equal(made, 0)
  pieces.next()
  pieces.next()
  t.equal(made, 0, 'the first is under way')
  t.equal(`{"a":[0${[...pieces].join('')}`, JSON.stringify({ a: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9] }))
})

t.test('others are served between pieces', async (t) => {
  const texts = Array.from({ length: 100 }, () => 'x'.repeat(5000))
  let turns = 0
  let over = false
  const count = () => {
    turns++
    if (!over) setImmediate(count)
  }
  setImmediate(count)
  const written: string[] = []
  for await (const text of paced(texts)) written.push(text)
  over = true
  t.equal(written.join(''), texts.join(''))
  t.ok(written.length > 5 && written.length < 10, `${written.length} pieces`)
  t.ok(turns >= written.length - 1, `${turns} turns`)
})

t.test('typed arrays are lists of numbers, and what is made of each is made when it is written', async (t) => {
  for (const length of [0, 2, 5000]) {
    const ids = new Int32Array(length).fill(7)
    const value = { ids: slicedNumbers(ids), names: slicedList(ids, (id) => `<${id}>`) }
    const body = await jsonBody(value)
    const text = typeof body === 'string' ? body : (await body.toArray()).join('')
    t.same(JSON.parse(text), { ids: Array.from(ids), names: Array.from(ids, (id) => `<${id}>`) })
  }
})
