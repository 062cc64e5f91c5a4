/** Constrained sequences as the engine runs them: a late mask keeps its own row, never the batch; what is told to the thread that makes masks; its loss. */
import path from 'node:path'
import { MessageChannel } from 'node:worker_threads'
import t from 'tap'
import { type Engine, type EngineSettings, type SequenceOutput, startEngine, type ToMasks } from '../../../runtime/index.ts'
import { greedy } from '../../support/greedy.ts'
import { repoRoot } from '../../support/repo.ts'

const settings: EngineSettings = {
  modelDir: path.join(repoRoot(), 'deploy/demo-model/base'),
  dtype: 'float32',
  device: 'cpu',
  poolBytes: 4 << 20,
  blockSize: 4,
  maxBatchTokens: 64,
  maxSequences: 4,
  adapterDtype: 'float16',
  threads: 1,
  prefixCache: true,
  validate: true,
}

/** A thread that makes masks, in this one: `answer` decides when one is written. */
function maskThread(engine: Engine, id: number) {
  const { slots, maskWords } = engine.info
  const stride = 1 + maskWords
  const places = new Uint32Array(new SharedArrayBuffer(4 * slots * stride))
  const { port1, port2 } = new MessageChannel()
  const heard: ToMasks[] = []
  const write = (slot: number, ticket: number, allowed: readonly number[]) => {
    const words = places.subarray(slot * stride + 1, (slot + 1) * stride).fill(0)
    for (const token of allowed) words[token >>> 5] |= 1 << (token & 31)
    Atomics.store(places, slot * stride, ticket)
  }
  let onAsked: (slot: number, ticket: number) => void = () => undefined
  port2.on('message', (message: ToMasks) => {
    heard.push(message)
    if (message.type === 'begin') onAsked(message.slot, message.ticket)
    else if (message.type === 'tokens')
      for (let i = 0; i < message.items.length; i += 3) onAsked(message.items[i], message.items[i + 1])
  })
  port2.unref()
  engine.addMaskThread({ id, port: port1, places })
  return {
    heard,
    write,
    tell: (failed: { ticket: number; message: string }[] = []) => port2.postMessage({ failed }),
    asked: (handler: typeof onAsked) => {
      onAsked = handler
    },
    close: () => port2.close(),
  }
}

const prompt = Array.from({ length: 9 }, (_, i) => 10 + i)

function run(engine: Engine, id: string, tokens: number, more: object = {}) {
  const outputs: SequenceOutput[] = []
  const done = new Promise<SequenceOutput[]>((resolve) => {
    engine.submit(
      { id, promptIds: prompt, adapters: [], arrival: 0, sampling: { ...greedy(tokens), stopTokenIds: [] }, ...more },
      (output) => {
        outputs.push(output)
        if (output.finish) resolve(outputs)
      },
    )
  })
  return { outputs, done }
}
const tokensOf = (outputs: SequenceOutput[]) => outputs.flatMap(({ tokens }) => tokens)

const ALLOWED = [100, 200, 300, 400]
const constraint = { thread: 1, grammar: 7 }

for (const asyncScheduling of [false, true])
  t.test(`steps ${asyncScheduling ? 'that overlap' : 'one after the other'}`, async (t) => {
    const engine = await startEngine({ ...settings, asyncScheduling })
    t.teardown(() => engine.close())
    const masks = maskThread(engine, 1)
    t.teardown(masks.close)

    const free = tokensOf(await run(engine, 'free', 40).done)
    const { allowedTokenIds } = { allowedTokenIds: ALLOWED }
    const wanted = tokensOf(
      await run(engine, 'allowed', 8, { sampling: { ...greedy(8), stopTokenIds: [], allowedTokenIds } }).done,
    )

    // At once: as if the tokens were allowed from the beginning.
    masks.asked((slot, ticket) => {
      masks.write(slot, ticket, ALLOWED)
      masks.tell()
    })
    t.same(tokensOf(await run(engine, 'at once', 8, { constraint }).done), wanted)
    const [begin] = masks.heard
    t.match(begin, { type: 'begin', grammar: 7, tokens: [] })
    while (masks.heard.at(-1)?.type !== 'end') await new Promise((resolve) => setTimeout(resolve, 1))

    // Late: the others go on, to the bit; it goes on when its mask comes.
    let waiting: [slot: number, ticket: number] | undefined
    let wake: () => void = () => undefined
    masks.asked((slot, ticket) => {
      waiting = [slot, ticket]
      wake()
    })
    const late = run(engine, 'late', 3, { constraint })
    t.same(tokensOf(await run(engine, 'beside', 40).done), free, 'nobody waits for it')
    t.same(late.outputs, [], 'it has no token without its mask')
    for (let i = 0; i < 3; i++) {
      while (!waiting) await new Promise<void>((resolve) => (wake = resolve))
      const [slot, ticket] = waiting
      waiting = undefined
      // The engine has nothing else to do: it sleeps until it is told.
      await new Promise((resolve) => setTimeout(resolve, 30))
      masks.write(slot, ticket, ALLOWED)
      masks.tell()
    }
    t.same(tokensOf(await late.done), wanted.slice(0, 3), 'late, and the same')

    // Nothing left, a failure of the thread's, and its end.
    masks.asked((slot, ticket) => {
      masks.write(slot, ticket, [5])
      masks.tell()
    })
    const nothing = await run(engine, 'nothing', 8, { constraint, sampling: { ...greedy(8), stopTokenIds: [], allowedTokenIds } })
      .done
    t.match(nothing.at(-1), { finish: 'error', error: { code: 'constraint_unsatisfiable' } })
    masks.asked((_, ticket) => masks.tell([{ ticket, message: 'it cannot' }]))
    const failed = await run(engine, 'failed', 8, { constraint }).done
    t.match(failed.at(-1), { finish: 'error', error: { code: 'constraint_lost', message: 'it cannot' } })
    masks.asked(() => undefined)
    const lost = run(engine, 'lost', 8, { constraint })
    const aborted = run(engine, 'aborted', 8, { constraint })
    await new Promise((resolve) => setTimeout(resolve, 50))
    engine.abort('aborted')
    t.match((await aborted.done).at(-1), { finish: 'abort' })
    engine.removeMaskThread(1)
    t.match((await lost.done).at(-1), { finish: 'error', error: { code: 'constraint_lost' } })
    t.match((await run(engine, 'after', 8, { constraint }).done).at(-1), { finish: 'error', error: { code: 'constraint_lost' } })
    t.same(tokensOf(await run(engine, 'free again', 40).done), free)
    await engine.idle()
    const { blocks, counters } = engine.snapshot
    t.equal(blocks.free + blocks.cachedPrefixes, blocks.total, 'every block has come back')
    t.ok(counters.lateMasks > 0)
  })
