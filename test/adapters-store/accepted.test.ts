/** Spellings and extras that change nothing are accepted, and make the same adapter. */
import { join } from 'node:path'
import t from 'tap'
import { loadAdapter } from '../../adapters-store/index.ts'
import { fixture } from '../support/repo.ts'
import { baseModelOf } from './base-model.ts'
import { type Config, changedFixture, floats, readTensors, type Tensors } from './write-adapter.ts'

const base = baseModelOf(fixture('peft/biased/base'))
const options = { dtype: 'float32', blockBytes: 1024 } as const
const original = loadAdapter('x', fixture('peft/biased/adapters/lora'), base, options)

const rename = (tensors: Tensors, to: (key: string) => string) => {
  for (const [key, tensor] of Object.entries(tensors)) {
    delete tensors[key]
    tensors[to(key)] = tensor
  }
}

const SAME: [string, (config: Config, tensors: Tensors) => void][] = [
  ['keys without the prefix', (_, tensors) => rename(tensors, (key) => key.replace('base_model.model.', ''))],
  ['keys with the adapter name left in', (_, tensors) => rename(tensors, (key) => key.replace('.weight', '.default.weight'))],
  ['keys without .weight', (_, tensors) => rename(tensors, (key) => key.replace('.weight', ''))],
  ['an unknown option that is null, as a newer PEFT writes', (config) => void Object.assign(config, { shiny_config: null })],
  ['initialisations that leave the base alone', (config) => void Object.assign(config, { init_lora_weights: 'gaussian' })],
  [
    'a sub-configuration of an initialisation not in use',
    (config) => void Object.assign(config, { corda_config: { corda_method: 'kpm' } }),
  ],
  [
    'another path of the base model',
    (config) => void Object.assign(config, { base_model_name_or_path: 'meta-llama/Llama-2-7b-hf' }),
  ],
  [
    'a config that leaves the defaults out',
    (config) => {
      for (const key of Object.keys(config)) if (!['peft_type', 'r', 'lora_alpha'].includes(key)) delete config[key]
    },
  ],
  [
    'copies of base weights that are the same',
    (_, tensors) => {
      const weights = readTensors(join(base.directory, 'model.safetensors'))
      for (const name of ['model.norm.weight', 'model.embed_tokens.weight', 'lm_head.weight'])
        tensors[`base_model.model.${name}`] = weights[name]
    },
  ],
]

for (const [what, change] of SAME) {
  t.test(`accepts ${what}`, async (t) => {
    const image = loadAdapter('x', changedFixture(t, 'biased/adapters/lora', change), base, options)
    t.ok(Buffer.from(image.image).equals(Buffer.from(original.image)))
    t.strictSame([image.rows, image.entries], [original.rows, original.entries])
  })
}

t.test('an AdaLoRA module whose ranks were all pruned adds nothing', async (t) => {
  const key = 'base_model.model.model.layers.0.self_attn.q_proj'
  const folder = changedFixture(t, 'biased/adapters/adalora', (_, tensors) => {
    tensors[`${key}.lora_A`] = floats([0, 16])
    tensors[`${key}.lora_B`] = floats([16, 0])
    tensors[`${key}.lora_E`] = floats([0, 1])
  })
  const whole = loadAdapter('x', fixture('peft/biased/adapters/adalora'), base, options)
  t.equal(loadAdapter('x', folder, base, options).entries.length, whole.entries.length - 8)
})

t.test('the image says what it is', async (t) => {
  const named = (name: string) => {
    const { method, maxRank, dtype, blockBytes } = loadAdapter(name, fixture('peft/biased/adapters', name), base, options)
    return { method, maxRank, dtype, blockBytes }
  }
  t.strictSame(named('lora'), { method: 'lora', maxRank: 4, dtype: 'float32', blockBytes: 1024 })
  t.match(named('dora'), { method: 'dora', maxRank: 3 })
  t.match(named('rslora'), { method: 'rslora', maxRank: 4 })
  t.match(named('patterns'), { maxRank: 5 })
  t.match(named('ia3'), { method: 'ia3', maxRank: 0 })
})
