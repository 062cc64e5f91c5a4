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

/** Options of LoRA that PEFT 0.21 asks for their truth: it serves the fixture with any of false, null, 0, "", [] and {}, and alike. */
const FALSY = [
  'use_dora',
  'use_rslora',
  'lora_bias',
  'ensure_weight_tying',
  'use_qalora',
  'alora_invocation_tokens',
  'layer_replication',
]
FALSY.push('megatron_config', 'init_lora_weights', 'modules_to_save', 'exclude_modules', 'layers_pattern')

const SAME: [string, (config: Config, tensors: Tensors) => void][] = [
  ['keys without the prefix', (_, tensors) => rename(tensors, (key) => key.replace('base_model.model.', ''))],
  ['keys with the adapter name left in', (_, tensors) => rename(tensors, (key) => key.replace('.weight', '.default.weight'))],
  ['keys without .weight', (_, tensors) => rename(tensors, (key) => key.replace('.weight', ''))],
  ...[null, false, {}, [], 0, '', { use: false, names: [], inner: { rate: 0, at: null } }].map(
    (value): [string, (config: Config) => void] => [
      `an unknown option that is ${JSON.stringify(value)}, as a newer PEFT writes`,
      (config) => void Object.assign(config, { shiny: value }),
    ],
  ),
  [
    'options of other methods that are off',
    (config) => void Object.assign(config, { token_indices: [], init_weights: false, mini_r: 0 }),
  ],
  [
    'known options that are off',
    (config) =>
      void Object.assign(config, {
        ...{ alora_invocation_tokens: [], layer_replication: [], target_parameters: [], use_qalora: null, use_bdlora: false },
        ...{ rank_pattern: null, alpha_pattern: null, modules_to_save: [], exclude_modules: '', layers_to_transform: [] },
        ...{ layers_pattern: '', trainable_token_indices: {}, bias: 'none', ensure_weight_tying: null, use_dora: null },
      }),
  ],
  ...[false, null, 0, '', [], {}].map((value): [string, (config: Config) => void] => [
    `options that are off as ${JSON.stringify(value)}, which Python takes for false`,
    (config) => {
      for (const key of FALSY) config[key] = value
    },
  ]),
  [
    'what is for the run and not for the adapter',
    (config) => void Object.assign(config, { runtime_config: { ephemeral_gpu_offload: true } }),
  ],
  [
    'fan_in_fan_out, which PEFT sets back where the base is a Linear',
    (config) => void Object.assign(config, { fan_in_fan_out: true }),
  ],
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

t.test('no warning where all is there that the config means', async (t) => {
  const Q = 'base_model.model.model.layers.0.self_attn.q_proj'
  const V = Q.replace('q_proj', 'v_proj')
  const warnings = (change: (config: Config, tensors: Tensors) => void, name = 'lora') =>
    loadAdapter('x', changedFixture(t, `biased/adapters/${name}`, change), base, options).warnings
  const keep = (tensors: Tensors, ...modules: string[]) => {
    for (const key of Object.keys(tensors)) if (!modules.some((module) => key.startsWith(`${module}.`))) delete tensors[key]
  }
  const kept =
    (settings: Config, ...modules: string[]) =>
    (config: Config, tensors: Tensors) => {
      Object.assign(config, settings)
      keep(tensors, ...modules)
    }
  const whole: [string, (config: Config, tensors: Tensors) => void][] = [
    ['all of them', () => {}],
    ['a name', kept({ target_modules: ['q_proj'] }, Q)],
    ['names that the base lacks', kept({ target_modules: ['q_proj', 'fc1', 'wte'] }, Q)],
    ['a pattern', kept({ target_modules: '.*self_attn\\.(q|v)_proj' }, Q, V)],
    ['a pattern that only Python reads', kept({ target_modules: '(?P<all>.*)_proj' }, Q)],
    ['nothing said', kept({ target_modules: null }, Q)],
    ['excluded by name', kept({ target_modules: ['q_proj', 'v_proj'], exclude_modules: ['v_proj'] }, Q)],
    ['excluded by pattern', kept({ target_modules: 'all-linear', exclude_modules: '.*(mlp.*|[kvo]_proj)' }, Q)],
    ['layers', kept({ target_modules: ['q_proj', 'lm_head'], layers_to_transform: 0 }, Q)],
    [
      'layers by their pattern',
      kept({ target_modules: ['q_proj', 'lm_head'], layers_to_transform: [0, 7], layers_pattern: ['h', 'layers'] }, Q),
    ],
  ]
  for (const [what, change] of whole) t.strictSame(warnings(change), [], what)
  for (const name of [
    'dora',
    'ia3',
    'vera',
    'loha',
    'lokr',
    'randlora',
    'miss',
    'hira',
    'delora',
    'vblora',
    'adalora',
    'tokens',
    'tokens-only',
    'saved-modules',
    'bias-all',
  ])
    t.strictSame(
      warnings(() => {}, name),
      [],
      name,
    )
  const missing = (change: (config: Config, tensors: Tensors) => void, message: RegExp) =>
    t.match(warnings(change), [message], String(message))
  missing(
    kept({}, Q),
    /adapter_model.safetensors has tensors for 1 of the 7 modules that target_modules names; .* and 3 more stay as in the base/,
  )
  missing(kept({ target_modules: ['q_proj', 'v_proj'] }, Q), /for 1 of the 2 modules .*; model.layers.0.self_attn.v_proj stay/)
  missing(kept({ target_modules: '.*attn.*' }, Q), /for 1 of the 4 /)
  missing(kept({ target_modules: 'all-linear', layers_to_transform: [1] }, Q), /for 1 of the 7 /)
  missing(kept({ target_modules: ['q_proj', 'lm_head'], layers_to_transform: [] }, Q), /lm_head stay/)
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
