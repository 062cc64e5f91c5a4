/**
 * What an adapter would be if it were loaded, by its config and its weights' header: whether it would be served, and how large it would be. A file of gigabytes costs no more than one of
 * kilobytes. The way is the loader's own (load.ts), with zeros for values, so reasons are told in the same words. What only values tell (numbers that are not finite, or too large for the
 * pool's type) is not asked; where values say how much there is (saved modules, of which the changed rows are kept), they are read.
 */

import { FileMemory } from './files.ts'
import { withLabels } from './labels.ts'
import { foldedBy, loadAdapter, openAdapter } from './load.ts'
import { packedSize } from './pack.ts'
import { type AdapterTensors, COPIES, WEIGHTS } from './tensors.ts'
import { withText } from './text/image.ts'
import type { TextKnowledge } from './text/read.ts'
import { type AdapterImage, type BaseModel, ENTRY, ENTRY_FIELDS, hostBytes, type LoadOptions } from './types.ts'

export interface AdapterPlan
  extends Pick<
    AdapterImage,
    | 'name'
    | 'method'
    | 'maxRank'
    | 'blocks'
    | 'frames'
    | 'frameBytes'
    | 'blockBytes'
    | 'text'
    | 'head'
    | 'vocabSize'
    | 'task'
    | 'warnings'
  > {
  /** Modules that it changes, in the graph's order: `model.layers.0.self_attn.q_proj`, … */
  modules: string[]
  /** Of host memory. */
  bytes: number
  /** Whether its values were read, so that they are known to be fine. */
  valuesRead: boolean
}

export interface PlanOptions {
  /** Where symbolic links may lead. */
  root?: string
  texts?: TextKnowledge
  /** Read the values too. */
  values?: boolean
  /** Stands for the values of one adapter after the other, and is never written: pages that nobody reads take no memory. */
  zeros?: FileMemory
}

/** As loadAdapter, which it is where `values` asks for it. Throws AdapterError. */
export function planAdapter(
  name: string,
  directory: string,
  base: BaseModel,
  options: LoadOptions,
  { root = directory, texts, values = false, zeros = new FileMemory() }: PlanOptions = {},
): AdapterPlan {
  const { folder, method, byKeys } = openAdapter(directory, base, root)
  const { checked, size } = folder.readHeader(byKeys)
  const { tensors } = checked.context
  if (values || needsValues(tensors)) {
    const image = loadAdapter(name, directory, base, options, undefined, root, texts)
    return planOf({ ...image, sites: sitesOf(image), bytes: hostBytes(image), valuesRead: true }, base)
  }
  tensors.unread = true
  tensors.bytes = zeros.take(size)
  const { folds, said } = foldedBy(method, checked, base, options)
  const { bytes, ...sizes } = packedSize(folds, options)
  const empty = {
    name,
    digest: '',
    dtype: options.dtype,
    blockBytes: options.blockBytes,
    image: new SharedArrayBuffer(0),
    rows: new Int32Array(0),
    entries: new Int32Array(0),
  }
  const image = withText(withLabels({ ...empty, ...sizes, ...said }, folder), folder, base, options, texts)
  const changing = folds.filter(
    ({ factors, dense, outScale, inScale, bias }) => factors?.rank || dense?.count || outScale || inScale || bias,
  )
  const sites = changing.map(({ site }) => site.index)
  return planOf({ ...image, sites, bytes: bytes + hostBytes(image), valuesRead: false }, base)
}

function planOf({ sites, ...image }: Omit<AdapterPlan, 'modules'> & { sites: number[] }, base: BaseModel): AdapterPlan {
  const {
    name,
    method,
    maxRank,
    blocks,
    blockBytes,
    frames,
    frameBytes,
    text,
    head,
    vocabSize,
    task,
    warnings,
    bytes,
    valuesRead,
  } = image
  const packed = { maxRank, blocks, blockBytes, frames, frameBytes, bytes, modules: modulesOf(sites, base) }
  return { name, method, ...packed, text, head, vocabSize, task, warnings, valuesRead }
}

const sitesOf = ({ entries }: AdapterImage) =>
  Array.from({ length: entries.length / ENTRY_FIELDS }, (_, i) => entries[i * ENTRY_FIELDS + ENTRY.site])

/** Rows of added tokens stand behind the table and the head, and bear their names. */
function modulesOf(indices: number[], { sites, added }: BaseModel): string[] {
  const all = added ? [...sites, added.table, added.head] : sites
  return [...new Set(indices.map((index) => all[index].module))]
}

/** Of a whole weight those rows are kept that are not the base's; and what no adapter may change has to be as the base's. */
function needsValues({ sites, others }: AdapterTensors): boolean {
  return others.size > 0 || sites.some((tensors) => tensors.has(...WEIGHTS, ...COPIES))
}
