/**
 * Activated LoRA (Greenewald et al., 2025). peft 0.21, tuners/lora/variants.py, ALoraLinearVariant: from the start of the last occurrence of its invocation tokens in the prompt on
 * it is the LoRA that it looks like, before that the base. Where it acts is decided per request (runtime/engine/reach.ts).
 */
import { type ConfigReader, isOff } from './config.ts'
import { AdapterError } from './errors.ts'
import type { FoldContext } from './tensors.ts'
import type { BaseModel, Site } from './types.ts'

const FIELD = 'alora_invocation_tokens'

export const isActivated = ({ values }: ConfigReader): boolean => !isOff(values[FIELD])

/** Of a LoRA that has them; undefined for any other. Throws AdapterError where they are no tokens, and for what PEFT applies to the whole prompt all the same, or not at all. */
export function invocationTokens(
  { config, base }: FoldContext,
  original: BaseModel,
  folded: Iterable<Site>,
  replaced: ReadonlyMap<Site, { what: string }>,
): number[] | undefined {
  if (!isActivated(config)) return undefined
  const tokens = config.values[FIELD]
  const { vocabSize } = original
  if (!Array.isArray(tokens) || tokens.some((token) => !Number.isInteger(token) || token < 0 || token >= vocabSize))
    throw new AdapterError(
      'adapter_config_invalid',
      `${config.file}: ${FIELD} must be a list of token ids from 0 to below ${vocabSize}`,
    )
  const refuse = (why: string) => new AdapterError('adapter_option_unsupported', `${config.file}: ${FIELD} with ${why}`)
  if (config.boolean('use_dora')) throw refuse('use_dora is not defined by PEFT')
  for (const { kind, module } of folded)
    if (kind === 'embedding') throw refuse(`LoRA of ${module}, an embedding table, is not defined by PEFT`)
  for (const [{ module }, { what }] of replaced)
    throw refuse(`${what} of ${module} is not supported: PEFT applies that to the whole prompt, also before the invocation`)
  if (base.model.vocabSize !== vocabSize)
    throw refuse(
      `a resized vocabulary is not supported: what comes before the invocation is the base's, which has ${vocabSize} tokens`,
    )
  return tokens as number[]
}
