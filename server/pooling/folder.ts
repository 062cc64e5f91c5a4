/** What a model's folder says of embeddings: sentence-transformers' modules.json and the files that it names. */
import { existsSync, readFileSync } from 'node:fs'
import path from 'node:path'
import type { Pooling } from '../../runtime/index.ts'

export interface EmbeddingPlan {
  pooling: Pooling
  /** To length 1. */
  normalize: boolean
  /** Why the model's own embeddings cannot be computed here, as the end of a sentence that begins with the model. */
  unserved?: string
}

/** Of a decoder without such files, as vLLM has it. */
export const USUAL: EmbeddingPlan = { pooling: 'last', normalize: true }

/** pooling_mode of each kind. */
const KINDS: Record<string, Pooling> = { cls: 'first', mean: 'mean', lasttoken: 'last' }
/** By the flags that 1_Pooling/config.json has had until 2026. */
const FLAGS: Record<string, string> = {
  pooling_mode_cls_token: 'cls',
  pooling_mode_mean_tokens: 'mean',
  pooling_mode_lasttoken: 'lasttoken',
  pooling_mode_max_tokens: 'max',
  pooling_mode_mean_sqrt_len_tokens: 'mean_sqrt_len_tokens',
  pooling_mode_weightedmean_tokens: 'weightedmean',
}

type Json = Record<string, unknown>

/** Characters of a file's word that clients are told. */
const named = (word: string) => word.slice(0, 64)

/** Never throws: a model whose embeddings are not served can still generate. */
export function embeddingPlan(directory: string): EmbeddingPlan {
  const file = path.join(directory, 'modules.json')
  if (!existsSync(file)) return USUAL
  try {
    return planOf(directory, JSON.parse(readFileSync(file, 'utf8')))
  } catch (error) {
    return { ...USUAL, unserved: `has sentence-transformers files that cannot be read: ${(error as Error).message}` }
  }
}

function planOf(directory: string, modules: unknown): EmbeddingPlan {
  if (!Array.isArray(modules)) throw new Error('modules.json must hold a list')
  const plan: EmbeddingPlan = { pooling: USUAL.pooling, normalize: false }
  for (const { type, path: folder = '' } of modules as { type?: string; path?: string }[]) {
    const kind = String(type).split('.').at(-1)
    if (kind === 'Pooling') {
      const mode = modeOf(directory, folder)
      if (!Object.hasOwn(KINDS, mode)) plan.unserved ??= `pools by ${named(mode)}; ${Object.keys(KINDS).join(', ')} are supported`
      else plan.pooling = KINDS[mode]
    } else if (kind === 'Normalize') plan.normalize = true
    else if (kind !== 'Transformer')
      plan.unserved ??= `has a module ${named(String(kind))} in modules.json; Transformer, Pooling and Normalize are supported`
  }
  return plan
}

/** One mode, or several joined by `+`, whose vectors would follow each other. */
function modeOf(directory: string, folder: string): string {
  const file = path.join(directory, folder, 'config.json')
  const config = JSON.parse(readFileSync(file, 'utf8')) as Json
  if (typeof config.pooling_mode === 'string') return config.pooling_mode
  const modes = Object.entries(FLAGS).filter(([flag]) => config[flag] === true)
  return modes.map(([, mode]) => mode).join('+') || 'no mode at all'
}
