/**
 * What a captured decode step consists of, launch by launch: a layer's kernels are as many as docs/cuda.md says ("Launches"), and adapters and sampling add what it
 * says. Each costs about a microsecond in a graph, so one more in every layer should be a decision.
 */
import '../support/hollow.ts'
import t, { type Test } from 'tap'
import type { EngineSettings, SamplingParams } from '../../runtime/types.ts'
import { floats } from '../adapters-store/write-adapter.ts'
import { ask } from '../support/ask.ts'
import { broken, capturesOf, needsHollow, startHollow, takeLog } from '../support/hollow.ts'
import { changedModel } from '../support/model-folder.ts'
import { demoModel, fixture } from '../support/repo.ts'

const LAYERS = 3
const PRODUCT = 'product'
const ATTENTION = ['GetCumulativeSeqlensKV', 'QkNormRotaryTNH', 'QkNormRotaryTNH', 'ReshapeAndCache', 'flash_fwd_splitkv_kernel']
const MLP = [PRODUCT, 'gate_elements', PRODUCT]
const LAYER = [PRODUCT, ...ATTENTION, PRODUCT, 'SkipLayerNorm', ...MLP, 'SkipLayerNorm']
const START = ['_GatherKernel', 'cuApplyLayerNorm']
const END = ['_GatherKernel', 'cuApplyLayerNorm', PRODUCT]
const GREEDY = ['survey_logits', 'pick_tokens']

/** The step around `layer` repeated; the last layer's second residual is added before the logits rows are taken. */
const stepOf = (layer: string[], sampling = GREEDY, start = START, end = END) => [
  ...start,
  ...Array.from({ length: LAYERS }, () => layer)
    .flat()
    .slice(0, -1),
  '_BinaryElementWiseSimple',
  ...end,
  ...sampling,
]

/** `layer` with `more` behind every product whose place (0 qkv, 1 o, 2 gate and up, 3 down) is among `at`. */
function behindProducts(layer: string[], more: string[], at: number[]): string[] {
  let place = 0
  return layer.flatMap((name) => (name === PRODUCT && at.includes(place++) ? [name, ...more] : [name]))
}

const nameOf = (line: string) => {
  const [kind, name] = line.split(' ')
  return kind === 'product' ? PRODUCT : name.replace(/^SkipLayerNorm.*/, 'SkipLayerNorm')
}

interface Asked {
  settings?: Partial<EngineSettings>
  /** Row r is on adapter r mod adapters.length; '' is the base. */
  adapters?: string[]
  rows?: number
  sampling?: Partial<SamplingParams>
  base?: string
}

/** The launches of the step that decodes so many rows, as captured. */
async function captured(
  t: Test,
  { settings, adapters = [''], rows = adapters.length, sampling, base }: Asked,
): Promise<string[]> {
  const llama = fixture('oracle/llama-heads16')
  const { engine, images } = await startHollow(t, base ?? `${llama}/base`, base ? undefined : `${llama}/adapters`, settings)
  const use = (name: string) => (name === '' ? [] : [{ name, digest: images.get(name)!.digest, weight: 1 }])
  const batch = async (maxTokens: number) => {
    const answers = Array.from({ length: rows }, (_, r) =>
      ask(engine, [3, 4, 5, 6], { maxTokens, ...sampling }, use(adapters[r % adapters.length])),
    )
    for (const { error } of await Promise.all(answers)) t.equal(error, undefined)
  }
  takeLog()
  await batch(1) // no decode step, but the adapters are in the pool then: all rows go together
  await batch(12)
  await engine.close()
  const log = takeLog()
  t.same(broken(log), [])
  const captures = capturesOf(log)
  t.ok(captures.length > 0)
  // Rows that came in time for a step before the others, or end after them, have a shape of their own: the one of all has most launches.
  const whole = captures.reduce((most, capture) => (capture.length >= most.length ? capture : most))
  return whole.filter((line) => /^(kernel|product)/.test(line)).map(nameOf)
}

/** A model whose heads the XQA kernel takes: four of 64 channels to a key head. */
const groupsOfFour = (t: Test) =>
  changedModel(
    t,
    'llama-heads16',
    (json) => Object.assign(json, { num_attention_heads: 4, num_key_value_heads: 1, head_dim: 64 }),
    (tensors) => {
      for (const [name, { shape }] of Object.entries(tensors)) {
        const [, projection] = /self_attn\.([qkvo])_proj\.weight/.exec(name) ?? []
        if (projection)
          tensors[name] = floats(
            { q: [256, shape[1]], k: [64, shape[1]], v: [64, shape[1]], o: [shape[0], 256] }[projection] as number[],
          )
      }
    },
  )

t.test('launches of a step', needsHollow, async (t) => {
  const base = await captured(t, {})
  t.same(base, stepOf(LAYER), 'the base')
  t.same(await captured(t, { rows: 20 }), base, 'at any number of rows')
  t.same(await captured(t, { settings: { dtype: 'bfloat16' } }), base, 'in bfloat16')
  t.same(await captured(t, { base: fixture('oracle/qwen3-heads16/base') }), base, 'norms of the heads are part of the rotation')
  t.same(await captured(t, { base: fixture('oracle/phi3-heads16/base') }), base)
  const gemma = await captured(t, { base: fixture('oracle/gemma2-heads16/base') })
  t.equal(
    gemma.length,
    base.length + 2 * LAYERS + 4,
    'Gemma has norms behind its blocks, a scaled embedding and soft-capped logits',
  )

  t.test('with adapters', async (t) => {
    const lora = ['shrink_narrow', 'expand_all']
    const attention = stepOf(behindProducts(LAYER, lora, [0, 1]))
    t.same(await captured(t, { adapters: ['lora-r8-attn'] }), attention, 'two for q, k and v together, two for o')
    t.same(await captured(t, { adapters: ['lora-r8-attn', ''] }), attention)
    t.same(
      await captured(t, { adapters: ['lora-r16-all'] }),
      stepOf(behindProducts(LAYER, lora, [0, 1, 2, 3])),
      'two at each of four places',
    )
    t.same(
      await captured(t, { adapters: ['lora-r16-all', 'dora', 'lora-bias', 'lora-r8-attn'], rows: 16 }),
      stepOf(behindProducts(LAYER, lora, [0, 1, 2, 3])),
      'as many for sixteen rows on four adapters as for one',
    )
    const query = behindProducts(LAYER, lora, [0])
    t.same(
      await captured(t, { adapters: ['modules-to-save'] }),
      stepOf(query, GREEDY, START, [...END, ...lora, 'direct']),
      'a head of its own adds nothing to layers',
    )
    t.same(
      await captured(t, { adapters: ['tokens'] }),
      stepOf(query, GREEDY, ['_GatherKernel', 'embed', 'cuApplyLayerNorm']),
      'nor do rows of the embedding',
    )
  })

  t.test('sampling', async (t) => {
    const draw = ['survey_logits', 'weigh_spans', 'list_spans', 'pick_tokens']
    t.same(await captured(t, { sampling: { temperature: 0.8 } }), stepOf(LAYER, draw))
    t.same(await captured(t, { sampling: { temperature: 0.8, topP: 0.9, topK: 5, minP: 0.1 } }), stepOf(LAYER, draw))
    const all = ['survey_logits', 'change_logits', 'survey_plane', 'weigh_spans', 'list_spans', 'pick_tokens', 'rank_tokens']
    t.same(await captured(t, { sampling: { presencePenalty: 1 } }), stepOf(LAYER, all))
    t.same(await captured(t, { sampling: { temperature: 1, logprobs: 3 } }), stepOf(LAYER, all))
  })

  t.test('8-bit cache and weights', async (t) => {
    const split = LAYER.flatMap((name) => (name === ATTENTION[4] ? ['PagedDecodeSplitKV', 'PagedDecodeReduce'] : [name]))
    t.same(await captured(t, { settings: { cacheDtype: 'float8' } }), stepOf(split), 'one more')
    const xqa = LAYER.flatMap((name) => (name === ATTENTION[4] ? ['ExpandBlockTableToPages', 'kernel_mha'] : [name]))
    t.same(await captured(t, { base: groupsOfFour(t), settings: { cacheDtype: 'float8' } }), stepOf(xqa), 'with XQA two')
    t.same(await captured(t, { base: groupsOfFour(t) }), stepOf(LAYER))
    for (const quantization of ['int4', 'int8'] as const)
      for (const rows of [1, 20]) {
        const step = await captured(t, { base: demoModel('base'), settings: { quantization }, rows })
        const ofAttention = step.slice(2, 10)
        t.match(ofAttention[0], /Kernel/, `${quantization}, ${rows} rows: q, k and v multiplied as they are`)
        t.same(ofAttention.slice(1, 6), ATTENTION)
        t.match(ofAttention[6], /Kernel/)
        t.equal(ofAttention[7], 'SkipLayerNorm')
      }
  })
})

t.test('a replayed step is one copy there, a kernel, one graph and one copy back', needsHollow, async (t) => {
  const { engine } = await startHollow(t, fixture('oracle/llama-heads16/base'), undefined)
  await ask(engine, [3, 4, 5], { maxTokens: 8 })
  takeLog()
  await ask(engine, [6, 7, 8], { maxTokens: 8 })
  const log = takeLog()
  const replays = log.slice(log.findIndex((line) => line.startsWith('replay')) - 2)
  const step = [/^copy \d+ to the device$/, /^kernel fill_inputs /, /^replay, \d+ nodes$/, /^copy \d+ to the host$/]
  t.equal(replays.length % step.length, 0)
  for (const [i, line] of replays.entries()) t.match(line, step[i % step.length])
  t.ok(replays.length >= step.length * 6)
})
