/** Where responses are kept: found by whoever stored them, as many as there is room for. */
import t from 'tap'
import { type Item, newResponse } from '../../../server/responses/response.ts'
import { ResponseStore } from '../../../server/responses/store.ts'

const item = (text: string): Item => ({ type: 'message', id: `msg_${text.slice(0, 8)}`, role: 'user', content: text })
const stored = (text = 'hi') => ({
  response: newResponse({}, 'demo', { temperature: 1, topP: 1 }),
  items: [item(text)],
})

t.test('each scope has its own', async (t) => {
  const store = new ResponseStore(1 << 20)
  const one = stored()
  store.put('a', one)
  t.equal(store.get('a', one.response.id)?.response, one.response)
  t.equal(store.get('b', one.response.id), undefined)
  t.equal(store.item('a', 'msg_hi')?.content, 'hi')
  t.equal(store.item('b', 'msg_hi'), undefined)
  t.notOk(store.delete('b', one.response.id))
  t.ok(store.delete('a', one.response.id))
  t.notOk(store.delete('a', one.response.id))
  t.equal(store.item('a', 'msg_hi'), undefined)
  t.equal(store.size, 0)
})

t.test('the oldest of whoever has most makes room', async (t) => {
  const store = new ResponseStore(100_000)
  const small = stored('small')
  store.put('quiet', small)
  const many = Array.from({ length: 50 }, (_, i) => stored(`${i} ${'x'.repeat(2000)}`))
  for (const one of many) {
    store.put('loud', one)
    t.ok(store.get('quiet', small.response.id), 'the other keeps its own')
  }
  const kept = many.filter(({ response }) => store.get('loud', response.id))
  t.ok(kept.length > 5 && kept.length < 25, `${kept.length} fit`)
  t.same(kept, many.slice(-kept.length), 'the newest')
  store.get('loud', kept[0].response.id)
  store.put('loud', stored('x'.repeat(2000)))
  t.ok(store.get('loud', kept[0].response.id), 'what was used last stays')
  t.notOk(store.get('loud', kept[1].response.id))
})

t.test('many connections of one owner count as one', async (t) => {
  const store = new ResponseStore(60_000)
  const small = stored('x'.repeat(5000))
  store.put('quiet', small)
  for (let i = 0; i < 30; i++) store.put(`connection ${i}`, stored('y'.repeat(2000)), 'loud')
  t.ok(store.get('quiet', small.response.id))
})

t.test('what is larger than all is not kept, and nothing makes room for it', async (t) => {
  const store = new ResponseStore(10_000)
  const small = stored()
  store.put('a', small)
  const large = stored('x'.repeat(10_000))
  store.put('a', large)
  t.notOk(store.get('a', large.response.id))
  t.ok(store.get('a', small.response.id))
  store.put('a', { ...small, items: [item('x'.repeat(10_000))] })
  t.equal(store.size, 0, 'nor in place of what it was')
})

t.test('what a response gains meanwhile counts too', async (t) => {
  const store = new ResponseStore(30_000)
  const [growing, other] = [stored('growing'), stored('other')]
  store.put('a', other)
  store.put('a', growing)
  store.grow('a', growing.response.id, 20_000)
  t.ok(store.get('a', other.response.id))
  store.grow('a', growing.response.id, 8_000)
  t.notOk(store.get('a', growing.response.id) && store.get('a', other.response.id), 'one has made room')
  store.grow('a', 'resp_none', 1 << 30)
  t.equal(store.size, 1, 'what is not there gains nothing')
  for (const one of [growing, other]) store.delete('a', one.response.id)
  store.put('a', stored('x'.repeat(12_000)))
  t.equal(store.size, 1, 'what is gone takes nothing')
})
