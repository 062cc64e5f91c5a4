/**
 * Trained tokens: rows of the embedding table (or of the head) that the adapter replaces. peft 0.21, tuners/trainable_tokens/layer.py. The rows are
 * saved as values, not differences; which tokens they are is in the config only.
 */
import { AdapterError } from './errors.ts'
import { oneByOne, weightShape } from './fold.ts'
import type { FoldContext } from './methods/method.ts'
import type { Replacement } from './replacements.ts'
import type { SiteTensors } from './tensors.ts'

const NAMES = ['token_adapter.trainable_tokens_delta', 'trainable_tokens_delta']

export function trainedTokens({ base, config }: FoldContext, tensors: SiteTensors): Replacement | undefined {
  const name = NAMES.find((parameter) => tensors.has(parameter))
  if (!name) return undefined
  const { site } = tensors
  const { rows, width } = weightShape(site)
  const field = name === NAMES[0] ? 'trainable_token_indices' : 'token_indices'
  const tokens = tokensOf(config.values[field], site.module)
  const valid = tokens?.every((token) => Number.isInteger(token) && token >= 0 && token < rows)
  if (!tokens || !valid || new Set(tokens).size !== tokens.length) {
    throw new AdapterError(
      'adapter_config_invalid',
      `${config.file}: ${field} must list each trained token of ${site.module} once, below ${rows}`,
    )
  }
  const replaced = tensors.take(name, [tokens.length, width]).data
  const order = tokens.map((_, k) => k).sort((x, y) => tokens[x] - tokens[y])
  const weights = base.rows(site.weight)
  return {
    what: name,
    dense: {
      count: tokens.length,
      index: Int32Array.from(order, (k) => tokens[k]),
      rows: oneByOne(width, (j, into) => {
        const k = order[j]
        const original = weights.row(tokens[k])
        for (let i = 0; i < width; i++) into[i] = replaced[k * width + i] - original[i]
      }),
    },
  }
}

/** A list for the input embedding, or an object of lists by module name, matched by its end as PEFT does. */
function tokensOf(value: unknown, module: string): number[] | undefined {
  if (Array.isArray(value)) return value as number[]
  if (typeof value !== 'object' || value === null) return undefined
  const found = Object.entries(value).find(([name]) => module === name || module.endsWith(`.${name}`))
  return found && Array.isArray(found[1]) ? (found[1] as number[]) : undefined
}
