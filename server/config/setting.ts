/** What a setting of `lorikeet serve` is. The settings themselves: settings.ts. */
import type { EngineSettings } from '../../runtime/types.ts'

/** Seconds; a longer timer is a millisecond to Node. */
export const LONGEST_TIMER = 2_147_483

export type Device = EngineSettings['device']

export interface Setting {
  /** How a value is read (values.ts). */
  kind:
    | 'text'
    | 'texts'
    | 'integer'
    | 'size'
    | 'fraction'
    | 'decimal'
    | 'flag'
    | 'choice'
    | 'adapters'
    | 'speculation'
    | 'kvEvents'
  /** What its help calls the value. For DIR a shell offers folders, for FILE files. */
  value?: string
  choices?: readonly string[]
  /** Other spellings of choices, those that vLLM's users write. */
  spellings?: Readonly<Record<string, string>>
  minimum?: number
  maximum?: number
  fallback?: string | number | boolean
  /** Instead of `fallback` where it depends on the device; `left` says in words what is taken when the setting stays open. */
  fallbackOn?: Readonly<Record<Device, string | number | { left: string }>>
  /** The one device that it concerns. */
  only?: Device
  /** What a text must match, and how that is called. */
  pattern?: readonly [RegExp, string]
  /** Its value is shown nowhere, not even where it is wrong. */
  secret?: boolean
  /** vLLM's name of it, where that is another. */
  vllm?: string
  help: string
}

/** Kinds that a flag may be repeated for. */
export const repeatable = ({ kind }: Setting) => kind === 'adapters' || kind === 'texts'
