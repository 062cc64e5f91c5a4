/** From a Hugging Face folder to what the engine runs and what the adapters-store needs to know. */
import { existsSync } from 'node:fs'
import path from 'node:path'
import type { BaseModel, ClassifierHead } from '../../adapters-store/types.ts'
import type { InitializerRef } from '../../native/types.ts'
import type { Architecture } from './architecture.ts'
import { type CacheScheme, cacheScheme } from './cache-scales.ts'
import { Config, eosTokenIds } from './config.ts'
import { Cpu } from './devices/cpu.ts'
import { Cuda, unfitForCuda, withoutResidualScale } from './devices/cuda.ts'
import { ModelError } from './errors.ts'
import { familyOf } from './families/index.ts'
import { buildGraph } from './graph.ts'
import { OnnxGraph } from './onnx.ts'
import { ADDED_TOKENS, type BuildOptions, type ElementTypes, elementTypes } from './options.ts'
import { classifierOf, namedTensors, purposeOf } from './purpose.ts'
import { addedTokens, sitesOf } from './sites.ts'
import { storedLayout, withStored } from './stored/format.ts'
import { checkpointOf, Weights } from './weights.ts'

export { defaultBlockSize } from './devices/cuda.ts'
export { ModelError, type ModelErrorCode } from './errors.ts'
export { ADDED_TOKENS, type BuildOptions } from './options.ts'

export interface BuiltModel extends ElementTypes {
  base: BaseModel
  /** Of a …ForSequenceClassification. */
  classifier?: ClassifierHead
  /** Serialized ONNX ModelProto; the tensors named in `initializers` carry no data. */
  graph: Uint8Array
  files: string[]
  initializers: InitializerRef[]
  layers: number
  kvHeads: number
  headDim: number
  vocabSize: number
  maxModelLen: number
  eosTokenIds: number[]
}

const GENERATION = 'generation_config.json'

/** Bytes of one rope's cos and sin tables; a family has two ropes at the most. */
const LARGEST_ROPE = 2 ** 30 - 2 ** 26

/**
 * Reads config.json, generation_config.json and the weight files' headers, and writes the graph of docs/graph.md. Of the weights only small ones that become
 * constants are read (norms of Gemma, scales). Synchronous and quick.
 * Throws ModelError, naming the key or the tensor, for whatever this server cannot serve rightly.
 */
export function buildModel(directory: string, options: BuildOptions = {}): BuiltModel {
  const { config, architecture, classifier, base, cacheScheme } = describe(directory, options.extraTokens)
  const maxModelLen = options.maxModelLen ?? architecture.maxPositions
  if (!Number.isInteger(maxModelLen) || maxModelLen <= 0)
    throw new ModelError('invalid_config', `max-model-len must be a positive integer, not ${maxModelLen}`)
  if (maxModelLen > architecture.maxPositions)
    throw new ModelError('invalid_config', `max-model-len ${maxModelLen} exceeds ${limitOf(config, architecture)}`)
  // The graph carries the rope tables, and a protocol buffer ends at 2 GiB.
  const rotaryDim = Math.max(...architecture.layers.map((layer) => layer.rope.rotaryDim))
  const most = Math.floor(LARGEST_ROPE / (rotaryDim * 4))
  if (maxModelLen > most)
    throw new ModelError(
      'invalid_config',
      `a context of ${maxModelLen} needs larger rope tables than a graph can hold: set max-model-len to ${most} or less`,
    )
  const types = elementTypes(options, architecture, base.tensors)
  const setup = { ...types, cacheScheme, positions: maxModelLen, addedTokens: base.added !== undefined }
  const graph = new OnnxGraph()
  const weights = new Weights(base.tensors)
  const cuda = options.device === 'cuda'
  const unfit = cuda && unfitForCuda(architecture)
  if (unfit) throw new ModelError('unsupported_config', `${directory}: ${unfit}`)
  const device = cuda ? new Cuda(graph, weights, setup) : new Cpu(graph, weights, setup)
  const written = cuda ? withoutResidualScale(architecture) : architecture
  return {
    base,
    classifier,
    graph: buildGraph(written, base, device),
    ...types,
    files: weights.files,
    initializers: weights.initializers,
    layers: architecture.layers.length,
    kvHeads: architecture.kvHeads,
    headDim: architecture.headDim,
    vocabSize: architecture.vocabSize,
    maxModelLen,
    eosTokenIds: eosTokenIds(
      config,
      existsSync(path.join(directory, GENERATION)) ? Config.read(directory, GENERATION) : undefined,
    ),
  }
}

/** `BuiltModel.base` alone. */
export function readBaseModel(directory: string, extraTokens?: number): BaseModel {
  return describe(directory, extraTokens).base
}

/** What bounds the context, in words. */
function limitOf(config: Config, { maxPositions }: Architecture): string {
  return maxPositions < config.count('max_position_embeddings', maxPositions)
    ? `longrope's original context, ${maxPositions}: beyond it every position would be turned by other factors`
    : `the model's max_position_embeddings, ${maxPositions}`
}

/** A number that says less than the weights have would leave layers out, and one that says more cannot be served: both before anything is built for each layer. */
function requireLayers(config: Config, tensors: string[]): void {
  let layers = 0
  for (const name of tensors) layers = Math.max(layers, Number(/(?:^|\.)layers\.(\d+)\./.exec(name)?.[1] ?? -1) + 1)
  if (layers > 0 && config.count('num_hidden_layers') !== layers)
    throw config.invalid('num_hidden_layers', `${layers}, as many as the checkpoint has layers`)
}

function describe(
  directory: string,
  extraTokens = ADDED_TOKENS,
): { config: Config; architecture: Architecture; classifier?: ClassifierHead; base: BaseModel; cacheScheme: CacheScheme } {
  const config = Config.read(directory)
  const scheme = cacheScheme(config)
  const family = familyOf(config)
  const purpose = purposeOf(config)
  if (config.json.is_causal === false) throw config.unsupported('is_causal', 'is false: attention here is causal')
  const layout = storedLayout(config, directory)
  const named = namedTensors(checkpointOf(directory), purpose)
  requireLayers(config, Object.keys(named))
  const architecture = family.architecture(config)
  const sites = sitesOf(architecture, purpose !== 'generate')
  const tensors = withStored(
    named,
    layout,
    sites
      .filter((site) => site.kind !== 'embedding')
      .map(({ weight, inFeatures, outFeatures }) => ({ name: weight, shape: [outFeatures, inFeatures] })),
  )
  return {
    config,
    architecture,
    classifier: purpose === 'classify' ? classifierOf(config, tensors, architecture.hiddenSize) : undefined,
    cacheScheme: scheme,
    base: {
      directory,
      name: path.basename(path.resolve(directory)),
      modelType: config.text('model_type'),
      tiedEmbeddings: architecture.tiedEmbeddings,
      layers: architecture.layers.length,
      vocabSize: architecture.vocabSize,
      hiddenSize: architecture.hiddenSize,
      sites,
      added: addedTokens(sites, extraTokens),
      tensors,
    },
  }
}
