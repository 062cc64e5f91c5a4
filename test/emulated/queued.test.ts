/** Steps queued behind a running one, on the emulated device: they go on with tokens that nobody on the host knows yet, and nobody can tell from the answers. */
import { execFileSync } from 'node:child_process'
import t from 'tap'
import type { Engine, SpeculationSettings } from '../../runtime/types.ts'
import { type Asked, answersProgram, answersTo } from '../support/answers.ts'
import { type Answer, ask, emulatedFamily, needsEmulated } from '../support/emulated.ts'
import { idleComplaints } from '../support/oracle.ts'

const family = emulatedFamily()
const [short, long] = family.cases.map(({ row }) => row.prompt)
const TOKENS = 20

/** Without near ties, so that float16 and the CPU's float32 take the same tokens. What a row may ask of sampling that depends on the tokens before it, on lists, or on how many there are; `plain`: what greedy sampling gives. */
function asksBeside(plain: number[]): Asked[] {
  const stopTokenIds = plain.slice(0, 4)
  const odd = Array.from({ length: 100 }, (_, i) => 2 * i + 1)
  const bias: [number, number][] = plain.slice(0, 6).map((token, i) => [token, i - 5])
  return [
    { what: 'greedy', prompt: short, sampling: {} },
    { what: 'a long prompt with an adapter', prompt: long, sampling: {}, adapter: 'lora-r16-all' },
    { what: 'frequency', prompt: short, sampling: { frequencyPenalty: 0.7 } },
    { what: 'presence', prompt: short, sampling: { presencePenalty: 1.5 } },
    { what: 'repetition', prompt: short, sampling: { repetitionPenalty: 1.3 } },
    { what: 'bias', prompt: short, sampling: { logitBias: bias } },
    { what: 'a stop', prompt: short, sampling: { stopTokenIds: plain.slice(3, 5) } },
    { what: 'a stop that must wait', prompt: short, sampling: { stopTokenIds, minTokens: 12 } },
    {
      what: 'end tokens that must wait',
      prompt: short,
      sampling: { eosTokenIds: stopTokenIds, minTokens: 9, ignoreEos: false },
    },
    { what: 'allowed tokens', prompt: short, sampling: { allowedTokenIds: odd, repetitionPenalty: 1.2 } },
    {
      what: 'few allowed tokens, none twice',
      prompt: short,
      sampling: { allowedTokenIds: odd.slice(0, 30), frequencyPenalty: 100 },
    },
  ]
}
/** What else. */
const OTHERS: Asked[] = [
  { what: 'drawn', prompt: short, sampling: { temperature: 1, seed: 5n } },
  {
    what: 'drawn with an adapter',
    prompt: long,
    sampling: { temperature: 0.9, topP: 0.9, seed: 6n },
    adapter: 'lora-bias',
  },
  {
    what: 'drawn under a penalty',
    prompt: short,
    sampling: { temperature: 1, topK: 40, presencePenalty: 1, seed: 7n },
  },
  { what: 'repetition with an adapter', prompt: short, sampling: { repetitionPenalty: 1.3 }, adapter: 'dora' },
  { what: 'logprobs', prompt: long, sampling: { logprobs: 3, promptLogprobs: 1 } },
]

const use = (name: string) => [{ name, digest: family.images.get(name)!.digest, weight: 1 }]
const ofLength = (asks: Asked[]) => asks.map((one) => ({ ...one, sampling: { maxTokens: TOKENS, ...one.sampling } }))
const answers = (engine: Engine, asks: Asked[]) => answersTo(engine, family, ofLength(asks))

/** Of the addon as it is: this process has the emulated one, and perhaps the ONNX Runtime that CUDA's provider belongs to. */
function answersOnCpu(asks: Asked[]): Answer[] {
  const { LORIKEET_ADDON: _, ...env } = process.env
  const input = JSON.stringify({ name: family.name, asks: ofLength(asks) })
  return JSON.parse(execFileSync(process.execPath, [answersProgram], { input, env, encoding: 'utf8' })) as Answer[]
}

t.test('queued steps', needsEmulated, async (t) => {
  const started: Engine[] = []
  t.teardown(() => Promise.all(started.map((engine) => engine.close())))
  const start = async (asyncScheduling: boolean, speculation?: SpeculationSettings) => {
    const engine = await family.start(family.ampleBlocks, { asyncScheduling, speculation })
    started.push(engine)
    return engine
  }
  const queued = await start(true)
  const inTurn = await start(false)
  const plain = (await ask(inTurn, short, { maxTokens: TOKENS })).tokens
  const asks = asksBeside(plain)

  t.test('the same answers as one step at a time', async (t) => {
    const all = [...asks, ...OTHERS]
    const expected = await answers(inTurn, all)
    for (let round = 0; round < 2; round++)
      for (const [i, answer] of (await answers(queued, all)).entries())
        t.same({ ...answer, cachedTokens: 0 }, { ...expected[i], cachedTokens: 0 }, all[i].what)
    for (const [i, one] of all.entries())
      t.same((await answers(queued, [one]))[0].tokens, expected[i].tokens, `${one.what}, alone`)
  })

  t.test('the same answers with drafts, whose tokens the host brings and the device samples', async (t) => {
    const all = [...asks, ...OTHERS]
    const expected = await answers(inTurn, all)
    for (const planned of [true, false]) {
      const drafting = await start(planned, { tokens: 4, shortest: 1, longest: 3 })
      for (let round = 0; round < 2; round++)
        for (const [i, answer] of (await answers(drafting, all)).entries())
          t.same({ ...answer, cachedTokens: 0 }, { ...expected[i], cachedTokens: 0 }, all[i].what)
      const { acceptedTokens, draftTokens } = drafting.snapshot.counters
      t.ok(acceptedTokens > 0 && acceptedTokens < draftTokens, `${acceptedTokens} of ${draftTokens} drafted tokens stayed`)
    }
  })

  t.test('the tokens that the CPU takes', async (t) => {
    const expected = answersOnCpu(asks)
    for (const [i, answer] of (await answers(queued, asks)).entries()) {
      t.same(answer.tokens, expected[i].tokens, asks[i].what)
      t.equal(answer.finish, expected[i].finish)
    }
  })

  t.test('what a stop ends a step late is dropped', async (t) => {
    await queued.idle()
    const { generationTokens, steps } = queued.snapshot.counters
    const lengths = [1, 2, 3, 5, 8].map((n) => plain.indexOf(plain[n]) + 1) // of the answers: a token that has come before ends it there
    const stops = lengths.map((n) => ask(queued, short, { maxTokens: TOKENS, stopTokenIds: [plain[n - 1]] }))
    const others = [ask(queued, short, { maxTokens: TOKENS }), ask(queued, long, { maxTokens: TOKENS }, use('dora'))]
    for (const [i, answer] of (await Promise.all(stops)).entries())
      t.match(answer, { finish: 'stop', tokens: plain.slice(0, lengths[i]), error: undefined })
    const [same, dora] = await Promise.all(others)
    t.same(same.tokens, plain, 'no other sequence notices')
    t.same(dora.tokens, (await ask(inTurn, long, { maxTokens: TOKENS }, use('dora'))).tokens)
    await queued.idle()
    const now = queued.snapshot.counters
    const told = lengths.reduce((sum, n) => sum + n, 2 * TOKENS)
    t.equal(now.generationTokens - generationTokens, told, 'nothing is counted that nobody got')
    t.ok(now.steps > steps)
  })

  for (const engine of started) {
    await engine.idle()
    t.same(idleComplaints(engine.snapshot), [])
    t.equal(engine.snapshot.counters.failedSteps, 0)
  }
})
