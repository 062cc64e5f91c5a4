/**
 * Adapters that were trained after `resize_token_embeddings`: their table and head have other numbers of rows than the base's. A user of PEFT resizes the base alike and
 * loads the file over it (peft 0.21, utils/save_and_load.py: save_embedding_layers is on by itself then). Such an adapter is folded for a base of that size, whose rows
 * beyond the checkpoint's are zeros, and what is made of it is put where the graph has its places: rows of added tokens at sites of their own.
 */
import { isOff } from './config.ts'
import { AdapterError } from './errors.ts'
import {
  combinationRefused,
  type DenseRows,
  type FactorRows,
  type Factors,
  multipliedOut,
  requireFinite,
  type SiteFold,
  valuesOf,
  weightShape,
} from './fold.ts'
import type { Replacement } from './replacements.ts'
import { COPIES, parameterOf, WEIGHTS } from './tensors.ts'
import type { BaseModel, Site, TensorRef } from './types.ts'

/** Parameters of table and head with a dimension that is the vocabulary: which. */
const VOCABULARY_DIMENSION = new Map([
  ...[...WEIGHTS, ...COPIES].map((parameter) => [parameter, 0] as const),
  ['lora_embedding_A', 1],
  ['lora_B', 0],
])

/**
 * How many token ids the adapter has: what its tensors of table and head say, or the last token that its config says was trained, where that is beyond the base's.
 * Throws AdapterError where tensors disagree, and for more than the graph has places for.
 */
export function vocabularyOf(
  file: string,
  tensors: Map<string, TensorRef>,
  config: Record<string, unknown>,
  base: BaseModel,
): number {
  let first: { key: string; size: number } | undefined
  for (const [key, { shape, length }] of tensors) {
    const size = length === 0 ? undefined : sizeIn(key, shape, base)
    if (size === undefined) continue
    first ??= { key, size }
    if (first.size !== size)
      throw new AdapterError(
        'adapter_tensor_invalid',
        `${file}: ${first.key} has rows for ${first.size} tokens, ${key} for ${size}; a table and a head of one vocabulary have as many`,
      )
  }
  const size = first?.size ?? Math.max(base.vocabSize, lastToken(config) + 1)
  const most = base.vocabSize + (base.added?.count ?? 0)
  if (size <= most) return size
  throw new AdapterError(
    'adapter_too_large',
    `${file}: it has rows for ${size} tokens, ${size - base.vocabSize} more than the base model's ${base.vocabSize}; at most ${most - base.vocabSize} may be added: ` +
      `serve with --max-extra-tokens ${size - base.vocabSize}, if it is an adapter for this base model`,
  )
}

function sizeIn(key: string, shape: number[], { sites }: BaseModel): number | undefined {
  for (const site of sites) {
    if (site.kind === 'linear') continue
    const parameter = parameterOf(key, site.module)
    const dimension = parameter === undefined ? undefined : VOCABULARY_DIMENSION.get(parameter)
    if (dimension !== undefined && shape.length === 2) return shape[dimension]
  }
  return undefined
}

function lastToken({ trainable_token_indices: option, token_indices: method, peft_type: type }: Record<string, unknown>): number {
  const value = type === 'TRAINABLE_TOKENS' ? method : option
  if (isOff(value) || typeof value !== 'object') return -1
  const tokens = (Array.isArray(value) ? value : Object.values(value as object).flat()) as unknown[]
  return tokens.reduce<number>((most, token) => (Number.isSafeInteger(token) ? Math.max(most, token as number) : most), -1)
}

/** The base with so many tokens. */
export function resizedBase(base: BaseModel, vocabSize: number): BaseModel {
  if (vocabSize === base.vocabSize) return base
  const resized = (site: Site): Site =>
    site.kind === 'linear'
      ? site
      : { ...site, ...(site.kind === 'embedding' ? { inFeatures: vocabSize } : { outFeatures: vocabSize }) }
  return { ...base, vocabSize, sites: base.sites.map(resized) }
}

/** Throws for a table or head that has no rows for the tokens that the adapter adds: transformers draws them at random then. */
export function requireAddedRows(file: string, base: BaseModel, resized: BaseModel, replaced: Map<Site, Replacement>): void {
  if (resized.vocabSize <= base.vocabSize) return
  for (const site of resized.sites) {
    if (site.kind === 'linear') continue
    const found = replaced.get(site)
    const listed = found?.dense?.index?.filter((row) => row >= base.vocabSize).length ?? 0
    if (found?.whole || listed === resized.vocabSize - base.vocabSize) continue
    throw new AdapterError(
      'adapter_tensor_invalid',
      `${file}: it has ${resized.vocabSize - base.vocabSize} more tokens than the base model, and lacks ${site.module}.weight with their rows, which are random then; ` +
        'save it with save_embedding_layers=True',
    )
  }
}

/** Throws where a table or head that was resized is adapted besides by anything but plain LoRA, whose product alone needs no row of the base. */
export function requirePlain(site: Site, base: BaseModel, isPlainLora: boolean): void {
  if (isPlainLora || weightShape(site).rows === weightShape(base.sites[site.index]).rows) return
  throw combinationRefused(site, 'an adapter other than plain LoRA', 'another number of tokens than the base')
}

/** A fold of a resized table or head, as folds of the sites that the graph has: the base's rows, and those of added tokens. */
export function placedFolds(fold: SiteFold, base: BaseModel): SiteFold[] {
  const site = base.sites[fold.site.index]
  const [own, rows] = [weightShape(site).rows, weightShape(fold.site).rows]
  if (own === rows) return [fold]
  const kept = { ...fold, site, factors: fold.factors && fitted(fold.site, fold.factors, own), dense: firstRows(fold, own) }
  return rows < own ? [kept] : [kept, { site: addedSite(base, site), dense: rowsBehind(fold, own, rows) }]
}

const addedSite = ({ added }: BaseModel, { kind }: Site): Site => (kind === 'embedding' ? added?.table : added?.head) as Site

/** Rows 0 to below `own`, or as many as there are. */
function firstRows({ site, dense }: SiteFold, own: number): DenseRows | undefined {
  if (!dense) return undefined
  const { rows } = weightShape(site)
  const index = (dense.index ?? Int32Array.from({ length: rows }, (_, row) => row)).filter((row) => row < own)
  if (index.length === 0) return undefined
  return { ...dense, count: index.length, index: index.length === own ? undefined : index }
}

/** Those from `own` on: of the replaced weight, and what LoRA adds to them. */
function rowsBehind({ site, dense, factors }: SiteFold, own: number, rows: number): DenseRows {
  const { width } = weightShape(site)
  const product = factors && multipliedOut(site, factors)
  const place = new Map(Array.from(dense?.index ?? [], (row, j) => [row, j]))
  return {
    count: rows - own,
    rows(first, into) {
      for (let at = 0; at < into.length; at += width) {
        const row = own + first + at / width
        const j = dense?.index ? place.get(row) : row
        if (dense && j !== undefined) dense.rows(j, into.subarray(at, at + width))
      }
      product?.rows(own + first, into)
    },
  }
}

/** Factors whose vocabulary ends earlier, or goes on with zeros. */
function fitted(site: Site, { rank, a, b, scale }: Factors, to: number): Factors {
  const from = weightShape(site).rows
  const fit = (rows: FactorRows): FactorRows => {
    requireFinite(rows, rank, from)
    return () => {
      const values = valuesOf(rows, rank, from)
      const fitting = new Float32Array(rank * to)
      for (let r = 0; r < rank; r++) fitting.set(values.subarray(r * from, r * from + Math.min(from, to)), r * to)
      return fitting
    }
  }
  return site.kind === 'embedding' ? { rank, a: fit(a), b, scale } : { rank, a, b: fit(b), scale }
}
