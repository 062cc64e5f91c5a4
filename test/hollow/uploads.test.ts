/** What a step sends to the device: places, not what requests brought. That went there once, when they were admitted. */
import '../support/hollow.ts'
import t, { type Test } from 'tap'
import type { SequenceRequest } from '../../runtime/types.ts'
import { ask } from '../support/ask.ts'
import { broken, needsHollow, startHollow, takeLog } from '../support/hollow.ts'
import { fixture } from '../support/repo.ts'

const SEQUENCES = 8
const PROMPT = 100

interface Copied {
  /** Bytes, by step in which no sequence gets a block. */
  steps: number[]
  /** Bytes that no step copies. */
  admissions: number
}

async function copied(t: Test, sampling: Partial<SequenceRequest['sampling']>): Promise<Copied> {
  const { engine } = await startHollow(t, fixture('oracle/llama-heads16/base'), undefined, { prefixCache: false })
  const batch = () =>
    Promise.all(
      Array.from({ length: SEQUENCES }, (_, i) => ask(engine, Array(PROMPT).fill(3 + i), { ...sampling, maxTokens: 20 })),
    )
  await batch()
  takeLog()
  for (const { error } of await batch()) t.equal(error, undefined)
  const log = takeLog()
  t.same(broken(log), [])
  await engine.close()
  const copies: Copied = { steps: [], admissions: 0 }
  for (const [i, line] of log.entries()) {
    const bytes = Number(/^copy (\d+) to the device/.exec(line)?.[1] ?? 0)
    const next = log[i + 1] ?? ''
    if (bytes && next.startsWith('kernel fill_inputs')) copies.steps.push(bytes)
    else if (!next.startsWith('kernel note_blocks')) copies.admissions += bytes
  }
  return copies
}

t.test('what a step uploads', needsHollow, async (t) => {
  const vocabulary = Array.from({ length: 320 }, (_, i) => i)
  const plain = await copied(t, { logprobs: 0 })
  const asking = await copied(t, {
    logprobs: 0,
    allowedTokenIds: vocabulary.slice(0, 200),
    logitBias: vocabulary.map((token): [number, number] => [token, 1]),
    stopTokenIds: vocabulary.slice(200),
    minTokens: 20,
    presencePenalty: 1,
  })
  const most = ({ steps }: Copied) => Math.max(...steps)
  t.equal(most(asking), most(plain), `a decode step of ${SEQUENCES} sequences sends ${most(plain)} bytes, whatever they ask for`)
  t.equal(plain.admissions, SEQUENCES * PROMPT * 4, 'a sequence is admitted with its tokens')
  // Biases; stop tokens and the end token; the mask, which has a bit for each token that an adapter may add as well.
  const lists = 8 * 320 + 4 * (320 - 200 + 1) + (320 + 256) / 8
  t.ok(Math.abs(asking.admissions - plain.admissions - SEQUENCES * lists) <= SEQUENCES * 16, `and with its lists, ${lists} bytes`)
})
