/** `--speculative-config`, in vLLM's form. */
import type { SpeculationSettings } from '../../runtime/types.ts'
import { ConfigError } from './config-error.ts'
import type { Setting } from './setting.ts'

export const SPECULATION_SETTINGS = {
  'speculative-config': {
    kind: 'speculation',
    value: 'JSON',
    help: 'draft what followed where an answer\'s last tokens stood before: {"method":"ngram","num_speculative_tokens":N}, docs/speculation.md',
  },
} as const satisfies Record<string, Setting>

/** Tokens that a step may compute beside the one that it is for: a row of logits each. */
const MOST_TOKENS = 32
const MOST_LENGTH = 64
/** Where nothing is said: two tokens stand before too often, and of an edit no more than two come without drafts. */
const SHORTEST = 3
const LONGEST = 5

const KEYS = ['method', 'num_speculative_tokens', 'prompt_lookup_min', 'prompt_lookup_max']

/** From JSON, as text or read. Throws a ConfigError that names the key and what would be right. */
export function readSpeculation(source: string, raw: unknown): SpeculationSettings {
  const config = objectOf(source, raw)
  const other = Object.keys(config).find((key) => !KEYS.includes(key))
  if (other !== undefined) throw new ConfigError(`${source} has a key ${other}; there are ${KEYS.join(', ')}`)
  if (config.method !== 'ngram')
    throw new ConfigError(
      `${source}: method must be "ngram" (what is drafted is looked up in the prompt and the answer, no other model is run), not ${JSON.stringify(config.method)}`,
    )
  const integer = (key: string, least: number, most: number): number => {
    const value = config[key]
    if (!Number.isInteger(value) || (value as number) < least || (value as number) > most)
      throw new ConfigError(
        `${source}: ${key} must be an integer from ${least} to ${most}${value === undefined ? '' : `, not ${JSON.stringify(value)}`}`,
      )
    return value as number
  }
  const tokens = integer('num_speculative_tokens', 1, MOST_TOKENS)

  const longest = config.prompt_lookup_max === undefined ? undefined : integer('prompt_lookup_max', 1, MOST_LENGTH)
  const shortest =
    config.prompt_lookup_min === undefined
      ? Math.min(SHORTEST, longest ?? SHORTEST)
      : integer('prompt_lookup_min', 1, longest ?? MOST_LENGTH)
  return { tokens, shortest, longest: longest ?? Math.max(LONGEST, shortest) }
}

function objectOf(source: string, raw: unknown): Record<string, unknown> {
  let value = raw
  if (typeof raw === 'string')
    try {
      value = JSON.parse(raw)
    } catch {
      value = undefined
    }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new ConfigError(`${source} must be JSON like {"method":"ngram","num_speculative_tokens":4}, not ${JSON.stringify(raw)}`)
  return value as Record<string, unknown>
}
