/** The main thread's side alone, over a worker that only takes notes: what it refuses, and what it tells when the thread dies. */
import { EventEmitter } from 'node:events'
import type { Worker } from 'node:worker_threads'
import t from 'tap'
import { EngineClient } from '../../../runtime/engine/client.ts'
import type { FromEngine, ToEngine } from '../../../runtime/engine/messages.ts'
import type { EngineInfo, EngineSnapshot, SequenceOutput, SequenceRequest } from '../../../runtime/types.ts'
import { greedy } from '../../support/greedy.ts'
import { toyImage, use } from '../../support/toy-core.ts'

class NotedWorker extends EventEmitter {
  readonly posted: ToEngine[] = []
  postMessage(message: ToEngine): void {
    this.posted.push(message)
  }
  tell(message: FromEngine): void {
    this.emit('message', message)
  }
}

const info = {
  vocabSize: 100,
  addedTokens: 0,
  maxModelLen: 40,
  eosTokenIds: [2],
  blockSize: 4,
  blockCount: 10,
  blockBytes: 4096,
  frameBytes: 4096,
  adapterDtype: 'float32',
} as EngineInfo

function start(framesPerBlock = 1) {
  const worker = new NotedWorker()
  const cut = { ...info, frameBytes: info.blockBytes / framesPerBlock }
  const client = new EngineClient(worker as unknown as Worker, cut, { step: 0 } as EngineSnapshot)
  return { worker, client }
}

const request = (id: string, rest: Partial<SequenceRequest> = {}) =>
  ({ id, promptIds: [1, 2], adapters: [], arrival: 0, sampling: greedy(4), ...rest }) as unknown as SequenceRequest

t.test('prompt and adapters together must fit the pool', async (t) => {
  const { client, worker } = start()
  const [small, big] = [toyImage('small', 3), toyImage('big', 8)]
  client.addAdapter(small)
  client.addAdapter(big)
  client.addAdapter(big)
  t.equal(worker.posted.length, 2, 'an image is sent once')
  client.submit(request('fits', { adapters: [use(big)] }), () => {})
  t.throws(() => client.submit(request('both', { adapters: [use(small), use(big)] }), () => {}), {
    code: 'pool_too_small',
    message: /need 12 blocks of the pool, which has 10/,
  })
  t.throws(() => client.submit(request('long', { promptIds: Array(12).fill(1), adapters: [use(big)] }), () => {}), {
    code: 'pool_too_small',
  })
})

t.test('of frames that adapters share, all together take blocks', async (t) => {
  const { client } = start(8)
  const images = [toyImage('a', 4, 5, 8), toyImage('b', 3, 3, 8), toyImage('c', 3, 4, 8)]
  for (const image of images) client.addAdapter(image)
  const [a, b, c] = images.map((image) => use(image))
  client.submit(request('one block of frames', { adapters: [a, b] }), () => {})
  t.throws(() => client.submit(request('two', { promptIds: [1, 2, 3, 4], adapters: [a, c] }), () => {}), {
    code: 'pool_too_small',
    message: /need 11 blocks of the pool, which has 10/,
  })
  t.throws(() => client.addAdapter(toyImage('cut otherwise', 0, 3, 4)), { code: 'adapter_layout_mismatch' })
})

t.test('the context is an exact border', async (t) => {
  const { client } = start()
  client.submit(request('last', { promptIds: Array(39).fill(1) }), () => {})
  const full = { promptIds: Array(40).fill(1) }
  t.throws(() => client.submit(request('full', full), () => {}), { code: 'context_length_exceeded' })
  client.submit(request('scored', { ...full, sampling: greedy(0) }), () => {})
})

t.test('an image packed for other blocks or rows is refused: it would be read as other weights', async (t) => {
  const { client, worker } = start()
  t.throws(() => client.addAdapter({ ...toyImage('x', 1), blockBytes: 8192 }), {
    code: 'adapter_layout_mismatch',
    message: /blocks of 8192 bytes and frames of 4096; the engine takes float32 in blocks of 4096/,
  })
  t.throws(() => client.addAdapter({ ...toyImage('x', 1), dtype: 'float16' }), { code: 'adapter_layout_mismatch' })
  t.equal(worker.posted.length, 0)
})

t.test('an adapter that was removed is unknown, and known again when it is given again', async (t) => {
  const { client, worker } = start()
  const image = toyImage('x', 1)
  client.addAdapter(image)
  client.removeAdapter(image.digest)
  client.removeAdapter('never there')
  t.throws(() => client.submit(request('a', { adapters: [use(image)] }), () => {}), { code: 'unknown_adapter' })
  client.addAdapter(image)
  client.submit(request('a', { adapters: [use(image)] }), () => {})
  t.same(
    worker.posted.map((message) => message.type),
    ['adapter', 'removeAdapter', 'adapter', 'submit'],
  )
})

t.test('outputs go to their owner until the one with finish', async (t) => {
  const { client, worker } = start()
  const got: SequenceOutput[] = []
  client.submit(request('a'), (output) => got.push(output))
  worker.tell({
    type: 'step',
    outputs: [
      { id: 'a', tokens: [5] },
      { id: 'stranger', tokens: [6] },
    ],
  })
  worker.tell({ type: 'step', outputs: [{ id: 'a', tokens: [7], finish: 'stop' }] })
  worker.tell({ type: 'step', outputs: [{ id: 'a', tokens: [8] }] })
  t.same(
    got.map((output) => output.tokens[0]),
    [5, 7],
  )
  client.abort('a')
  t.equal(worker.posted.length, 1, 'an abort of what has ended is not sent')
  client.submit(request('a'), () => {})
  t.throws(() => client.submit(request('a'), () => {}), { code: 'duplicate_id' })
})

t.test('when the thread dies every open sequence gets an error, once, and idle does not hang', async (t) => {
  const { client, worker } = start()
  const finishes: string[] = []
  for (const id of ['a', 'b'])
    client.submit(request(id), (output) => finishes.push(`${id} ${output.finish} ${output.error?.code}`))
  const idle = client.idle()
  const failures: Error[] = []
  client.onFailure = (error) => failures.push(error)
  worker.emit('error', new Error('out of memory'))
  worker.emit('exit', 1)
  await idle
  await client.idle()
  t.same(finishes, ['a error engine_failed', 'b error engine_failed'])
  t.equal(failures.length, 1)
  t.match(failures[0].message, /out of memory/)
  t.throws(() => client.submit(request('c'), () => {}), { code: 'engine_failed' })
  await client.close()
})

t.test('an engine that gives up tells every open sequence why; what it gave before that is kept', async (t) => {
  const { client, worker } = start()
  const told: SequenceOutput[] = []
  client.submit(request('a'), (output) => told.push(output))
  const failures: Error[] = []
  client.onFailure = (error) => failures.push(error)
  worker.tell({ type: 'step', outputs: [{ id: 'a', tokens: [5] }] })
  worker.tell({ type: 'failed', message: 'the device is lost: out of range' })
  worker.emit('exit', 0)
  t.match(told, [{ tokens: [5] }, { finish: 'error', error: { code: 'engine_failed', message: /the device is lost/ } }])
  t.equal(failures.length, 1)
})

t.test('a warning is passed on, and is no failure', async (t) => {
  const { client, worker } = start()
  worker.tell({ type: 'warning', message: 'nobody listens yet' })
  const warnings: string[] = []
  client.onWarning = (message) => warnings.push(message)
  worker.tell({ type: 'warning', message: 'copies are slower' })
  t.same(warnings, ['copies are slower'])
  client.submit(request('a'), () => {})
})

t.test('an engine that tells nothing of open sequences is silent; one without any is not', async (t) => {
  const { client, worker } = start()
  await new Promise((resolve) => setTimeout(resolve, 40))
  t.equal(client.silentMs, 0)
  client.submit(request('a'), () => {})
  t.ok(client.silentMs < 30, 'it counts from the first request on')
  await new Promise((resolve) => setTimeout(resolve, 40))
  t.ok(client.silentMs >= 35)
  worker.tell({ type: 'step', outputs: [{ id: 'a', tokens: [5] }] })
  t.ok(client.silentMs < 30, 'it has spoken')
  worker.tell({ type: 'step', outputs: [{ id: 'a', tokens: [], finish: 'stop' }] })
  t.equal(client.silentMs, 0)
})

t.test('who lies in the pool is told by changes, and who waits for it follows', async (t) => {
  const { client, worker } = start()
  const [x, y] = ['x', 'y'].map((name) => ({
    ...toyImage(name, 2),
    blockBytes: client.info.blockBytes,
    frameBytes: client.info.frameBytes,
    dtype: client.info.adapterDtype,
  }))
  for (const image of [x, y]) client.addAdapter(image)
  client.submit(request('a', { adapters: [use(x), use(y)] }), () => {})
  t.same(client.waitingAdapters(), ['x', 'y'])
  const told = ({ digest }: typeof x) => ({ digest, bytes: 8192 })
  client.addAdapter({ ...x, name: 'also x' })
  t.equal(worker.posted.filter(({ type }) => type === 'adapter').length, 2, 'one content is sent once')
  worker.tell({ type: 'step', outputs: [], residents: { came: [told(x)], went: [] } })
  t.same([...client.residents.values()], [{ ...told(x), names: ['x', 'also x'] }])
  t.same(client.waitingAdapters(), ['y'])
  worker.tell({ type: 'step', outputs: [], residents: { came: [told(y), told(x)], went: [x.digest] } })
  t.equal(client.residents.size, 2, 'one that went and came again is there')
  worker.tell({ type: 'step', outputs: [], residents: { came: [], went: [x.digest, y.digest] } })
  t.equal(client.residents.size, 0)
})

t.test('a thread that ends unasked is a failure; one that was asked to is none, and idle resolves after it', async (t) => {
  const unasked = start()
  let failed = 0
  unasked.client.onFailure = () => failed++
  unasked.worker.emit('exit', 0)
  t.equal(failed, 1)

  const asked = start()
  asked.client.onFailure = () => failed++
  const closed = asked.client.close()
  t.equal(asked.worker.posted.at(-1)?.type, 'close')
  t.throws(() => asked.client.submit(request('a'), () => {}), { code: 'engine_closed' })
  const idle = asked.client.idle()
  asked.worker.emit('exit', 0)
  await Promise.all([closed, idle])
  t.equal(failed, 1)
})
