/** peft_type TRAINABLE_TOKENS: nothing but replaced rows of the embedding table, which replacements.ts applies for every method. */
import { ignored } from '../config.ts'
import type { Method } from './method.ts'

export const trainableTokens: Method = {
  peftType: 'TRAINABLE_TOKENS',
  config: { token_indices: ignored, init_weights: ignored },
  parameters: [],
  sites: [],
  prepare: () => () => ({}),
}
