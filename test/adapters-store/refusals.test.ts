/** What would give silently wrong answers is refused, and the message names it. One test per reason. */
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { fixture, temporaryFolder } from '../support/repo.ts'
import { baseModelOf } from './base-model.ts'
import { base, type Case, refusal, tied } from './refusal.ts'
import { type Config, changedFixture, floats, readTensors, safetensorsBytes } from './write-adapter.ts'

const Q = 'base_model.model.model.layers.0.self_attn.q_proj'
const TABLE = 'base_model.model.model.embed_tokens'

const set = (values: Config) => (config: Config) => {
  Object.assign(config, values)
}

const OPTIONS: Case[] = [
  ...['pissa', 'pissa_niter_16', 'olora', 'corda', 'loftq', 'lora_ga'].map((init) => ({
    what: `init_lora_weights = ${init}, which changed the base`,
    change: set({ init_lora_weights: init }),
    names: ['init_lora_weights', `"${init}"`, 'path_initial_model_for_weight_conversion'],
  })),
  {
    what: 'an initialisation it does not know',
    change: set({ init_lora_weights: 'magic' }),
    names: ['init_lora_weights', 'magic'],
  },
  { what: 'replicated layers', change: set({ layer_replication: [[0, 1]] }), names: ['layer_replication'] },
  { what: 'target_parameters', change: set({ target_parameters: ['experts.gate_up_proj'] }), names: ['target_parameters'] },
  { what: 'QALoRA', change: set({ use_qalora: true }), names: ['use_qalora'] },
  { what: 'block-diagonal LoRA', change: set({ use_bdlora: { nblocks: 2 } }), names: ['use_bdlora'] },
  { what: 'Arrow routing', change: set({ arrow_config: { top_k: 2 } }), names: ['arrow_config'] },
  { what: 'KaSA', change: set({ kasa_config: { beta: 1 } }), names: ['kasa_config'] },
  { what: 'VeLoRA', change: set({ velora_config: { scale: 1 } }), names: ['velora_config'] },
  { what: 'MonteCLoRA', change: set({ monteclora_config: { num_samples: 4 } }), names: ['monteclora_config'] },
  ...['kasa_config', 'velora_config', 'monteclora_config', 'arrow_config', 'use_bdlora'].map((field) => ({
    what: `${field} = {}, which is all of its defaults`,
    change: set({ [field]: {} }),
    names: [field],
  })),
  { what: 'Megatron', change: set({ megatron_config: { tp: 2 } }), names: ['megatron_config'] },
  { what: 'a task of no text', change: set({ task_type: 'TOKEN_CLS' }), names: ['task_type', 'CAUSAL_LM, SEQ_CLS'] },
  { what: 'an option it does not know', change: set({ use_shiny: true }), names: ['use_shiny', 'may change the result'] },
  ...[true, 1, 0.5, 'on', [0], { rate: 0.1 }, { use: false, layers: [3] }].map((value) => ({
    what: `an option it does not know that is ${JSON.stringify(value)}`,
    change: set({ shiny: value }),
    names: ['shiny is an option that this server does not know'],
  })),
  { what: 'DoRA with lora_bias', change: set({ use_dora: true, lora_bias: true }), names: ['use_dora', 'lora_bias'] },
  { what: 'VeRA without its projections', fixture: 'vera', change: set({ save_projection: false }), names: ['save_projection'] },
  {
    what: 'RandLoRA without its bases',
    fixture: 'randlora',
    change: set({ save_projection: false }),
    names: ['save_projection'],
  },
  {
    what: 'a MiSS form it does not know',
    fixture: 'miss',
    change: set({ init_weights: 'maxi' }),
    names: ['init_weights', 'maxi'],
  },
  {
    what: 'VB-LoRA with top-k weights only',
    fixture: 'vblora',
    change: set({ save_only_topk_weights: true }),
    names: ['save_only_topk_weights'],
  },
  {
    what: 'a pattern that only Python reads',
    change: set({ alpha_pattern: { '(?P<x>q)_proj': 4 } }),
    names: ['alpha_pattern', 'regular expression'],
  },
  {
    what: 'a pattern that does not end',
    change: set({ alpha_pattern: { '(([a-z_.0-9]+)+)+!': 4 } }),
    names: ['alpha_pattern', /took longer than/],
  },
]

for (const { what, change, names, fixture: name = 'lora', code = 'adapter_option_unsupported' } of OPTIONS) {
  t.test(`refuses ${what}`, async (t) => refusal(t, changedFixture(t, `biased/adapters/${name}`, change), code, names))
}

const TENSORS: Case[] = [
  {
    what: 'an unknown peft_type, listing those it knows',
    change: set({ peft_type: 'PROMPT_TUNING' }),
    code: 'adapter_method_unsupported',
    names: ['PROMPT_TUNING', 'LORA', 'RANDLORA'],
  },
  {
    what: 'a config without peft_type',
    change: (config) => {
      delete config.peft_type
    },
    code: 'adapter_method_unsupported',
    names: ['peft_type is missing'],
  },
  {
    what: 'a field of the wrong type',
    change: set({ lora_alpha: 'eight' }),
    code: 'adapter_config_invalid',
    names: ['lora_alpha', 'eight', 'a number'],
  },
  {
    what: 'a module that the base lacks',
    change: (_, tensors) => {
      tensors['base_model.model.model.layers.7.self_attn.q_proj.lora_A.weight'] = floats([4, 16])
    },
    code: 'adapter_base_mismatch',
    names: ['adapts model.layers.7.self_attn.q_proj,', 'another base model'],
  },
  {
    what: 'a changed normalisation weight',
    change: (_, tensors) => {
      tensors['base_model.model.model.norm.weight'] = floats([16])
    },
    names: ['model.norm.weight', 'projections, the embedding table and the head'],
    code: 'adapter_option_unsupported',
  },
  {
    what: 'an A that does not fit the base, with both shapes',
    change: (_, tensors) => {
      tensors[`${Q}.lora_A.weight`] = floats([4, 20])
    },
    code: 'adapter_base_mismatch',
    names: ['q_proj', '[4, 20]', '[any, 16]'],
  },
  {
    what: 'a B that does not fit A',
    change: (_, tensors) => {
      tensors[`${Q}.lora_B.weight`] = floats([16, 5])
    },
    code: 'adapter_base_mismatch',
    names: ['lora_B', '[16, 5]', '[16, 4]'],
  },
  {
    what: 'a B that is missing',
    change: (_, tensors) => {
      delete tensors[`${Q}.lora_B.weight`]
    },
    code: 'adapter_tensor_invalid',
    names: ['q_proj lacks lora_B'],
  },
  {
    what: 'a rank that the config does not say',
    change: set({ r: 8 }),
    code: 'adapter_tensor_invalid',
    names: ['rank 4', 'says 8'],
  },
  {
    what: 'a tensor that nothing would apply',
    change: (_, tensors) => {
      tensors[`${Q}.lora_magnitude_vector`] = floats([16])
    },
    code: 'adapter_tensor_invalid',
    names: [`${Q}.lora_magnitude_vector`, 'would not be applied'],
  },
  {
    what: 'a shared tensor that nothing would apply',
    change: (_, tensors) => {
      tensors['base_model.vera_A'] = floats([4, 16])
    },
    code: 'adapter_tensor_invalid',
    names: ['base_model.vera_A'],
  },
  {
    what: 'one parameter under two keys',
    change: (_, tensors) => {
      tensors[`${Q}.lora_A.default.weight`] = tensors[`${Q}.lora_A.weight`]
    },
    code: 'adapter_tensor_invalid',
    names: ['lora_A.default.weight', 'same parameter'],
  },
  {
    what: 'values that are no numbers',
    change: (_, tensors) => {
      tensors[`${Q}.lora_A.weight`] = floats([4, 16], (i) => (i === 40 ? Number.NaN : 1))
    },
    code: 'adapter_tensor_invalid',
    names: [`${Q}.lora_A.weight`, 'NaN'],
  },
  {
    what: 'infinite values',
    change: (_, tensors) => {
      tensors[`${Q}.lora_A.weight`] = floats([4, 16], () => Number.POSITIVE_INFINITY)
    },
    code: 'adapter_tensor_invalid',
    names: [`${Q}.lora_A.weight`, 'infinite'],
  },
  {
    what: 'integers where floats belong',
    change: (_, tensors) => {
      tensors[`${Q}.lora_A.weight`] = { ...floats([4, 16]), dtype: 'I32' }
    },
    code: 'adapter_tensor_invalid',
    names: [`${Q}.lora_A.weight`, 'int32'],
  },
  {
    what: 'a product too large for float16',
    change: (_, tensors) => {
      tensors[`${Q}.lora_A.weight`] = floats([4, 16], () => 1e9)
      tensors[`${Q}.lora_B.weight`] = floats([16, 4], () => 1e9)
    },
    code: 'adapter_tensor_invalid',
    names: ['q_proj', '--adapter-dtype'],
  },
  {
    what: 'a bias where the base has none',
    change: (_, tensors) => {
      tensors['base_model.model.model.layers.0.mlp.up_proj.base_layer.bias'] = floats([24])
    },
    code: 'adapter_base_mismatch',
    names: ['up_proj', 'has none'],
  },
  {
    what: 'trained tokens without their ids',
    fixture: 'tokens',
    change: set({ trainable_token_indices: null }),
    code: 'adapter_config_invalid',
    names: ['trainable_token_indices'],
  },
  {
    what: 'a trained token beyond the vocabulary',
    fixture: 'tokens',
    change: set({ trainable_token_indices: [30, 5, 40] }),
    code: 'adapter_too_large',
    names: ['41 tokens', "1 more than the base model's 40", '--max-extra-tokens 1'],
  },
  {
    what: 'trained tokens together with LoRA of the table',
    fixture: 'tokens',
    change: (_, tensors) => {
      tensors[`${TABLE}.lora_embedding_A`] = floats([2, 40])
      tensors[`${TABLE}.lora_embedding_B`] = floats([16, 2])
    },
    code: 'adapter_option_unsupported',
    names: ['model.embed_tokens has both'],
  },
  {
    what: 'a method on a module that PEFT does not put it on',
    fixture: 'hira',
    change: (_, tensors) => {
      tensors[`${TABLE}.hira_A`] = floats([3, 40])
    },
    code: 'adapter_option_unsupported',
    names: ['model.embed_tokens', 'HIRA', 'embedding table'],
  },
  {
    what: 'a module copy of RandLoRA bases that differs',
    fixture: 'randlora',
    change: (_, tensors) => {
      tensors[`${Q}.randlora_A`] = floats(tensors[`${Q}.randlora_A`].shape, () => 1)
    },
    code: 'adapter_tensor_invalid',
    names: [`${Q}.randlora_A differs from base_model.randlora_A`],
  },
  {
    what: 'LoKr factors that do not multiply to the module',
    fixture: 'lokr-whole',
    change: (_, tensors) => {
      tensors[`${Q}.lokr_w1`] = floats([3, 2])
    },
    code: 'adapter_base_mismatch',
    names: ['q_proj', 'lokr_w1 [3, 2]', '[16, 16]'],
  },
  {
    what: 'trained tokens of a module that the base lacks',
    fixture: 'tokens',
    change: set({ trainable_token_indices: { wte: [5, 9, 30] } }),
    code: 'adapter_base_mismatch',
    names: ['trainable_token_indices names wte'],
  },
  {
    what: 'trained tokens that the config gives to another module',
    fixture: 'tokens',
    change: set({ trainable_token_indices: { lm_head: [5, 9, 30] } }),
    code: 'adapter_tensor_invalid',
    names: ['lacks lm_head.token_adapter.trainable_tokens_delta', 'trainable_token_indices'],
  },
  {
    what: 'trained tokens whose tensor is lost',
    fixture: 'tokens',
    change: (_, tensors) => {
      for (const key of Object.keys(tensors).filter((key) => key.includes('trainable'))) delete tensors[key]
    },
    code: 'adapter_tensor_invalid',
    names: ['lacks model.embed_tokens.token_adapter.trainable_tokens_delta', 'trainable_token_indices'],
  },
  {
    what: 'a saved module whose tensor is lost',
    fixture: 'saved-modules',
    change: (_, tensors) => {
      delete tensors['base_model.model.lm_head.weight']
    },
    code: 'adapter_tensor_invalid',
    names: ['lacks lm_head.weight, which modules_to_save names'],
  },
  {
    what: 'a saved norm that is lost',
    change: set({ modules_to_save: ['norm'] }),
    code: 'adapter_tensor_invalid',
    names: [/lacks model\.(norm|layers\.0\.(input|post_attention)_layernorm)\.weight, which modules_to_save names \(norm\)/],
  },
  {
    what: 'a wrapped copy of the base that differs',
    fixture: 'saved-modules',
    change: (_, tensors) => {
      tensors['base_model.model.lm_head.original_module.weight'] = floats([40, 16])
    },
    code: 'adapter_option_unsupported',
    names: ['lm_head.original_module.weight changes lm_head.weight'],
  },
  {
    what: 'a saved module that is there twice and differs',
    fixture: 'saved-modules',
    change: (_, tensors) => {
      tensors['base_model.model.lm_head.modules_to_save.weight'] = floats([40, 16])
    },
    code: 'adapter_tensor_invalid',
    names: ['lm_head.weight differs from base_model.model.lm_head.modules_to_save.weight'],
  },
  {
    what: 'a file without tensors',
    change: (_, tensors) => {
      for (const key of Object.keys(tensors)) delete tensors[key]
    },
    code: 'adapter_tensor_invalid',
    names: ['no tensors'],
  },
]

for (const { what, change, names, fixture: name = 'lora', code } of TENSORS) {
  t.test(`refuses ${what}`, async (t) => refusal(t, changedFixture(t, `biased/adapters/${name}`, change), code!, names))
}

t.test('refuses an adapter of another base by its shapes', async (t) => {
  const wider = { ...base, sites: base.sites.map((site) => ({ ...site, inFeatures: site.inFeatures * 2 })) }
  refusal(t, fixture('peft/biased/adapters/lora'), 'adapter_base_mismatch', ['down_proj', '[4, 24]', '[any, 48]'], wider)
})

t.test('refuses DoRA where a row of W + BA vanishes', async (t) => {
  const tensors = readTensors(join(base.directory, 'model.safetensors'))
  for (const key of Object.keys(tensors)) tensors[key] = floats(tensors[key].shape, () => 0)
  const zeros = temporaryFolder(t)
  writeFileSync(join(zeros, 'config.json'), readFileSync(join(base.directory, 'config.json')))
  writeFileSync(join(zeros, 'model.safetensors'), safetensorsBytes(tensors))
  const folder = changedFixture(t, 'biased/adapters/dora', (_, tensors) => {
    for (const key of Object.keys(tensors).filter((key) => key.includes('lora_B')))
      tensors[key] = floats(tensors[key].shape, () => 0)
  })
  refusal(t, folder, 'adapter_tensor_invalid', ['down_proj', 'norm 0'], baseModelOf(zeros))
})

t.test('refuses a bias-trained adapter on a base without biases', async (t) => {
  refusal(t, fixture('peft/biased/adapters/bias-all'), 'adapter_base_mismatch', ['.bias', 'has none'], tied)
})

t.test('refuses a row that no block can hold, naming --block-size', async (t) => {
  const small = { dtype: 'float32', blockBytes: 64 } as const
  refusal(t, fixture('peft/biased/adapters/lora'), 'adapter_too_large', ['--block-size', '96 bytes', 'has 64'], base, small)
})

t.test('refuses a pickle, saying how to convert it', async (t) => {
  const folder = changedFixture(t, 'biased/adapters/lora', () => {})
  rmSync(join(folder, 'adapter_model.safetensors'))
  writeFileSync(join(folder, 'adapter_model.bin'), 'PK')
  refusal(t, folder, 'adapter_pickle', ['adapter_model.bin', 'save_file', 'weights_only=True'])
})

t.test('refuses a folder that does not exist, or holds no adapter', async (t) => {
  const folder = temporaryFolder(t)
  refusal(t, join(folder, 'gone'), 'adapter_not_found', ['the folder does not exist'])
  refusal(t, folder, 'adapter_not_found', ['adapter_config.json'])
  writeFileSync(join(folder, 'adapter_config.json'), '{}')
  refusal(t, folder, 'adapter_not_found', ['adapter_model.safetensors'])
})

t.test('refuses a config that is no JSON object', async (t) => {
  const folder = changedFixture(t, 'biased/adapters/lora', () => {})
  for (const [text, says] of [
    ['{"r": ', 'is not JSON'],
    ['[]', 'not a JSON object'],
    ['', 'is not JSON'],
  ]) {
    writeFileSync(join(folder, 'adapter_config.json'), text)
    refusal(t, folder, 'adapter_config_invalid', ['adapter_config.json', says])
  }
})
