/**
 * LoRA (Hu et al., 2021), rsLoRA, DoRA, and LoRA of the embedding table. peft 0.21, tuners/lora/layer.py:
 *     ΔW = s · B A,  s = alpha / r  (rsLoRA: alpha / √r),  r and alpha per module through rank_pattern and alpha_pattern.
 *     lora_bias: B's bias lies inside the scaled term. Embedding: ΔE = s · (B A)ᵀ with A [r, vocabulary], B [hidden, r].
 */
import { isActivated } from '../activated.ts'
import { absent, type ConfigReader, ignored, isOff, off, type Rule } from '../config.ts'
import { AdapterError } from '../errors.ts'
import { type FileFactors, type Fold, smallerOf } from '../fold.ts'
import type { SiteTensors } from '../tensors.ts'
import { doraEmbedding, doraLinear, doraUnread } from './dora.ts'
import type { Method } from './method.ts'

const ROTATED =
  'it changed the base weights when training began, so this is no delta to the original base; ' +
  'save it with path_initial_model_for_weight_conversion to get a plain LoRA'

/** pissa, olora, corda, loftq and lora_ga subtract the initial product from the base (layer.py, *_init); the others only choose A and B. */
const initWeights: Rule = (value) => {
  if (isOff(value) || [true, 'gaussian', 'eva', 'orthogonal', 'mica'].includes(value as never)) return undefined
  return typeof value === 'string' && /^(pissa|olora|corda|loftq|lora_ga)/.test(value) ? ROTATED : 'unknown initialisation'
}

/** Shared with AdaLoRA, whose config has the same keys. */
export const LORA_CONFIG: Record<string, Rule> = {
  r: ignored, // read where it is used
  lora_alpha: ignored,
  lora_dropout: ignored,
  use_rslora: ignored,
  rank_pattern: ignored,
  alpha_pattern: ignored,
  trainable_token_indices: ignored,
  init_lora_weights: initWeights,
  // Sub-configurations of initialisations: without effect unless init_lora_weights says so.
  loftq_config: ignored,
  eva_config: ignored,
  corda_config: ignored,
  lora_ga_config: ignored,
  use_dora: ignored,
  lora_bias: ignored,
  ensure_weight_tying: ignored, // see replacements.ts
  megatron_core: ignored,
  megatron_config: off('Megatron modules are in none of the supported models'),
  alora_invocation_tokens: ignored, // see activated.ts
  use_qalora: off('QALoRA pools the input of a quantized base'),
  qalora_group_size: ignored,
  layer_replication: off('it repeats layers of the base model'),
  target_parameters: off('it adapts bare parameters (mixture-of-experts weights), not modules'),
  velora_config: absent('VeLoRA is not implemented'),
  monteclora_config: absent('MonteCLoRA samples its weights'),
  use_bdlora: absent('block-diagonal LoRA is not implemented'),
  arrow_config: absent('Arrow routes between adapters per token'),
  kasa_config: absent('KaSA truncates the base weights'),
  enable_lora: off('merged projections of the original LoRA library are not implemented'),
  merge_weights: ignored, // written by peft before 0.3; says when to merge, not what
}

export const lora: Method = {
  peftType: 'LORA',
  config: LORA_CONFIG,
  label: (config) =>
    config.boolean('use_dora') ? 'dora' : isActivated(config) ? 'alora' : config.boolean('use_rslora') ? 'rslora' : 'lora',
  parameters: ['lora_A', 'lora_embedding_A'],
  sites: ['linear', 'head', 'embedding'],
  prepare({ config, base, tensors: file }) {
    const dora = config.boolean('use_dora')
    const withBias = config.boolean('lora_bias')
    if (dora && withBias)
      throw new AdapterError('adapter_option_unsupported', `${config.file}: use_dora with lora_bias is not defined by PEFT`)
    return (tensors) => {
      const { site } = tensors
      const factors = factorsOf(tensors, config)
      if (dora) {
        const magnitude = tensors.take('lora_magnitude_vector', [site.outFeatures]).data
        if (file.unread) return doraUnread(site, factors, magnitude)
        return site.kind === 'embedding'
          ? doraEmbedding(site, factors, magnitude, base)
          : doraLinear(site, factors, magnitude, base)
      }
      const fold: Fold = smallerOf(site, factors)
      if (withBias && site.kind !== 'embedding') {
        fold.bias = tensors.take('lora_B.bias', [site.outFeatures]).data.map((value) => value * factors.scale)
      }
      return fold
    }
  },
}

function factorsOf(tensors: SiteTensors, config: ConfigReader): FileFactors {
  const { kind, inFeatures, outFeatures } = tensors.site
  const [nameA, nameB] = kind === 'embedding' ? ['lora_embedding_A', 'lora_embedding_B'] : ['lora_A', 'lora_B']
  const { shape, matrix: a } = tensors.matrix(nameA, [null, inFeatures])
  const [rank] = shape
  const { matrix: b } = tensors.matrix(nameB, [outFeatures, rank])
  return { rank, a, b: { ...b, transposed: true }, scale: scaleOf(tensors, config, rank) }
}

function scaleOf(tensors: SiteTensors, config: ConfigReader, rank: number): number {
  const module = tensors.site.module
  requireRank(config, rank, module)
  const alpha = config.perModule('lora_alpha', 8, 'alpha_pattern', module)
  return alpha / (config.boolean('use_rslora') ? Math.sqrt(rank) : rank)
}

/** The scale divides by the rank, so a rank that the config does not say (a pruned or merged adapter) leaves the scale in doubt. */
export function requireRank(config: ConfigReader, rank: number, module: string, otherwise = 8): void {
  const expected = config.perModule('r', otherwise, 'rank_pattern', module)
  if (rank === expected && rank > 0) return
  throw new AdapterError(
    'adapter_tensor_invalid',
    `${module}: the tensors have rank ${rank}, but ${config.file} says ${expected} (r, rank_pattern); the scale would be wrong`,
  )
}
