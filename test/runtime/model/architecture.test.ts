/** What each family makes of a config, as data: windows, defaults where the config is silent. Numbers are the defaults of transformers' configuration_*.py. */
import t from 'tap'
import { Config } from '../../../runtime/model/config.ts'
import { familyOf } from '../../../runtime/model/families/index.ts'

const COMMON = {
  hidden_size: 64,
  intermediate_size: 96,
  num_hidden_layers: 4,
  num_attention_heads: 4,
  vocab_size: 320,
  max_position_embeddings: 512,
}

function architecture(model_type: string, settings: object = {}) {
  const config = new Config({ ...COMMON, model_type, ...settings }, 'config.json')
  return familyOf(config).architecture(config)
}
const windows = (model_type: string, settings: object = {}) =>
  architecture(model_type, settings).layers.map((layer) => layer.window)

t.test('windows', async (t) => {
  const types = ['full_attention', 'sliding_attention', 'full_attention', 'full_attention']
  t.same(windows('llama'), [-1, -1, -1, -1])
  t.same(windows('mistral'), [4096, 4096, 4096, 4096], 'silent')
  t.same(windows('mistral', { sliding_window: null }), [-1, -1, -1, -1], 'null')
  t.same(windows('mistral', { sliding_window: 8 }), [8, 8, 8, 8])
  t.same(windows('phi3'), [-1, -1, -1, -1])
  t.same(windows('phi3', { sliding_window: 2047 }), [2047, 2047, 2047, 2047])
  t.same(windows('qwen2', { sliding_window: 8 }), [-1, -1, -1, -1], 'use_sliding_window is false where it is silent')
  t.same(windows('qwen2', { use_sliding_window: true, max_window_layers: 3 }), [-1, -1, -1, 4096])
  t.same(windows('qwen3', { use_sliding_window: true, sliding_window: 8, layer_types: types }), [-1, 8, -1, -1])
  t.same(windows('gemma2', { sliding_window: 8 }), [8, -1, 8, -1])
  t.same(windows('gemma2', { sliding_window: 8, layer_types: types }), [-1, 8, -1, -1])
  t.same(windows('gemma3_text', { sliding_window: 8 }), [8, 8, 8, 8], 'every sixth is full')
  t.same(windows('gemma3_text', { sliding_window_pattern: 2 }), [4096, -1, 4096, -1])
})

t.test('what a silent config means', async (t) => {
  const epsilon = (type: string) => architecture(type).normEpsilon
  t.same(['llama', 'mistral', 'qwen2', 'qwen3', 'gemma2', 'gemma3_text', 'granite'].map(epsilon), Array(7).fill(1e-6))
  t.same(['phi3', 'olmo2'].map(epsilon), [1e-5, 1e-5])
  t.match(architecture('llama'), { headDim: 16, kvHeads: 4, tiedEmbeddings: false, activation: 'silu' })
  t.match(architecture('qwen3'), { headDim: 128, tiedEmbeddings: false })
  t.match(architecture('gemma2'), {
    headDim: 256,
    tiedEmbeddings: true,
    activation: 'gelu_tanh',
    attentionSoftcap: 50,
    logitsSoftcap: 30,
  })
  t.match(architecture('gemma3_text'), {
    headDim: 256,
    tiedEmbeddings: true,
    activation: 'gelu_tanh',
    attentionSoftcap: 0,
    logitsSoftcap: 0,
  })
  t.match(architecture('granite'), { embeddingScale: 1, residualScale: 1, attentionScale: 1, logitsScale: 1 })
  t.same(architecture('gemma3_text', { max_position_embeddings: undefined }).maxPositions, 131072)
})

t.test('Gemma 3 has a rope for each kind of layer', async (t) => {
  const ropes = (settings: object) =>
    architecture('gemma3_text', { sliding_window_pattern: 2, ...settings })
      .layers.slice(0, 2)
      .map(({ rope }) => [rope.type, rope.theta])
  t.same(ropes({}), [
    ['default', 10_000],
    ['default', 1_000_000],
  ])
  const older = { rope_theta: 500, rope_local_base_freq: 50, rope_scaling: { rope_type: 'linear', factor: 8 } }
  t.same(ropes(older), [
    ['default', 50],
    ['linear', 500],
  ])
  const newer = { sliding_attention: { rope_theta: 50 }, full_attention: { rope_type: 'linear', factor: 8, rope_theta: 500 } }
  t.same(ropes({ rope_parameters: newer }), [
    ['default', 50],
    ['linear', 500],
  ])
})

t.test('a number that can be null must be positive otherwise', async (t) => {
  for (const value of [0, -1, 'none'])
    t.throws(() => architecture('gemma2', { attn_logit_softcapping: value }), {
      code: 'invalid_config',
      message: /attn_logit_softcapping/,
    })
  for (const value of [0, 1.5, 'all'])
    t.throws(() => architecture('mistral', { sliding_window: value }), {
      code: 'invalid_config',
      message: /sliding_window must be/,
    })
})
