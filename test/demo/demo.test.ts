/** The demo model over HTTP (issue 2, "What it must show", 1): every prompt of every adapter, mixed, 32 at a time; the golden file; outputs alone and in a batch. */
import t from 'tap'
import { inFlight, seeded } from '../support/pace.ts'
import { demoModel, readJson, readJsonLines } from '../support/repo.ts'
import { startServed } from '../support/served.ts'
import { stylesOf, type Wanted } from '../support/validators.ts'

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
  text: string
  min_margin: number
}
interface Answer {
  model: string
  text: string
  tokens: number[]
  finish: string
}

const CLIENTS = 32
const prompts = readJsonLines<{ id: number; messages: Message[]; expect: Wanted }>(demoModel('prompts.jsonl'))
const golden = readJsonLines<Golden>(demoModel('golden.jsonl'))
const { accuracy } = readJson<{ accuracy: Record<string, number> }>(demoModel('eval.json'))
const models = Object.keys(accuracy)

t.test('the demo model', async (t) => {
  const served = await startServed(t, { model: demoModel('base'), adapters: demoModel('adapters') })

  const ask = async (
    model: string,
    messages: Message[],
    maxTokens: number,
    server = served,
    more: object = {},
    headers: Record<string, string> = {},
  ): Promise<Answer> => {
    const body = { model, messages, max_tokens: maxTokens, temperature: 0, return_token_ids: true, ...more }
    const answer = await server.post('/v1/chat/completions', body, headers)
    if (answer.status !== 200) throw new Error(`${model}: ${answer.status} ${JSON.stringify(answer.body)}`)
    const [choice] = answer.body.choices
    return { model: answer.body.model, text: choice.message.content, tokens: choice.token_ids, finish: choice.finish_reason }
  }

  t.test('golden rows: exact where the model is sure, the rest reported', async (t) => {
    const answers = await inFlight(golden, CLIENTS, (row) => ask(row.model, row.messages, 64))
    const same = golden.map((row, i) => {
      const { text, tokens, finish, model } = answers[i]
      return text === row.text && tokens.join() === row.output_ids.join() && finish === row.finish && model === row.model
    })
    const sure = golden.filter((row) => row.min_margin >= 0.5)
    t.same(
      golden.filter((row, i) => row.min_margin >= 0.5 && !same[i]).map((row) => `${row.model} ${row.prompt_id}`),
      [],
      `${sure.length} sure rows`,
    )
    const unsure = golden.filter((row) => row.min_margin < 0.5)
    t.comment(
      `of ${unsure.length} rows with a smaller margin, ${golden.filter((row, i) => row.min_margin < 0.5 && same[i]).length} are exact`,
    )
  })

  const requests = prompts.flatMap((prompt) => models.map((model) => ({ model, ...prompt })))
  let answers: Answer[] = []

  t.test(`${requests.length} requests, mixed, ${CLIENTS} at a time: each adapter as accurate as its README says`, async (t) => {
    const started = performance.now()
    answers = await inFlight(requests, CLIENTS, ({ model, messages }) => ask(model, messages, 128))
    const tokens = answers.reduce((sum, answer) => sum + answer.tokens.length, 0)
    const seconds = (performance.now() - started) / 1000
    t.comment(`${tokens} tokens in ${seconds.toFixed(1)} s`)
    const right = new Map(models.map((model) => [model, 0]))
    const foreign: string[] = []
    answers.forEach(({ text, finish, model: servedBy }, i) => {
      const { model, expect, id } = requests[i]
      const styles = stylesOf(text, expect)
      if (finish === 'stop' && styles.includes(model)) right.set(model, right.get(model)! + 1)
      for (const style of styles) if (style !== model) foreign.push(`${model} ${id} passes as ${style}`)
      if (servedBy !== model) foreign.push(`${model} ${id} was answered by ${servedBy}`)
    })
    t.same(foreign, [], 'no answer passes for another adapter’s')
    for (const [model, count] of right) {
      const measured = count / prompts.length
      t.ok(
        Math.abs(measured - accuracy[model]) <= 0.01 + 1e-9,
        `${model}: ${100 * measured} % (README: ${100 * accuracy[model]} %)`,
      )
    }
  })

  t.test('an answer alone is the answer in the batch', async (t) => {
    const random = seeded(5)
    for (let k = 0; k < 30; k++) {
      const i = random.below(requests.length)
      const alone = await ask(requests[i].model, requests[i].messages, 128)
      t.same(alone, answers[i], `${requests[i].model} ${requests[i].id}`)
    }
  })

  t.test('with no request in flight every block is free, an idle adapter’s or a cached prefix’s', async (t) => {
    t.same(await served.idleComplaints(), [])
  })

  for (const scheduling of ['fcfs', 'priority', 'fair'])
    t.test(`${scheduling}: the same answers with host memory and a pool for a few of the adapters`, async (t) => {
      // Of nine adapters of 3.5 MB in files some four are in host memory, and two or three in the 64 blocks.
      const small = await startServed(t, {
        model: demoModel('base'),
        adapters: demoModel('adapters'),
        'host-memory': '1MiB',
        pool: '4MiB',
        scheduling,
        'tenant-header': 'x-tenant',
        'adapter-cluster': 2,
      })
      const random = seeded(6)
      const some = Array.from({ length: 150 }, () => random.below(requests.length))
      const given = await inFlight(some, CLIENTS, (i) => {
        const { model, messages } = requests[i]
        const more = scheduling === 'priority' ? { priority: i % 3 } : {}
        return ask(model, messages, 128, small, more, { 'x-tenant': `${i % 4}` })
      })
      t.same(
        some
          .filter((i, k) => JSON.stringify(given[k]) !== JSON.stringify(answers[i]))
          .map((i) => `${requests[i].model} ${requests[i].id}`),
        [],
      )
      const page = await (await fetch(`${small.url}/metrics`)).text()
      const count = (name: string) => Number(new RegExp(`^${name}\\{[^}]*\\} (\\d+)$`, 'm').exec(page)?.[1])
      t.ok(count('lorikeet_host_evictions_total') > 10, `${count('lorikeet_host_evictions_total')} left host memory`)
      t.ok(count('lorikeet_adapter_evictions_total') > 2, `${count('lorikeet_adapter_evictions_total')} left the pool`)
      t.same(await small.idleComplaints(), [])
    })
})
