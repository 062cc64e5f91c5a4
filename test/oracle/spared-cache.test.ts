/** Which adapters leave every K and V alone, and that answers do not depend on whose cached prefix they begin with. */
import t from 'tap'
import { loadAdapter } from '../../adapters-store/index.ts'
import type { AdapterImage } from '../../adapters-store/types.ts'
import type { Engine } from '../../runtime/types.ts'
import { type Config, floats, type Tensors, writeAdapter } from '../adapters-store/write-adapter.ts'
import { greedy } from '../support/greedy.ts'
import { OracleFamily } from '../support/oracle.ts'
import { temporaryFolder } from '../support/repo.ts'

/** Of a family with L layers: an adapter's modules, and whether it spares the cache. `L` stands for the last layer, `P` for the one before. */
const KINDS: [string[], boolean][] = [
  ...['q_proj', 'o_proj'].map((name): [string[], boolean] => [[`L.self_attn.${name}`], true]),
  ...['gate_proj', 'up_proj', 'down_proj'].map((name): [string[], boolean] => [[`L.mlp.${name}`], true]),
  [['lm_head'], true],
  [['L.self_attn.q_proj', 'L.self_attn.o_proj', 'L.mlp.gate_proj', 'L.mlp.up_proj', 'L.mlp.down_proj', 'lm_head'], true],
  [['L.self_attn.k_proj'], false],
  [['L.self_attn.v_proj'], false],
  [['L.self_attn.q_proj', 'L.self_attn.v_proj'], false],
  [['P.self_attn.q_proj'], false],
  [['P.mlp.down_proj'], false],
  [['0.mlp.down_proj', 'lm_head'], false],
  [['model.embed_tokens'], false],
]
const FUSED: [string[], boolean][] = [
  [['L.self_attn.qkv_proj'], false],
  [['L.self_attn.o_proj', 'L.mlp.gate_up_proj', 'L.mlp.down_proj'], true],
  [['P.mlp.gate_up_proj'], false],
]

/** A LoRA of rank 3 of these modules, large enough to change what is said. */
function adapterOf(
  t: { teardown(handler: () => void): unknown },
  family: OracleFamily,
  name: string,
  kind: string[],
  more: Config = {},
) {
  const { base } = family.model
  const at = (module: string) => {
    const layer = module.replace(/^L\./, `${base.layers - 1}.`).replace(/^P\./, `${base.layers - 2}.`)
    return /^\d/.test(layer) ? `model.layers.${layer}` : layer
  }
  const tensors: Tensors = {}
  for (const [i, module] of kind.map(at).entries()) {
    const site = base.sites.find((one) => one.module === module)!
    const table = site.kind === 'embedding'
    const [a, b] = table ? ['lora_embedding_A', 'lora_embedding_B'] : ['lora_A.weight', 'lora_B.weight']
    tensors[`base_model.model.${module}.${a}`] = floats([3, site.inFeatures], (k) => Math.sin(k * 1.7 + i) / 3)
    tensors[`base_model.model.${module}.${b}`] = floats([site.outFeatures, 3], (k) => Math.cos(k * 2.3 + i) / 3)
  }
  const config = { peft_type: 'LORA', task_type: 'CAUSAL_LM', r: 3, lora_alpha: 3, target_modules: kind.map(at), ...more }
  const { blockBytes, frameBytes } = family
  return loadAdapter(name, writeAdapter(temporaryFolder(t), config, tensors), base, { dtype: 'float32', blockBytes, frameBytes })
}

interface Said {
  tokens: number[]
  logits: number[][]
  cached: number
}

function say(engine: Engine, id: string, promptIds: number[], images: AdapterImage[]): Promise<Said> {
  const adapters = images.map(({ name, digest }, i) => ({ name, digest, weight: 1 - i / 4 }))
  const said: Said = { tokens: [], logits: [], cached: 0 }
  return new Promise((resolve, reject) => {
    const sampling = { ...greedy(6), returnLogits: true }
    engine.submit({ id, promptIds, sampling, adapters, arrival: Date.now() }, (output) => {
      said.tokens.push(...output.tokens)
      for (const logits of output.logits ?? []) said.logits.push([...logits])
      said.cached = output.cachedTokens ?? said.cached
      if (output.error) reject(new Error(output.error.message))
      else if (output.finish) resolve(said)
    })
  })
}

const prompt = Array.from({ length: 45 }, (_, i) => 10 + ((i * 37) % 290))
/** Its full blocks. */
const WHOLE = 32

for (const [name, kinds] of [
  ['llama-heads16', KINDS],
  ['gemma2', KINDS.filter(([modules]) => !modules.includes('lm_head'))],
  ['llama-tied', KINDS],
  ['phi3', FUSED],
] as const)
  t.test(name, async (t) => {
    const family = new OracleFamily(name)
    const made = kinds.map(([modules, spares]) => ({ image: adapterOf(t, family, modules.join(), modules), spares }))
    const of = (spares: boolean) => made.filter((one) => one.spares === spares).map(({ image }) => image)
    const [sparing, others] = [of(true), of(false)]
    const sets = [...made.map(({ image }) => [image]), sparing.slice(0, 3), [sparing[0], others[0]]]
    const cold = await family.start(family.ampleBlocks, { prefixCache: false }, [])
    const warm = await family.start(family.ampleBlocks, {}, [])
    t.teardown(() => Promise.all([cold.close(), warm.close()]))
    for (const { image, spares } of made) {
      t.equal(image.sparesCache === true, spares, image.name)
      for (const engine of [cold, warm]) engine.addAdapter(image)
    }
    const base = await say(cold, 'base', prompt, [])
    t.equal((await say(warm, 'base', prompt, [])).cached, 0)
    for (const [i, images] of sets.entries()) {
      const what = images.map((image) => image.name).join(' + ')
      const spares = images.every((image) => image.sparesCache)
      const expected = await say(cold, `${i}`, prompt, images)
      const found = await say(warm, `${i}`, prompt, images)
      t.equal(found.cached, spares ? WHOLE : 0, `${what}: what it finds of the base's`)
      t.same([found.tokens, found.logits], [expected.tokens, expected.logits], `${what}: the same bits`)
      t.not(expected.logits[0].join(), base.logits[0].join(), `${what}: not the base's answer`)
    }
    // What it says is in the cache as well: the base goes on with it, and with its own where that is another's.
    const [first] = sparing
    const longer = [...prompt, ...(await say(warm, 'go on', prompt, [first])).tokens, 5, 6]
    const after = await say(warm, 'after', longer, [])
    t.equal(after.cached, 48)
    t.same(after.logits, (await say(cold, 'after', longer, [])).logits)
  })

t.test('an activated LoRA of the last layer shares its whole prefix', async (t) => {
  const family = new OracleFamily('llama-heads16')
  const invoked = { alora_invocation_tokens: prompt.slice(20, 22) }
  const image = adapterOf(t, family, 'late', ['L.mlp.down_proj'], invoked)
  t.match(image, { sparesCache: true, invocationTokens: invoked.alora_invocation_tokens })
  const engine = await family.start(family.ampleBlocks, {}, [image])
  t.teardown(() => engine.close())
  const fresh = await say(engine, 'fresh', prompt, [image])
  t.equal((await say(engine, 'base', prompt, [])).cached, WHOLE)
  const again = await say(engine, 'again', prompt, [image])
  t.equal(again.cached, WHOLE)
  t.same(again.logits, fresh.logits)
})
