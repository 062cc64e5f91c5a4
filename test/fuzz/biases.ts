/** Which tokens may come: allowed sets, biases, stop tokens and min_tokens at random, the answers held against what each of them says. */
import { demoModel } from '../support/repo.ts'
import { startServed } from '../support/served.ts'
import { Fault, type Random, run } from './trial.ts'

const closing: (() => Promise<void>)[] = []
const served = await startServed(
  { teardown: (handler) => closing.push(handler) },
  { model: demoModel('base'), adapters: demoModel('adapters'), pool: '16MiB' },
)
const { vocabSize, eosTokenIds } = served.serving.engine.info

const ids = (random: Random, most: number) => Array.from({ length: random.below(most + 1) }, () => random.below(vocabSize))
/** Keys of which the server may say that they are no token. */
const WRONG_KEYS = ['-1', '1.5', '07', ' 7', '1e3', String(vocabSize), '99999999999999999999', '__proto__', 'constructor', '']

async function attempt(random: Random): Promise<string> {
  const allowed = random.below(2) ? [...ids(random, random.pick([1, 5, vocabSize - 1])), random.below(vocabSize)] : undefined
  const stops = random.below(2) ? ids(random, 20) : []
  const biased = new Map(
    random.below(2) ? ids(random, random.pick([1, 5, 1000])).map((id) => [id, random.pick([-100, 100, 0, -5.5, 1e-300])]) : [],
  )
  const wrongKey = random.below(15) === 0 ? random.pick(WRONG_KEYS) : undefined
  const body = {
    model: random.pick(['base', 'pirate', 'json']),
    prompt: 'Once there was a',
    max_tokens: 1 + random.below(8),
    min_tokens: random.below(3) ? 0 : 1,
    temperature: random.pick([0, 1]),
    seed: random.below(1000),
    ignore_eos: random.below(2) === 1,
    return_token_ids: true,
    stop_token_ids: stops,
    allowed_token_ids: allowed,
    logit_bias: Object.fromEntries([...biased, ...(wrongKey === undefined ? [] : [[wrongKey, 1] as const])]),
  }
  const { status, body: answer } = await served.post('/v1/completions', body)
  const fault = (what: string) =>
    new Fault(`${what}: ${JSON.stringify(body).slice(0, 500)} gave ${JSON.stringify(answer).slice(0, 500)}`)
  const ending = new Set([...stops, ...eosTokenIds])
  const onlyEndings = body.min_tokens > 0 && allowed?.every((id) => ending.has(id))
  if (status !== 200) {
    if (status !== 400) throw fault(`status ${status}`)
    // Fastify's parser refuses the name wherever it stands.
    if (wrongKey === '__proto__' && answer.error.code === 'invalid_json') return 'refused'
    if (answer.error.param !== (wrongKey === undefined ? 'allowed_token_ids' : 'logit_bias') && !onlyEndings)
      throw fault('refused for nothing')
    if (wrongKey === undefined && !onlyEndings) throw fault('refused for nothing')
    return 'refused'
  }
  if (wrongKey !== undefined || onlyEndings) throw fault('accepted')
  const tokens = answer.choices[0].token_ids as number[]
  const { finish_reason: finish } = answer.choices[0]
  const may = new Set(allowed)
  if (allowed && !tokens.every((id) => may.has(id))) throw fault('a token that is not allowed')
  const ends = new Set(body.ignore_eos ? stops : ending)
  if (tokens.slice(0, -1).some((id) => ends.has(id))) throw fault('it went on after a token that ends it')
  if (finish === 'stop' && !ends.has(tokens.at(-1) as number)) throw fault('it ended without a reason')
  if (finish === 'length' && tokens.length !== body.max_tokens) throw fault('it is shorter than asked for')
  if (body.min_tokens > 0 && ends.has(tokens[0])) throw fault('it ended before min_tokens')
  // 200 between two logits is more than this model ever has: what is banned comes only where nothing else may.
  const free = allowed ? [...may].filter((id) => biased.get(id) !== -100) : [0]
  if (free.some((id) => body.min_tokens === 0 || !ending.has(id)) && tokens.some((id) => biased.get(id) === -100))
    throw fault('a token that is banned')
  return 'answered'
}

async function end(): Promise<void> {
  const complaints = await served.idleComplaints()
  if (complaints.length > 0) throw new Fault(`the pool: ${complaints.join(', ')}`)
  for (const close of closing) await close()
}

await run({ name: 'biases', attempt, expected: ['answered', 'refused'], end })
