/** The demo model over HTTP on the CUDA engine without a GPU: the golden file, many adapters in one batch, and that an answer alone is the one in the batch. */
import t from 'tap'
import { needsEmulated, serveEmulated } from '../support/emulated.ts'
import { inFlight } from '../support/pace.ts'
import { demoModel, readJsonLines } from '../support/repo.ts'

interface Golden {
  model: string
  prompt_id: number
  messages: { role: string; content: string }[]
  output_ids: number[]
  finish: string
  min_margin: number
}

/** Logits may be off by this in float16: where the best two are nearer, either may win. */
const NEAR_TIE = 0.25
const all = readJsonLines<Golden>(demoModel('golden.jsonl'))
// Two rows of each model: the base and every adapter.
const golden = all.filter((row, i) => all.slice(0, i).filter((other) => other.model === row.model).length < 2)

t.test('the demo model', needsEmulated, async (t) => {
  const served = await serveEmulated(t)
  t.match(served.serving.engine.info, {
    device: 'cuda',
    dtype: 'float16',
    cacheDtype: 'float16',
    adapterDtype: 'float16',
    blockSize: 256,
  })

  const ask = async (row: Golden, more: object = {}) => {
    const { model, messages } = row
    const body = { model, messages, max_tokens: 32, temperature: 0, return_token_ids: true, ...more }
    const answer = await served.post('/v1/chat/completions', body)
    if (answer.status !== 200) throw new Error(`${model}: ${answer.status} ${JSON.stringify(answer.body)}`)
    return answer.body.choices
  }
  const tokens = async (row: Golden): Promise<number[]> => (await ask(row))[0].token_ids

  t.ok(
    new Set(golden.map((row) => row.model)).size > 5,
    `${golden.length} rows of ${new Set(golden.map((row) => row.model)).size} models`,
  )
  const together = await inFlight(golden, 32, tokens)
  const sure = golden.flatMap((row, i) => (row.min_margin >= NEAR_TIE ? [i] : []))
  t.ok(sure.length > golden.length / 2, `${sure.length} of ${golden.length} rows are sure`)
  for (const i of sure) t.same(together[i], golden[i].output_ids.slice(0, 32), `${golden[i].model} ${golden[i].prompt_id}`)
  for (const i of [0, 5, 11]) t.same(await tokens(golden[i]), together[i], `${golden[i].model} ${golden[i].prompt_id} alone`)

  const [one, two] = await ask(golden[3], { n: 2, temperature: 0.8, seed: 5, logprobs: true, top_logprobs: 2, max_tokens: 8 })
  t.notSame(one.token_ids, two.token_ids, 'two choices')
  t.equal(one.logprobs.content.length, one.token_ids.length)
  t.same(await served.idleComplaints(), [])
  t.equal(served.serving.engine.snapshot.counters.failedSteps, 0)
})
