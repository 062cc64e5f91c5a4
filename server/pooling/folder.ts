/** What a model's folder says of embeddings: sentence-transformers' modules.json and the files that it names. */
import { existsSync, readFileSync } from 'node:fs'
import path from 'node:path'
import type { Pooling } from '../../runtime/index.ts'
import { type Dense, densely, readDense } from './dense.ts'
import { normalized } from './vectors.ts'

export interface EmbeddingPlan {
  /** One vector of a text. */
  pooling: Exclude<Pooling, 'each'>
  /** What becomes of it, in turn, before it is brought to length 1: linear layers, or that length between them. */
  modules: readonly (Dense | 'normalize')[]
  /** To length 1, at last. */
  normalize: boolean
  /** What may be put before a text, by name. */
  prompts: ReadonlyMap<string, string>
  /** Which of them is put before every text that asks for none. */
  defaultPrompt?: string
  /** Where false, the mean leaves out a prompt's tokens, which is not served. */
  poolsPrompt: boolean
  /** Why the model's own embeddings cannot be computed here, as the end of a sentence that begins with the model. */
  unserved?: string
}

/** Of a decoder without such files, as vLLM has it. */
export const USUAL: EmbeddingPlan = { pooling: 'last', modules: [], normalize: true, prompts: new Map(), poolsPrompt: true }

/** pooling_mode of each kind. */
const KINDS: Record<string, EmbeddingPlan['pooling']> = { cls: 'first', mean: 'mean', lasttoken: 'last' }
/** By the flags that 1_Pooling/config.json has had until 2026. */
const FLAGS: Record<string, string> = {
  pooling_mode_cls_token: 'cls',
  pooling_mode_mean_tokens: 'mean',
  pooling_mode_lasttoken: 'lasttoken',
  pooling_mode_max_tokens: 'max',
  pooling_mode_mean_sqrt_len_tokens: 'mean_sqrt_len_tokens',
  pooling_mode_weightedmean_tokens: 'weightedmean',
}
const SERVED = 'Transformer, Pooling, Dense and Normalize'

type Json = Record<string, unknown>

/** Characters of a file's word that clients are told. */
const named = (word: string) => word.slice(0, 64)

/** `width`: elements of a hidden state. Never throws: a model whose embeddings are not served can still generate. */
export function embeddingPlan(directory: string, width: number): EmbeddingPlan {
  const file = path.join(directory, 'modules.json')
  if (!existsSync(file)) return USUAL
  try {
    return { ...planOf(directory, JSON.parse(readFileSync(file, 'utf8')), width), ...promptsOf(directory) }
  } catch (error) {
    // Clients are told what is wrong with a file, and not where it lies.
    const reason = (error as Error).message.replaceAll(`${directory}${path.sep}`, '')
    return { ...USUAL, unserved: `has sentence-transformers files that cannot be read: ${reason}` }
  }
}

/** Of a vector with the plan's pooling what a client gets, but for its length. Shape: [hidden]; returns [widthOf(plan)]. */
export const moduled = ({ modules }: EmbeddingPlan, vector: Float32Array): Float32Array =>
  modules.reduce((now, one) => (one === 'normalize' ? normalized(now) : densely(one, now)), vector)

/** Elements of an embedding, where a hidden state has `hidden`. */
export const widthOf = ({ modules }: EmbeddingPlan, hidden: number): number =>
  modules.reduce((width, one) => (one === 'normalize' ? width : one.outputs), hidden)

function planOf(directory: string, listed: unknown, hidden: number): EmbeddingPlan {
  if (!Array.isArray(listed)) throw new Error('modules.json must hold a list')
  const plan = { ...USUAL, normalize: false }
  const modules: (Dense | 'normalize')[] = []
  let pooled = false
  for (const { type, path: folder = '' } of listed as { type?: string; path?: string }[]) {
    const kind = String(type).split('.').at(-1)
    if (kind === 'Pooling') {
      const { mode, prompt } = poolingOf(inside(directory, folder))
      if (!Object.hasOwn(KINDS, mode)) plan.unserved ??= `pools by ${named(mode)}; ${Object.keys(KINDS).join(', ')} are supported`
      else plan.pooling = KINDS[mode]
      plan.poolsPrompt = prompt
      pooled = true
    } else if (kind === 'Normalize') modules.push('normalize')
    else if (kind === 'Dense') {
      if (!pooled) plan.unserved ??= `has a module Dense before Pooling in modules.json; it is served behind it`
      else modules.push(denseOf(directory, folder, widthOf({ ...plan, modules }, hidden)))
    } else if (kind !== 'Transformer')
      plan.unserved ??= `has a module ${named(String(kind))} in modules.json; ${SERVED} are supported`
  }
  if (modules.at(-1) === 'normalize') {
    modules.pop()
    plan.normalize = true
  }
  return { ...plan, modules }
}

function denseOf(directory: string, folder: string, width: number): Dense {
  try {
    return readDense(inside(directory, folder), width)
  } catch (error) {
    throw new Error(`Dense in ${named(folder)}: ${(error as Error).message}`)
  }
}

/** A module's folder: it comes with the model from anywhere, and must not lead out of it. */
function inside(directory: string, folder: string): string {
  const found = path.join(directory, folder)
  if (path.relative(directory, found).startsWith('..')) throw new Error(`${named(folder)} leads out of the model's folder`)
  return found
}

/** One mode, or several joined by `+`, whose vectors would follow each other; and whether a prompt's tokens count. */
function poolingOf(folder: string): { mode: string; prompt: boolean } {
  const config = JSON.parse(readFileSync(path.join(folder, 'config.json'), 'utf8')) as Json
  const prompt = config.include_prompt !== false
  if (typeof config.pooling_mode === 'string') return { mode: config.pooling_mode, prompt }
  const modes = Object.entries(FLAGS).filter(([flag]) => config[flag] === true)
  return { mode: modes.map(([, mode]) => mode).join('+') || 'no mode at all', prompt }
}

/** config_sentence_transformers.json, where there is one. */
function promptsOf(directory: string): Pick<EmbeddingPlan, 'prompts' | 'defaultPrompt'> {
  const file = path.join(directory, 'config_sentence_transformers.json')
  if (!existsSync(file)) return { prompts: new Map() }
  const { prompts = {}, default_prompt_name: defaultPrompt } = JSON.parse(readFileSync(file, 'utf8')) as Json
  const texts = Object.entries((prompts ?? {}) as Json).filter((pair): pair is [string, string] => typeof pair[1] === 'string')
  const known = new Map(texts)
  if (typeof defaultPrompt !== 'string') return { prompts: known }
  if (!known.has(defaultPrompt)) throw new Error(`default_prompt_name is ${named(defaultPrompt)}, and prompts has no such name`)
  return { prompts: known, defaultPrompt }
}
