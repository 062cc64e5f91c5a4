/** Adapters without their tensors, or with some of them, with empty ones, or with tensors that contradict each other: refused, and the message says which. */
import { join } from 'node:path'
import t from 'tap'
import { AdapterError, type AdapterErrorCode, loadAdapter } from '../../adapters-store/index.ts'
import { base, type Case, options, refusal, tied } from './refusal.ts'
import { type Config, changedFixture, floats, readTensors, type Tensors } from './write-adapter.ts'

const set = (values: Config) => (config: Config) => {
  Object.assign(config, values)
}

/** What a save leaves that loses the method's own tensors: nothing, mere copies of the base, what the method shares, and what it saves beside them. */
const WHOLE = [
  'lora',
  'rslora',
  'dora',
  'adalora',
  'vera',
  'loha',
  'lokr',
  'ia3',
  'randlora',
  'miss',
  'hira',
  'delora',
  'vblora',
  'tokens-only',
]
const PARAMETER = /\.(lora_|vera_|hada_|lokr_|ia3_|randlora_|miss_|hira_|delora_|vblora_|trainable_)/
const copies = readTensors(join(base.directory, 'model.safetensors'))

for (const name of WHOLE) {
  const lose = (_: Config, tensors: Tensors) => {
    for (const key of Object.keys(tensors)) if (PARAMETER.test(key.replace('base_model.', ''))) delete tensors[key]
  }
  const lost = (what: string, change: (config: Config, tensors: Tensors) => void, names: (string | RegExp)[] = []) =>
    t.test(`refuses ${name} ${what}`, async (t) =>
      refusal(t, changedFixture(t, `biased/adapters/${name}`, change), 'adapter_tensor_invalid', names),
    )
  const gone = name === 'tokens-only' ? 'lacks model.embed_tokens.trainable_tokens_delta' : 'no tensor'
  lost('without its own tensors', lose, [gone])
  lost(
    'of which copies of the base are left',
    (config, tensors) => {
      lose(config, tensors)
      for (const key of ['lm_head.weight', 'model.norm.weight', 'model.embed_tokens.weight'])
        tensors[`base_model.model.${key}`] = copies[key]
    },
    [gone],
  )
  lost(
    'whose tensors are empty',
    (_, tensors) => {
      for (const key of Object.keys(tensors).filter((key) => PARAMETER.test(key))) tensors[key] = floats([0])
    },
    [/is empty \(shape \[0\]\).*ZeRO-3/],
  )
  if (name === 'tokens-only') continue
  lost(
    'of which a changed head is left',
    (config, tensors) => {
      lose(config, tensors)
      config.modules_to_save = ['lm_head']
      tensors['base_model.model.lm_head.weight'] = floats([40, 16])
    },
    ['holds no tensor of', 'ZeRO-3 or FSDP'],
  )
}

t.test('refuses tensors of other names', async (t) => {
  for (const [from, to] of [
    ['lora_A', 'lora_down'],
    ['q_proj.', 'query.'],
    ['model.layers', 'transformer.h'],
  ]) {
    const folder = changedFixture(t, 'biased/adapters/lora', (_, tensors) => {
      for (const [key, tensor] of Object.entries(tensors)) {
        delete tensors[key]
        tensors[key.replace(from, to)] = tensor
      }
    })
    t.throws(() => loadAdapter('bad', folder, base, options), AdapterError, `${from} as ${to}`)
  }
})

t.test('refuses what contradicts itself on a tied base', async (t) => {
  const refused = (name: string, code: AdapterErrorCode, names: (string | RegExp)[], change: Case['change']) =>
    refusal(t, changedFixture(t, `tied/adapters/${name}`, change), code, names, tied)
  const drop = (part: string) => (_: Config, tensors: Tensors) => {
    for (const key of Object.keys(tensors).filter((key) => key.includes(part))) delete tensors[key]
  }
  const other = (part: string) => (_: Config, tensors: Tensors) => {
    for (const key of Object.keys(tensors).filter((key) => key.includes(part))) tensors[key] = floats(tensors[key].shape)
  }
  const ensured = set({ ensure_weight_tying: true })
  refused('tokens-both-other', 'adapter_config_invalid', ['trainable_token_indices', 'ensure_weight_tying'], ensured)
  refused('tokens-both-ordered', 'adapter_config_invalid', ['in the same order'], ensured)
  refused('tokens-only', 'adapter_tensor_invalid', ['lm_head.trainable_tokens_delta differs'], other('lm_head'))
  refused('tokens-both-other', 'adapter_tensor_invalid', ['lacks lm_head.token_adapter'], drop('lm_head'))
  refused('saved-both', 'adapter_tensor_invalid', ['lm_head.weight differs from'], other('lm_head'))
  refused('table-tied', 'adapter_tensor_invalid', ['lacks the tensors of lm_head', 'ensure_weight_tying'], drop('lm_head'))
  refused('table-tied', 'adapter_tensor_invalid', ['lacks the tensors of model.embed_tokens'], drop('embed_tokens'))
  refused('tokens', 'adapter_option_unsupported', ['lm_head has both'], (config, tensors) => {
    config.modules_to_save = ['lm_head']
    tensors['base_model.model.lm_head.weight'] = floats([40, 16])
  })
  refused('tokens', 'adapter_option_unsupported', ['lm_head has both'], (_, tensors) => {
    tensors['base_model.model.lm_head.lora_A.weight'] = floats([2, 16])
    tensors['base_model.model.lm_head.lora_B.weight'] = floats([40, 2])
  })
})

t.test('of trained tokens that are one parameter under two names, either name will do', async (t) => {
  const load = (change: Case['change']) => loadAdapter('x', changedFixture(t, 'tied/adapters/tokens-only', change), tied, options)
  const whole = load(() => {})
  for (const lost of ['lm_head', 'embed_tokens']) {
    const image = load((_, tensors) => {
      for (const key of Object.keys(tensors).filter((key) => key.includes(lost))) delete tensors[key]
    })
    t.ok(Buffer.from(image.image).equals(Buffer.from(whole.image)), `without ${lost}`)
  }
})

t.test('refuses a saved module of which a weight or a bias is lost, also one that holds others', async (t) => {
  const parameters = Object.keys(copies)
  const within = (part: string) => parameters.filter((name) => name.includes(`.${part}.`) && /\.(weight|bias)$/.test(name))
  const folder = (saved: string, lost?: string) =>
    changedFixture(t, 'biased/adapters/ia3', (config, tensors) => {
      for (const key of Object.keys(tensors)) if (key.includes(`.${saved}.`)) delete tensors[key]
      config.modules_to_save = [saved]
      for (const name of within(saved)) if (name !== lost) tensors[`base_model.model.${name}`] = copies[name]
    })
  const load = (directory: string) => loadAdapter('x', directory, base, options)
  let biases = 0
  for (const saved of ['mlp', 'self_attn', 'q_proj']) {
    t.ok(within(saved).length > 0)
    t.doesNotThrow(() => load(folder(saved)), `${saved} whole`)
    for (const lost of within(saved)) {
      if (lost.endsWith('.bias')) biases++
      t.throws(() => load(folder(saved, lost)), {
        code: 'adapter_tensor_invalid',
        message: new RegExp(`lacks ${lost}, which modules_to_save names`),
      })
    }
  }
  t.ok(biases > 0, 'some of them are biases')
})
