/**
 * What it costs to hold answers to a format: decode steps of 32 constrained rows against those of 32 free ones, on the 135M-parameter shape in float32 with 2 threads
 * (issue 13, "What it must show", 2). The thread that makes masks works beside the step, so its share of the cores is in what is measured; HTTP is not.
 * Before that the masks alone, in this thread: their processor time is the same on a busy machine. Rounds alternate. The vocabulary is made up: bytes, and words of a few letters as a byte-level tokenizer has them.
 * `node dist/bench/structured.js [--rounds 6] [--tokens 40] [--context 128]`
 */
import { parseArgs } from 'node:util'
import { type Engine, type SamplingParams, type StepTimes, startEngine } from '../runtime/index.ts'
import { Compiler } from '../server/structured/compiler.ts'
import type { Constraint } from '../server/structured/constraint.ts'
import { sourceOf } from '../server/structured/convert.ts'
import { CompiledGrammars } from '../server/structured/grammars.ts'
import { packVocabulary } from '../server/structured/vocabulary.ts'
import type { GrammarLease, TokenReader } from '../server/types.ts'
import { model135m, SHAPE } from './model135m.ts'
import { against, heading, median, table } from './report.ts'

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '6' },
    tokens: { type: 'string', default: '40' },
    context: { type: 'string', default: '128' },
  },
})
const ROWS = 32
const [rounds, tokens, context] = [values.rounds, values.tokens, values.context].map(Number)

/** Tokens 0 to 2 are special, then come the bytes, then words. */
function vocabulary(size: number): TokenReader {
  let state = 1
  const below = (n: number) => {
    state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff
    return state % n
  }
  const word = () => (below(3) ? ' ' : '') + Array.from({ length: 2 + below(7) }, () => 'etaoinshrdlucmfw'[below(16)]).join('')
  const marks = [
    '{"',
    '":',
    '",',
    '"}',
    '},',
    '":"',
    '": ',
    ', "',
    '["',
    '"]',
    ': ',
    '\n  ',
    '\n    ',
    'true',
    'false',
    'null',
    '10',
    '42',
  ]
  const texts = Array.from({ length: size }, (_, id) => {
    if (id < 3) return undefined
    if (id < 259) return Uint8Array.of(id - 3)
    return new TextEncoder().encode(marks[id - 259] ?? word())
  })
  const spelled = (id: number) => texts[id]
  return { spelled, isSpecial: (id: number) => id < 3 } as Partial<TokenReader> as TokenReader
}

const sampling: SamplingParams = {
  temperature: 1,
  topP: 1,
  topK: 0,
  minP: 0,
  presencePenalty: 0,
  frequencyPenalty: 0,
  repetitionPenalty: 1,
  minTokens: 0,
  logprobs: -1,
  promptLogprobs: -1,
  maxTokens: tokens,
  logitBias: [],
  stopTokenIds: [2],
  eosTokenIds: [2],
  ignoreEos: false,
}

let asked = 0
/** Milliseconds from each step of all rows to the next, and the processor time of a step. */
async function measure(engine: Engine, constraint: GrammarLease['constraint'] | undefined) {
  const intervals: number[] = []
  let last: number | undefined
  let cpu = process.cpuUsage()
  let used = 0
  engine.onStep = (step: StepTimes) => {
    const now = performance.now()
    const whole = step.sequences === ROWS && step.tokens === ROWS
    const spent = process.cpuUsage(cpu)
    if (whole && last !== undefined) {
      intervals.push(now - last)
      used += (spent.user + spent.system) / 1000
    }
    cpu = process.cpuUsage()
    last = whole ? now : undefined
  }
  const { vocabSize } = engine.info
  await Promise.all(
    Array.from({ length: ROWS }, (_, row) => {
      const promptIds = Array.from({ length: context }, (_, i) => 3 + ((row * 7919 + i * 104729) % (vocabSize - 3)))
      return new Promise<void>((resolve, reject) =>
        engine.submit(
          {
            id: `r${asked++}`,
            promptIds,
            sampling: { ...sampling, seed: BigInt(row) },
            adapters: [],
            constraint,
            arrival: Date.now(),
          },
          ({ finish, error }) => {
            if (finish === 'error') reject(new Error(error?.message))
            else if (finish) resolve()
          },
        ),
      )
    }),
  )
  return { ms: median(intervals), cpu: used / intervals.length, steps: intervals.length }
}

const schema = {
  type: 'array',
  minItems: 1000,
  items: {
    type: 'object',
    properties: {
      name: { type: 'string' },
      count: { type: 'integer', minimum: 0 },
      kind: { enum: ['large', 'small', 'other'] },
      tags: { type: 'array', items: { type: 'string', maxLength: 12 }, maxItems: 4 },
      score: { type: 'number' },
    },
    required: ['name', 'count', 'kind', 'tags', 'score'],
  },
}
const asks: Record<string, Constraint> = {
  'JSON schema': { kind: 'json', schema },
  'any JSON values': { kind: 'json', schema: { type: 'array', minItems: 1000 } },
  'regular expression': { kind: 'regex', pattern: '([a-z]{2,9} [0-9]{1,3}, ){1000}' },
}

/** Processor milliseconds of a step's masks: tokens of all rows taken, and what may follow them. Each row goes on with a random token that may. */
async function masksAlone(constraint: Constraint, size: number, steps: number): Promise<number> {
  const compiler = new Compiler()
  const packed = await packVocabulary(vocabulary(size), size, [2], false)
  compiler.learn(packed)
  const grammar = await compiler.compile(packed.id, sourceOf(constraint))
  const matchers = await Promise.all(Array.from({ length: ROWS }, () => compiler.matcher(grammar)))
  const masks = await Promise.all(matchers.map((matcher) => matcher.getNextTokenBitmask()))
  const into = new Int32Array(new SharedArrayBuffer(4 * Math.ceil(size / 32)))
  let used = 0
  let state = 7
  for (let step = -5; step < steps; step++) {
    const next = masks.map((mask) => {
      state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff
      return allowedFrom(mask, state % size)
    })
    const before = process.cpuUsage()
    for (const [row, matcher] of matchers.entries()) {
      if (matcher.isTerminated()) matcher.reset()
      else matcher.acceptToken(next[row])
      if (matcher.isTerminated()) matcher.reset()
      masks[row] = await matcher.getNextTokenBitmask()
      into.set(masks[row])
    }
    const { user, system } = process.cpuUsage(before)
    if (step >= 0) used += (user + system) / 1000
  }
  return used / steps
}

/** The first token from `from` on, or from the beginning, that a mask allows. */
function allowedFrom(mask: Int32Array, from: number): number {
  for (let i = 0; i < mask.length * 32; i++) {
    const id = (from + i) % (mask.length * 32)
    if ((mask[id >>> 5] >>> (id & 31)) & 1) return id
  }
  throw new Error('nothing is allowed')
}

for (const [what, constraint] of Object.entries(asks)) {
  const ms = await masksAlone(constraint, SHAPE.vocabulary, 100)
  console.log(
    `${what}: the masks of ${ROWS} rows take ${ms.toFixed(2)} ms of one core (${((1000 * ms) / ROWS).toFixed(0)} µs each)`,
  )
}

const engine = await startEngine({
  modelDir: model135m(1).directory,
  device: 'cpu',
  dtype: 'auto',
  adapterDtype: 'auto',
  poolBytes: 2 ** 30,
  maxBatchTokens: 256,
  maxSequences: ROWS,
  threads: 2,
  prefixCache: false,
})
console.log(
  heading(
    `Decode steps of ${ROWS} constrained rows against ${ROWS} free ones, 135M parameters in float32, ${engine.info.vocabSize} tokens`,
  ),
)
const grammars = new CompiledGrammars(engine, { constraintTimeout: 30, constraintMemory: 512 << 20 })
const writer = { tokenizer: vocabulary(engine.info.vocabSize), vocabSize: engine.info.vocabSize, endTokenIds: [2] }
const leases: [string, GrammarLease | undefined][] = [['free', undefined]]
for (const [what, constraint] of Object.entries(asks)) {
  const started = performance.now()
  leases.push([what, await grammars.lease(constraint, writer, false, 'it')])
  console.log(`${what}: there after ${Math.round(performance.now() - started)} ms`)
}
const times = leases.map(() => [] as { ms: number; cpu: number }[])
for (let round = -1; round < rounds; round++)
  for (const [i, [, lease]] of leases.entries()) {
    const one = await measure(engine, lease?.constraint)
    if (round >= 0) times[i].push(one)
  }
const free = times[0]
const ratios = times.map((list) => median(list.map(({ ms }, i) => ms / free[i].ms)))
console.log(
  table(
    ['rows', 'ms a step', 'processor ms a step', 'against free'],
    leases.map(([what], i) => [
      what,
      median(times[i].map(({ ms }) => ms)).toFixed(2),
      median(times[i].map(({ cpu }) => cpu)).toFixed(2),
      ratios[i].toFixed(3),
    ]),
  ),
)
console.log(`\n${engine.snapshot.counters.lateMasks} masks were late in ${engine.snapshot.counters.steps} steps`)
for (const [i, [what]] of leases.entries())
  if (i > 0) console.log(against(`${what} ≤ 1.05 × free: ${ratios[i].toFixed(3)}`, ratios[i] <= 1.05))
await grammars.close()
await engine.close()
