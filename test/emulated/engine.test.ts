/** The CUDA engine without a GPU: what a captured step may change and what not, the pool by itself, sampling, prefixes, 8-bit caches, quantized weights. */
import t, { type Test } from 'tap'
import { startEngine } from '../../runtime/index.ts'
import type { Engine, EngineSettings } from '../../runtime/types.ts'
import { type Answer, ask, emulatedFamily, needsEmulated } from '../support/emulated.ts'
import { greedy } from '../support/greedy.ts'
import { FLOAT16, idleComplaints } from '../support/oracle.ts'
import { demoModel, fixture } from '../support/repo.ts'

const family = emulatedFamily()
const use = (name: string, weight = 1) => ({ name, digest: family.images.get(name)!.digest, weight })
const [short, long] = family.cases.map(({ row }) => row)
const prompt = short.prompt

/** A test on engines that it starts; in the end no step of theirs has failed. */
function emulated(
  name: string,
  body: (t: Test, start: (settings?: Partial<EngineSettings>) => Promise<Engine>) => Promise<void>,
): void {
  t.test(name, needsEmulated, async (t) => {
    const engines: Engine[] = []
    t.teardown(() => Promise.all(engines.map((engine) => engine.close())))
    await body(t, async (settings = {}) => {
      // Adapters are packed for one size of blocks: with another cache there are none.
      const other = settings.cacheDtype !== undefined && settings.cacheDtype !== 'auto'
      const base = {
        modelDir: fixture('oracle', family.name, 'base'),
        device: 'cuda',
        dtype: 'float16',
        adapterDtype: 'auto',
      } as const
      const limits = { blockSize: 16, poolBytes: 1 << 20, maxBatchTokens: 256, maxSequences: 64, threads: 1 }
      const engine = other
        ? await startEngine({ ...base, ...limits, prefixCache: true, validate: true, ...settings })
        : await family.start(family.ampleBlocks, settings)
      engines.push(engine)
      return engine
    })
    for (const engine of engines) {
      await engine.idle()
      t.same(idleComplaints(engine.snapshot), [], 'pool accounting')
      t.equal(engine.snapshot.counters.failedSteps, 0, 'no step failed')
    }
  })
}

/** How far apart the logprobs of two answers' prompts are at most. */
const apart = (one: Answer, other: Answer) =>
  Math.max(...one.promptLogprobs.slice(1).map((at, i) => Math.abs(at!.logprob - other.promptLogprobs[i + 1]!.logprob)))

emulated('steps of one graph with other adapters, fewer of them, other sampling and longer pasts', async (t, start) => {
  // The emulated device refuses a replay whose kernels are handed anything that its first run was not (test/cuda/emulated/frozen.h).
  const engine = await start()
  const mixes = [
    ['lora-r16-all', 'lora-r8-attn', 'dora', 'lora-bias', '', '', '', ''],
    ['dora', 'lora-r16-all', 'lora-r8-attn', '', '', '', '', ''],
    ['lora-r16-all', 'lora-r16-all', 'lora-r16-all', 'lora-bias', 'dora', 'dora', '', ''],
  ]
  const alone = new Map<string, number[]>()
  for (const name of new Set(mixes.flat())) alone.set(name, (await ask(engine, prompt, {}, name ? [use(name)] : [])).tokens)
  for (const mix of [...mixes, ...mixes]) {
    const answers = await Promise.all(mix.map((name) => ask(engine, prompt, {}, name ? [use(name)] : [])))
    t.same(
      answers.map((answer) => answer.tokens),
      mix.map((name) => alone.get(name)),
    )
  }
  const drawn = (seed: number) =>
    Promise.all(mixes[0].map((_, i) => ask(engine, long.prompt, { temperature: 1, seed: BigInt(seed + i), maxTokens: 24 })))
  t.notSame(await drawn(1), await drawn(100))
})

t.test('as many blocks as the device has room for', needsEmulated, async (t) => {
  const engine = await startEngine({
    modelDir: demoModel('base'),
    device: 'cuda',
    dtype: 'auto',
    adapterDtype: 'auto',
    memoryFraction: 0.2,
    maxBatchTokens: 128,
    maxSequences: 16,
    threads: 1,
    prefixCache: true,
    validate: true,
  })
  t.teardown(() => engine.close())
  const { blockCount, blockBytes, blockSize, dtype, cacheDtype, maxModelLen } = engine.info
  t.match(
    { blockSize, dtype, cacheDtype, maxModelLen },
    { blockSize: 256, dtype: 'float16', cacheDtype: 'float16', maxModelLen: 1024 },
  )
  // The device has 256 MiB; the rest of a fifth is workspace.
  t.ok(
    blockCount * blockBytes <= 0.2 * 2 ** 28 && blockCount * blockBytes > 0.1 * 2 ** 28,
    `${blockCount} blocks of ${blockBytes} bytes`,
  )
  const answer = await ask(engine, [1, 3, 205])
  t.equal(answer.error, undefined)
})

emulated('seeded sampling: the same alone and in a batch, and another with another seed', async (t, start) => {
  const engine = await start()
  const drawn = (seed: number) =>
    ask(engine, prompt, { temperature: 1, topP: 0.95, topK: 100, minP: 0.001, seed: BigInt(seed) }, [use('dora')])
  const alone: Answer[] = []
  for (let seed = 0; seed < 6; seed++) alone.push(await drawn(seed))
  t.same(await Promise.all(alone.map((_, seed) => drawn(seed))), alone)
  t.ok(new Set(alone.map((answer) => answer.tokens.join())).size > 1)
  t.same(
    (await ask(engine, prompt, { temperature: 1, topK: 1, seed: 3n })).tokens,
    (await ask(engine, prompt)).tokens,
    'top_k 1 is greedy',
  )
})

emulated('penalties, biases and allowed tokens', async (t, start) => {
  const engine = await start()
  const plain = await ask(engine, prompt, { maxTokens: 24 })
  const banned = await ask(engine, prompt, { logitBias: [[plain.tokens[0], Number.NEGATIVE_INFINITY]] })
  t.notOk(banned.tokens.includes(plain.tokens[0]), 'a token at -Infinity never comes')
  const distinct = (tokens: number[]) => new Set(tokens).size
  t.equal(distinct((await ask(engine, prompt, { maxTokens: 24, frequencyPenalty: 100 })).tokens), 24, 'frequency')
  t.equal(distinct((await ask(engine, prompt, { maxTokens: 24, presencePenalty: 100 })).tokens), 24, 'presence')
  const repeated = await ask(engine, prompt, { maxTokens: 24, repetitionPenalty: 1000 })
  t.equal(distinct([...prompt, ...repeated.tokens]), distinct(prompt) + 24, 'repetition, of the prompt too')
  const allowed = await ask(engine, prompt, { maxTokens: 24, allowedTokenIds: [7, 9] })
  t.ok(
    allowed.tokens.every((token) => token === 7 || token === 9),
    'only allowed tokens',
  )
})

emulated('logprobs of the prompt and of what is sampled', async (t, start) => {
  const engine = await start()
  const { vocabSize } = engine.info
  for (const name of ['', 'lora-r16-all', 'modules-to-save']) {
    const { row } = family.cases.find((one) => one.name === (name || 'base') && one.row.prompt.length === long.prompt.length)!
    const adapters = name ? [use(name)] : []
    const answer = await ask(engine, row.prompt, { logprobs: 5, promptLogprobs: 2 }, adapters)

    const total = Math.log(row.logits.reduce((sum, logit) => sum + Math.exp(logit), 0))
    const [first] = answer.logprobs
    t.ok(Math.abs(first.logprob - (row.logits[first.token] - total)) <= FLOAT16.tolerance, `${name || 'base'}: as PEFT has it`)
    for (const one of answer.logprobs) {
      t.equal(one.rank, 1)
      t.match(one.top[0], { token: one.token, logprob: one.logprob }, 'the best is what greedy takes')
      t.ok(one.top.length === 5 && one.top.every((next, i) => i === 0 || next.logprob <= one.top[i - 1].logprob))
    }

    t.equal(answer.promptLogprobs.length, row.prompt.length)
    t.equal(answer.promptLogprobs[0], null)
    for (const at of [1, 20, 60]) {
      const everything = { maxTokens: 1, logprobs: vocabSize }
      const [{ top }] = (await ask(engine, row.prompt.slice(0, at), everything, adapters)).logprobs
      const wanted = top.findIndex(({ token }) => token === row.prompt[at])
      const scored = answer.promptLogprobs[at]!
      t.ok(Math.abs(scored.logprob - top[wanted].logprob) < 0.01, `prompt token ${at}: what asking for all of them says`)
      t.ok(Math.abs(scored.rank - 1 - wanted) <= 3, `and its rank ${scored.rank} but for near ties`)
    }
  }
  // One row in a batch of others that want none.
  const [asked] = await Promise.all([
    ask(engine, prompt, { logprobs: 3 }),
    ask(engine, prompt),
    ask(engine, long.prompt, {}, [use('dora')]),
  ])
  t.same({ ...asked, cachedTokens: 0 }, { ...(await ask(engine, prompt, { logprobs: 3 })), cachedTokens: 0 })
})

emulated('several sequences of one prompt share its blocks', async (t, start) => {
  const engine = await start()
  const first = await ask(engine, long.prompt)
  const rest = await Promise.all(Array.from({ length: 4 }, () => ask(engine, long.prompt)))
  const cached = Math.floor(long.prompt.length / 16) * 16
  for (const answer of rest) t.match(answer, { tokens: first.tokens, cachedTokens: cached })
  t.equal((await ask(engine, long.prompt, {}, [use('dora')])).cachedTokens, 0, 'not with an adapter that wrote none of them')
})

emulated('an adapter removed and another in its place', async (t, start) => {
  const engine = await start()
  const [one, other] = ['lora-r16-all', 'dora']
  const right = {
    [one]: (await ask(engine, prompt, {}, [use(one)])).tokens,
    [other]: (await ask(engine, prompt, {}, [use(other)])).tokens,
  }
  for (let round = 0; round < 3; round++) {
    // Asked for and removed before its bytes can have arrived: it stays until it has answered.
    const answers = [one, other, one].map((name) => ask(engine, prompt, {}, [use(name)]))
    engine.removeAdapter(use(one).digest)
    for (const [i, answer] of (await Promise.all(answers)).entries()) t.same(answer.tokens, right[[one, other, one][i]])
    t.throws(() =>
      engine.submit({ id: 'gone', promptIds: prompt, sampling: greedy(1), adapters: [use(one)], arrival: 0 }, () => {}),
    )
    engine.addAdapter(family.images.get(one)!)
  }
  t.same((await ask(engine, prompt, {}, [use(one)])).tokens, right[one])
})

emulated('a KV cache in float8 stays near the one in float16', async (t, start) => {
  const exact = await ask(await start(), long.prompt, { promptLogprobs: 0 })
  const rounded = await ask(await start({ cacheDtype: 'float8' }), long.prompt, { promptLogprobs: 0 })
  t.ok(apart(exact, rounded) <= 0.5 && apart(exact, rounded) > 0.001, `the prompt's logprobs are ${apart(exact, rounded)} apart`)
})

emulated('int4 and int8 weights stay near those of 16 bits', async (t, start) => {
  const exact = await ask(await start(), long.prompt, { promptLogprobs: 0 })
  for (const [quantization, most] of [
    ['int8', 0.1],
    ['int4', 1.5],
  ] as const) {
    const rounded = await ask(await start({ quantization }), long.prompt, { promptLogprobs: 0 })
    t.ok(
      apart(exact, rounded) <= most && apart(exact, rounded) > 0.0001,
      `${quantization}: the prompt's logprobs are ${apart(exact, rounded)} apart`,
    )
  }
})
