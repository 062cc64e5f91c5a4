/**
 * ONNX Runtime's CUDA provider takes every family's graph in every type, runs prefill chunks, decode steps and mixes of both with adapters, and captures decode
 * steps without breaking a rule of CUDA's. What is computed is nothing here: test/emulated has the answers.
 */
import '../support/hollow.ts'
import { existsSync, readdirSync } from 'node:fs'
import path from 'node:path'
import t from 'tap'
import type { AdapterUse, Engine, EngineSettings, SamplingParams } from '../../runtime/types.ts'
import { floats, type Tensors } from '../adapters-store/write-adapter.ts'
import { ask } from '../support/ask.ts'
import { broken, capturesOf, needsHollow, startHollow, takeLog } from '../support/hollow.ts'
import { type Test, withHeadsOf16 } from '../support/model-folder.ts'
import { demoModel, fixture } from '../support/repo.ts'

type Types = Pick<EngineSettings, 'dtype' | 'cacheDtype' | 'quantization'>
const DTYPES = ['float16', 'bfloat16'] as const
const CACHES = ['auto', 'float8', 'int8'] as const
const QUANTIZATIONS = [undefined, 'int4', 'int8'] as const
/** Longer than a step: prefilled in chunks. */
const LONG = 100
const MOST_TOKENS = 64

/** Adds the scales of an 8-bit cache to a three-layer model. */
function withScales(tensors: Tensors): void {
  for (let layer = 0; layer < 3; layer++)
    for (const of of ['k', 'v']) tensors[`model.layers.${layer}.self_attn.${of}_scale`] = floats([1], () => 0.25)
}

/** Twenty sequences, some of them long, that end one after the other; then some that ask for everything, each alone. */
async function workload(engine: Engine, adapters: AdapterUse[]): Promise<string[]> {
  const errors: string[] = []
  const one = async (length: number, changes: Partial<SamplingParams>, use: AdapterUse[]) => {
    const answer = await ask(
      engine,
      Array.from({ length }, (_, i) => 3 + (i % 60)),
      changes,
      use,
    )
    if (answer.error !== undefined) errors.push(answer.error)
  }
  const use = (i: number) => (adapters.length === 0 || i % 5 === 4 ? [] : [adapters[i % adapters.length]])
  const few = (i: number) => (i % 3 === 1 ? { temperature: 0.8, seed: BigInt(i) } : {})
  await Promise.all(
    Array.from({ length: 20 }, (_, i) => one(i % 7 === 6 ? LONG : 2 + i, { ...few(i), maxTokens: 3 + 2 * i }, use(i))),
  )
  const mix = adapters.slice(0, 2).map((adapter) => ({ ...adapter, weight: 0.5 }))
  await one(5, { temperature: 0.7, topP: 0.9, topK: 20, presencePenalty: 0.5, logprobs: 3, promptLogprobs: 1 }, use(0))
  await one(LONG, {}, mix)
  return errors
}

/** The models, by what they are called: where they are and their adapters. */
function models(t: Test): Map<string, { base: string; adapters: string; scales: boolean }> {
  const found = new Map([['demo', { base: demoModel('base'), adapters: demoModel('adapters'), scales: false }]])
  for (const family of readdirSync(fixture('oracle')).sort()) {
    const adapters = fixture('oracle', family, 'adapters')
    // The others' heads are cut to 16 channels here.
    if (!existsSync(adapters) || family.endsWith('-heads16')) continue
    const base = withHeadsOf16(t, family, undefined, withScales)
    // A sharded checkpoint got no scales.
    found.set(family, { base, adapters, scales: existsSync(path.join(base, 'model.safetensors')) })
  }
  return found
}

const all = DTYPES.flatMap((dtype) =>
  CACHES.flatMap((cacheDtype) => QUANTIZATIONS.map((quantization): Types => ({ dtype, cacheDtype, quantization }))),
)
/** Each type, cache and quantization at least once. */
const few = all.filter((_, i) => [0, 4, 11, 15].includes(i))
/** Whose weights are large enough for kernels that multiply them as they are quantized. */
const direct = all.filter(({ cacheDtype }) => cacheDtype !== 'int8')

t.test('kernels that start while those before them end', needsHollow, async (t) => {
  takeLog()
  const { engine, images } = await startHollow(t, demoModel('base'), demoModel('adapters'), { overlapLaunches: true })
  const uses = [...images.values()].map(({ name, digest }) => ({ name, digest, weight: 1 }))
  t.same(await workload(engine, uses), [])
  const log = takeLog()
  t.same(broken(log), [])
  t.ok(capturesOf(log).length > 0)
})

/** Rounds of the workload until one must find all it needs. */
const MOST_ROUNDS = 6

t.test('every family', needsHollow, async (t) => {
  const found = models(t)
  t.ok(found.size > 10, `${found.size} models`)
  for (const [name, { base, adapters, scales }] of found)
    for (const types of name === 'llama' ? all : name === 'demo' ? direct : few) {
      if (types.cacheDtype === 'int8' && !scales) continue
      await t.test(
        `${name} in ${types.dtype}, cache ${types.cacheDtype}, weights ${types.quantization ?? types.dtype}`,
        async (t) => {
          takeLog()
          const { engine, images } = await startHollow(t, base, adapters, { ...types, maxBatchTokens: MOST_TOKENS })
          const uses = [...images.values()].map(({ name, digest }) => ({ name, digest, weight: 1 }))
          t.same(await workload(engine, uses), [], 'no request fails')
          const first = takeLog()
          t.same(broken(first), [], 'no rule is broken')
          const captures = capturesOf(first)
          t.ok(captures.length > 0, `${captures.length} captures`)
          t.ok(
            captures.every((lines) => lines.length > 10),
            'of whole steps',
          )

          // Again, until everything is resident and every buffer has its size: which steps a round has depends on when requests come in.
          const allocations: string[][] = []
          while (allocations.length < MOST_ROUNDS && allocations.at(-1)?.length !== 0) {
            t.same(await workload(engine, uses), [])
            const again = takeLog()
            t.same(broken(again), [])
            t.ok(again.filter((line) => line.startsWith('replay')).length > 10, 'steps are replayed')
            t.same(
              again.filter((line) => /PAGEABLE/.test(line)),
              [],
              'whatever is copied lies in pinned memory',
            )
            allocations.push(again.filter((line) => /^cuda(Malloc|Free|HostAlloc|FreeHost)/.test(line)))
          }
          t.same(allocations.at(-1), [], 'a round comes in which nothing is allocated')
          t.equal(engine.snapshot.counters.failedSteps, 0)
          await engine.close()
        },
      )
    }
})
