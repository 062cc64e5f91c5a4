/** What a checkpoint is for, by the classes that its config names: to generate, to classify, or bare. */
import type { ClassifierHead } from '../../adapters-store/types.ts'
import type { TensorRef } from '../../native/types.ts'
import { type Config, shown } from './config.ts'
import { ModelError } from './errors.ts'
import { Weights } from './weights.ts'

export type Purpose = 'generate' | 'classify' | 'bare'

/** Labels beyond which nobody could multiply with the classifier beside other work (adapters-store/classifier.ts). */
const MOST_LABELS = 10_000

const CLASSES: [RegExp, Purpose][] = [
  [/ForCausalLM$/, 'generate'],
  [/ForSequenceClassification$/, 'classify'],
  // As AutoModel saves it: the layers without a head.
  [/^[A-Za-z0-9]+Model$/, 'bare'],
]

/** Throws ModelError for classes that are none of these; a config that names none is one that generates. */
export function purposeOf(config: Config): Purpose {
  const classes = config.json.architectures ?? []
  if (!Array.isArray(classes)) throw wrong(config, classes)
  if (classes.length === 0) return 'generate'
  for (const [pattern, purpose] of CLASSES) if (classes.some((name) => pattern.test(String(name)))) return purpose
  throw wrong(config, classes)
}

const wrong = (config: Config, classes: unknown) =>
  config.unsupported(
    'architectures',
    `is ${shown(classes)}; only models with a language-model head (…ForCausalLM), a sequence classifier (…ForSequenceClassification) or neither (…Model) are supported`,
  )

/** The tensors under the names that they have in a model with a head: AutoModel saves `layers.0…`, where others say `model.layers.0…`. */
export function namedTensors(tensors: Record<string, TensorRef>, purpose: Purpose): Record<string, TensorRef> {
  if (purpose !== 'bare' || Object.keys(tensors).some((name) => name.startsWith('model.'))) return tensors
  return Object.fromEntries(Object.entries(tensors).map(([name, tensor]) => [`model.${name}`, tensor]))
}

/** The classifier of a …ForSequenceClassification: `score`, as transformers' GenericForSequenceClassification has it. Throws ModelError. */
export function classifierOf(config: Config, tensors: Record<string, TensorRef>, hidden: number): ClassifierHead {
  const shape = tensors['score.weight']?.shape
  if (!shape)
    throw new ModelError(
      'tensor_missing',
      'the checkpoint has no tensor score.weight, the classifier of …ForSequenceClassification',
    )
  const [labels] = shape
  if (labels > MOST_LABELS)
    throw new ModelError('tensor_invalid', `score.weight has ${labels} labels; at most ${MOST_LABELS} are served`)
  const weights = new Weights(tensors)
  const weight = weights.read('score.weight', [labels, hidden])
  const bias = tensors['score.bias'] && weights.read('score.bias', [labels])
  const values = new SharedArrayBuffer((weight.length + (bias?.length ?? 0)) * 4)
  const floats = new Float32Array(values)
  floats.set(weight)
  if (bias) floats.set(bias, weight.length)
  return { labels, values, biased: bias !== undefined, names: labelNames(config, labels), problem: problemOf(config) }
}

function labelNames(config: Config, labels: number): string[] | undefined {
  const names = config.object('id2label')
  if (!names) return undefined
  const list = Array.from({ length: labels }, (_, i) => names[i])
  if (Object.keys(names).length !== labels || list.some((name) => typeof name !== 'string'))
    throw config.invalid('id2label', `an object of ${labels} names, as many as score.weight has rows`)
  return list as string[]
}

const PROBLEMS = ['regression', 'single_label_classification', 'multi_label_classification'] as const

function problemOf(config: Config): ClassifierHead['problem'] {
  if (!config.has('problem_type')) return undefined
  const found = PROBLEMS.find((problem) => problem === config.json.problem_type)
  if (!found) throw config.invalid('problem_type', `null or one of ${PROBLEMS.join(', ')}`)
  return found
}
