/** Values with which PEFT 0.21 fails are refused, and so are those that say the opposite of what PEFT makes of them. accepted.test.ts has what is off. */
import t from 'tap'
import type { AdapterErrorCode } from '../../adapters-store/index.ts'
import { refusal } from './refusal.ts'
import { type Config, changedFixture } from './write-adapter.ts'

const CASES: { what: string; values: Config; code: AdapterErrorCode; names: string[] }[] = [
  ...['lora_alpha', 'r'].map((field) => ({
    what: `${field} = null, with which PEFT fails instead of taking its default`,
    values: { [field]: null },
    code: 'adapter_config_invalid' as const,
    names: [`${field} is null`, 'a number'],
  })),
  ...['false', 'yes', 2].map((value) => ({
    what: `use_dora = ${JSON.stringify(value)}, which PEFT takes for true`,
    values: { use_dora: value },
    code: 'adapter_config_invalid' as const,
    names: ['use_dora', 'true or false'],
  })),
  ...[[], { embed_tokens: [] }].map((value) => ({
    what: `trainable_token_indices = ${JSON.stringify(value)} without a tensor, where PEFT looks for one`,
    values: { trainable_token_indices: value },
    code: 'adapter_tensor_invalid' as const,
    names: ['lacks model.embed_tokens.token_adapter.trainable_tokens_delta'],
  })),
  ...[false, 0, ''].map((value) => ({
    what: `trainable_token_indices = ${JSON.stringify(value)}, with which PEFT fails`,
    values: { trainable_token_indices: value },
    code: 'adapter_config_invalid' as const,
    names: ['trainable_token_indices'],
  })),
  {
    what: 'a value that may be a path, without telling it',
    values: { lora_alpha: '/home/somebody/secret' },
    code: 'adapter_config_invalid',
    names: ['lora_alpha is a text of 21 characters'],
  },
]

for (const { what, values, code, names } of CASES)
  t.test(`refuses ${what}`, async (t) => {
    const folder = changedFixture(t, 'biased/adapters/lora', (config) => void Object.assign(config, values))
    refusal(t, folder, code, names)
  })
