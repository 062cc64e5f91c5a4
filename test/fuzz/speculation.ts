/**
 * Speculative decoding against none: random requests, some at once and some that leave, in small pools with all kinds of settings. Each answer must be that of a server without drafts, to the bit.
 * What is drafted depends on measured times, and a case by itself has servers of its own settings: one which shows a fault may have to be run in its place, or several times.
 */
import { configOf } from '../../server/config/config.ts'
import { serve } from '../../server/serve.ts'
import { idleComplaints } from '../support/oracle.ts'
import { seeded } from '../support/pace.ts'
import { Fault, type Random, run } from './trial.ts'

interface Ask {
  path: string
  body: Record<string, unknown>
  adapter?: string
  /** It goes after so many bytes of its stream. */
  leavesAfter?: number
}

type Server = Awaited<ReturnType<typeof serve>>

const ADAPTERS = ['pirate', 'json', 'shout', 'pirate;w=0.5, json;w=0.5', 'emoji;w=0.7']
const LINES = [
  'The captain has the map, and the map has the captain.',
  'a a a a a a',
  'One, two, three; one, two, three;',
  '{"a": 1, "a": 1, "a":',
  'ha🙂ha🙂ha',
]

const chance = (random: Random, one: number) => random.below(one) === 0

function promptOf(random: Random): string {
  const line = random.pick(LINES)
  return (
    Array.from({ length: 1 + random.below(4) }, () => (chance(random, 5) ? random.pick(LINES) : line)).join(' ') +
    line.slice(0, random.below(line.length))
  )
}

/** What both routes take. */
function optionsOf(random: Random): Record<string, unknown> {
  const { below, pick } = random
  const body: Record<string, unknown> = { temperature: pick([0, 0, 0, 0.2, 1.1]), seed: below(1000), max_tokens: 1 + below(60) }
  const maybe = (one: number, fields: () => Record<string, unknown>) => {
    if (chance(random, one)) Object.assign(body, fields())
  }
  const few = () => ({ allowed_token_ids: Array.from({ length: 1 + below(4) }, () => 70 + below(8)) })
  maybe(2, () => ({ ignore_eos: true }))
  maybe(4, () => ({ n: 1 + below(3) }))
  maybe(4, few)
  // Where one token is allowed every draft is right.
  maybe(5, () => ({
    allowed_token_ids: [45],
    ignore_eos: true,
    ...(!chance(random, 3) && { stop: ['G'.repeat(1 + below(12))] }),
    ...(chance(random, 2) && { bad_words: ['G'.repeat(1 + below(14))] }),
  }))
  maybe(3, () => ({
    stop: Array.from({ length: 1 + below(3) }, () =>
      pick(['a', 'th', 'map', 'captain', 'e c', ',', 'aa', 'zz', 'e the', 'GG', 'FGF', '🙂']),
    ),
  }))
  maybe(4, () => ({ include_stop_str_in_output: true }))
  maybe(4, () => ({ min_tokens: below(Number(body.max_tokens) + 1) }))
  maybe(4, () => ({ stop_token_ids: Array.from({ length: 1 + below(40) }, () => below(900)) }))
  maybe(4, () => ({
    bad_words: Array.from({ length: 1 + below(3) }, () =>
      pick(['map', 'the map', 'aa', 'captain', 'G', 'FF', 'GGGG', ' ha', 'one, two']),
    ),
  }))
  maybe(4, () => ({ logit_bias: Object.fromEntries(Array.from({ length: 1 + below(6) }, () => [below(900), below(20) - 10])) }))
  maybe(4, () => ({
    repetition_penalty: pick([0.8, 1.2]),
    presence_penalty: pick([-0.7, 0, 0.4]),
    frequency_penalty: pick([0, 0.3]),
  }))
  maybe(5, () => ({ top_k: 1 + below(20), top_p: 0.9, min_p: pick([0, 0.05]) }))
  maybe(5, () => ({ prompt_logprobs: below(3) }))
  maybe(3, () => ({ return_token_ids: true }))
  maybe(6, () => ({ skip_special_tokens: false }))
  maybe(8, () => ({ structured_outputs: { regex: pick(['(the map )+', '[a-f]{1,20}', '(aa|b)*']) } }))
  return body
}

function askOf(random: Random): Ask {
  const { below, pick } = random
  if (chance(random, 12))
    return {
      path: '/pooling',
      body: { input: [promptOf(random), promptOf(random)], task: pick(['embed', 'token_embed']) },
      adapter: chance(random, 2) ? 'pirate' : undefined,
    }
  const body = optionsOf(random)
  const streamed = chance(random, 2)
  const adapter = chance(random, 2) ? undefined : pick(ADAPTERS)
  if (streamed) Object.assign(body, { stream: true, stream_options: { include_usage: true, continuous_usage_stats: true } })
  const leavesAfter = streamed && chance(random, 5) ? below(3000) : undefined
  if (chance(random, 3)) {
    if (chance(random, 2)) Object.assign(body, { logprobs: true, top_logprobs: below(3) })
    return {
      path: '/v1/chat/completions',
      body: { ...body, messages: [{ role: 'user', content: promptOf(random) }] },
      adapter,
      leavesAfter,
    }
  }
  if (chance(random, 3)) Object.assign(body, { logprobs: below(3) })
  if (chance(random, 4)) Object.assign(body, { echo: true })
  if (!streamed && chance(random, 4)) Object.assign(body, { best_of: Number(body.n ?? 1) + below(3) })
  const prompt = chance(random, 5) ? [promptOf(random), promptOf(random)] : promptOf(random)
  return { path: '/v1/completions', body: { ...body, prompt }, adapter, leavesAfter }
}

/** All that an answer says, apart from what differs from request to request; of a stream what it adds up to. */
async function told({ address }: Server, { path, body, adapter, leavesAfter }: Ask): Promise<unknown> {
  const left = new AbortController()
  const response = await fetch(`${address}${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...(adapter && { 'x-lora-adapter': adapter }) },
    body: JSON.stringify({ model: 'demo', ...body }),
    signal: left.signal,
  })
  if (leavesAfter !== undefined) {
    let bytes = 0
    for await (const chunk of response.body ?? []) {
      bytes += chunk.length
      if (bytes > leavesAfter) break
    }
    left.abort()
    return 'left'
  }
  const text = await response.text()
  if (!text.startsWith('data:')) {
    const { choices, data, usage, error } = JSON.parse(text)
    return { status: response.status, choices, data, usage, error }
  }
  return streamed(text, Number(body.n ?? 1) > 1 || Array.isArray(body.prompt))
}

/** `several`: choices. */
function streamed(text: string, several: boolean) {
  const choices: Record<string, unknown>[] = []
  const ends: unknown[] = []
  let usage: unknown
  let last: unknown
  for (const event of text.split('\n\n')) {
    if (!event.startsWith('data: {')) {
      if (event) ends.push(event)
      continue
    }
    const chunk = JSON.parse(event.slice(6))
    if (chunk.error) ends.push(chunk.error)
    last = chunk.usage ?? last
    if (chunk.choices?.length === 0) usage = chunk.usage
    for (const { index, ...choice } of chunk.choices ?? []) {
      choices[index] ??= {}
      add(choices[index], choice)
      if (choice.finish_reason) choices[index].usageAtItsEnd = chunk.usage
    }
  }
  // How far the others had come when one failed depends on who was computed with whom.
  if (ends.length > 1 && several) return { ends }
  return { choices, ends, usage, last }
}

/** Texts and lists of a stream's pieces go behind each other; of the rest what is said last stays. */
function add(to: Record<string, unknown>, piece: Record<string, unknown>): void {
  for (const [key, value] of Object.entries(piece)) {
    if (value === null || value === undefined) continue
    const before = to[key]
    if (typeof value === 'string' && typeof before === 'string' && !/finish|stop_reason/.test(key)) to[key] = before + value
    else if (Array.isArray(value) && Array.isArray(before)) to[key] = [...before, ...value]
    else if (typeof value === 'object' && !Array.isArray(value)) {
      to[key] ??= {}
      add(to[key] as Record<string, unknown>, value as Record<string, unknown>)
    } else to[key] = value
  }
}

/** With the adapters' blocks they are just enough for some of the requests at once. */
const POOLS = ['1MiB', '2MiB', '64MiB']

function settingsOf(random: Random) {
  const { below, pick } = random
  return {
    demo: true,
    port: 0,
    'log-level': 'fatal',
    threads: 1,
    'block-size': pick([1, 4, 16]),
    pool: pick(POOLS),
    'max-batch-tokens': pick([16, 48, 256]),
    'max-sequences': pick([2, 6, 32]),
    'async-scheduling': pick(['on', 'off']),
    scheduling: pick(['fcfs', 'fair']),
    'prefix-cache': !chance(random, 4),
    ...(chance(random, 2) && { 'max-model-len': 60 + below(120) }),
  } as Parameters<typeof configOf>[0]
}

/** Cases that two servers are asked. */
const CASES = 12

let pair: { plain: Server; drafting: Server; cases: number; settings: unknown } | undefined

/** Two servers, but for drafts the same; others after some cases. */
async function servers(random: Random) {
  if (pair && pair.cases++ < CASES) return pair
  await closePair()
  const settings = settingsOf(random)
  const shortest = 1 + random.below(3)
  const speculation = {
    method: 'ngram',
    num_speculative_tokens: random.pick([1, 3, 8, 32]),
    prompt_lookup_min: shortest,
    prompt_lookup_max: shortest + random.below(3),
  }
  const plain = await serve(configOf(settings), {})
  const drafting = await serve(
    configOf({ ...settings, 'speculative-config': JSON.stringify(speculation) } as Parameters<typeof configOf>[0]),
    {},
  )
  await Promise.all([plain.preloaded, drafting.preloaded])
  pair = { plain, drafting, cases: 1, settings: { ...settings, speculation } }
  return pair
}

async function closePair() {
  if (!pair) return
  const { plain, drafting } = pair
  pair = undefined
  await Promise.all([plain.close(), drafting.close()])
}

/** The same once more behind its own answers, where their tokens were told. */
function goingOn({ path, body, adapter }: Ask, answer: unknown): Ask[] {
  const { choices = [] } = answer as { choices?: { prompt_token_ids?: number[]; token_ids?: number[] }[] }
  if (path !== '/v1/completions' || body.stream) return []
  return choices.flatMap(({ prompt_token_ids: before, token_ids: told }) =>
    before && told?.length
      ? [{ path, adapter, body: { prompt: [...before, ...told], max_tokens: 20, temperature: 0, logprobs: 1 } }]
      : [],
  )
}

async function attempt(random: Random): Promise<string> {
  // Of its own: a case asks the same whether it is the first of its servers or not.
  const { plain, drafting, settings } = await servers(seeded(random.below(2 ** 31)))
  const compared = async (asks: readonly Ask[]) => {
    const right = await Promise.all(asks.map((ask) => told(plain, ask)))
    const got = await Promise.all(asks.map((ask) => told(drafting, ask)))
    for (const [i, ask] of asks.entries()) {
      const [one, other] = [JSON.stringify(right[i]), JSON.stringify(got[i])]
      if (one !== other)
        throw new Fault(
          `${Object.keys(ask.body).sort().join(' ')}\n${JSON.stringify(settings)}\n${JSON.stringify(ask)}\nwithout ${one}\nwith    ${other}`,
        )
    }
    return right
  }
  const asks = Array.from({ length: 1 + random.below(8) }, () => askOf(random))
  const answers = await compared(asks)
  // Prompts that go on behind answers find these in the cache, drafts and all.
  await compared(asks.flatMap((ask, i) => goingOn(ask, answers[i])))
  await drafting.serving.engine.idle()
  const complaints = idleComplaints(drafting.serving.engine.snapshot)
  if (complaints.length > 0) throw new Fault(complaints.join('; '))
  return drafting.serving.engine.snapshot.counters.acceptedTokens > 0 ? 'drafted' : 'not drafted'
}

await run({ name: 'speculation', attempt, expected: ['drafted'], patience: 60_000, end: closePair })
