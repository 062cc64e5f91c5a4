/**
 * The whole server on the demo model: its golden rows, and 200 requests on base and adapters mixed, over HTTP. `--dtypes float16,bfloat16` are served one after the
 * other. A golden row must hold where the reference was sure: it is exact up to the first token whose two best logits were closer than the type's tolerance
 * (a row's `min_margin` says how close they came anywhere). Of each style, as many answers as its README says must pass the style's own validator, and none another's.
 * `node dist/bench/gpu/demo.js [--device cpu] [--requests 200]`
 */
import { inFlight } from '../../test/support/pace.ts'
import { demoModel, readJson, readJsonLines } from '../../test/support/repo.ts'
import { stylesOf, type Wanted } from '../../test/support/validators.ts'
import { readArgs } from './args.ts'
import { startServer } from './server.ts'

const { device, results, values } = readArgs({ dtypes: 'float16,bfloat16', requests: '200', clients: '32' })

interface Message {
  role: string
  content: string
}
interface Golden {
  model: string
  prompt_id: number
  messages: Message[]
  output_ids: number[]
  finish: string
  /** Least difference of the two best logits along the row. */
  min_margin: number
}
/** Twice what the demo's logits (largest 15) move by when every product's result is rounded to the type. */
const TOLERANCE: Record<string, number> = { float32: 1e-3, float16: 0.1, bfloat16: 0.5 }
/** Answers of a style that may fail beyond what its README says: close calls fall otherwise in 16 bits. */
const SLACK = 0.05

const prompts = readJsonLines<{ id: number; messages: Message[]; expect: Wanted }>(demoModel('prompts.jsonl'))
const golden = readJsonLines<Golden>(demoModel('golden.jsonl'))
const { accuracy } = readJson<{ accuracy: Record<string, number> }>(demoModel('eval.json'))
const models = Object.keys(accuracy)

interface Answer {
  text: string
  tokens: number[]
  finish: string
}
async function ask(url: string, model: string, messages: Message[], maxTokens: number): Promise<Answer> {
  const body = { model, messages, max_tokens: maxTokens, temperature: 0, return_token_ids: true }
  const response = await fetch(`${url}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  })
  // biome-ignore lint/suspicious/noExplicitAny: an OpenAI answer
  const answer = (await response.json()) as any
  if (response.status !== 200) throw new Error(`${model}: ${response.status} ${JSON.stringify(answer)}`)
  const [choice] = answer.choices
  return { text: choice.message.content, tokens: choice.token_ids, finish: choice.finish_reason }
}

for (const dtype of device === 'cpu' ? ['float32'] : values.dtypes.split(',')) {
  const what = `demo model, ${dtype}`
  try {
    const server = await startServer(demoModel('base'), device, {
      adapters: demoModel('adapters'),
      ...(device === 'cuda' && { dtype, 'max-batch-tokens': 2048 }),
    })
    try {
      const clients = Number(values.clients)
      const answers = await inFlight(golden, clients, (row) => ask(server.url, row.model, row.messages, 64))
      const exact = golden.map((row, i) => answers[i].tokens.join() === row.output_ids.join() && answers[i].finish === row.finish)
      const sure = golden.filter((row) => row.min_margin >= TOLERANCE[dtype]).length
      const wrong = golden.filter((row, i) => row.min_margin >= TOLERANCE[dtype] && !exact[i])
      const count = exact.filter(Boolean).length
      results.number(`${dtype} golden`, {
        rows: golden.length,
        exact: count,
        sure,
        wrong: wrong.map((row) => `${row.model} ${row.prompt_id}`),
      })
      const first = wrong.length > 0 ? `; not ${wrong[0].model} ${wrong[0].prompt_id} (margin ${wrong[0].min_margin})` : ''
      results.row(
        `${what}: golden rows`,
        wrong.length === 0 ? 'ok' : 'FAILED',
        `${sure - wrong.length} of ${sure} sure rows exact, ${count} of all ${golden.length}${first}`,
      )

      const requests = Array.from({ length: Number(values.requests) }, (_, i) => ({
        model: models[i % models.length],
        ...prompts[Math.floor(i / models.length) % prompts.length],
      }))
      const started = performance.now()
      const mixed = await inFlight(requests, clients, ({ model, messages }) => ask(server.url, model, messages, 128))
      const seconds = (performance.now() - started) / 1e3
      let foreign = 0
      const right = new Map(models.map((model) => [model, 0]))
      mixed.forEach(({ text, finish }, i) => {
        const { model, expect } = requests[i]
        const styles = stylesOf(text, expect)
        if (finish === 'stop' && styles.includes(model)) right.set(model, right.get(model)! + 1)
        if (styles.some((style) => style !== model)) foreign++
      })
      const each = (model: string) => requests.filter((request) => request.model === model).length
      const short = models.filter((model) => right.get(model)! < (accuracy[model] - SLACK) * each(model) - 1)
      const tokens = mixed.reduce((sum, answer) => sum + answer.tokens.length, 0)
      results.row(
        `${what}: ${requests.length} requests mixed`,
        foreign === 0 && short.length === 0 ? 'ok' : 'FAILED',
        `${foreign} pass for another style${short.length > 0 ? `; too few right: ${short.join(', ')}` : ''}; ${tokens} tokens in ${seconds.toFixed(1)} s`,
      )
    } finally {
      await server.close()
    }
  } catch (error) {
    results.row(what, 'FAILED', (error as Error).message.slice(0, 300))
  }
}
process.exit(results.failed ? 1 : 0)
