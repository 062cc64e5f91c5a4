/** Checkpoints whose weights are integers already: which are read, and their tensors as one weight for each projection (docs/checkpoints.md). */
import { existsSync } from 'node:fs'
import path from 'node:path'
import { type Config, type Json, readJson } from '../config.ts'
import { unreadWeights } from '../quantized-checkpoint.ts'
import { awq } from './awq.ts'
import { compressedTensors } from './compressed.ts'
import { gptq } from './gptq.ts'
import type { Layout, Tensors } from './parts.ts'

/** Of the method's config, or why it is not read. */
const METHODS: Record<string, (json: Json) => Layout | string> = { awq, gptq, 'compressed-tensors': compressedTensors }

/** Files of their own that said how, before config.json did. */
const FILES = { 'quantize_config.json': 'gptq', 'quant_config.json': 'awq' }

function quantizationOf(config: Config, directory: string): Json | undefined {
  const own = config.object('quantization_config') ?? config.object('compression_config')
  if (own) return own
  for (const [name, method] of Object.entries(FILES)) {
    const file = path.join(directory, name)
    if (existsSync(file)) return { quant_method: method, ...readJson(file) }
  }
  return undefined
}

/** How the weights are quantized; undefined where they are floats. Throws ModelError for whatever is not read. */
export function storedLayout(config: Config, directory: string): Layout | undefined {
  const json = quantizationOf(config, directory)
  if (!json) return undefined
  const { quant_method: method, kv_cache_scheme: cache, config_groups: groups } = json
  // Scales of an 8-bit cache beside weights in floats.
  if (cache && Object.keys((groups as object | null) ?? {}).length === 0) return undefined
  const known = typeof method === 'string' && Object.hasOwn(METHODS, method) ? METHODS[method] : undefined
  const layout = known?.(json) ?? ''
  if (typeof layout === 'string') throw unreadWeights(config, json, layout)
  return layout
}

/** The tensors with one more for each of these weights that is quantized, under the name that it has in floats. */
export function withStored(
  tensors: Tensors,
  layout: Layout | undefined,
  weights: { name: string; shape: [out: number, inputs: number] }[],
): Tensors {
  if (!layout) return tensors
  const all = { ...tensors }
  for (const { name, shape } of weights) {
    const module = name.replace(/\.weight$/, '')
    if (!tensors[`${module}.${layout.mark}`] && tensors[name]?.dtype !== 'int8') continue
    const { codes, stored } = layout.read(module, tensors, shape)
    all[name] = { ...codes, shape, stored }
  }
  return all
}
