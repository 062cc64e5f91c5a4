/**
 * An adapter's own classifier: `score` (or `classifier`), which PEFT saves whole for SEQ_CLS (peft 0.21, peft_model.py, PeftModelForSequenceClassification). It is no site of the graph:
 * it takes one hidden state of a request, and lies beside the image.
 */
import { AdapterError } from './errors.ts'
import type { FoldContext } from './tensors.ts'
import type { AdapterImage, ClassifierHead } from './types.ts'

/** More would keep the main thread, which multiplies with it, for too long: 40 ms with 4,096 inputs each. */
export const MOST_LABELS = 10_000

/** What an adapter was trained for, and its classifier. Throws AdapterError. */
export function classifierOf({ config, tensors, base }: FoldContext): Pick<AdapterImage, 'task' | 'head'> {
  const { head } = tensors
  const task = config.values.task_type
  if (head.size === 0) {
    const hasOne = Object.hasOwn(base.model.tensors, 'score.weight')
    if (task === 'SEQ_CLS' && !hasOne)
      throw tensors.invalid(
        'it lacks score.weight, the classifier of a SEQ_CLS adapter, which PEFT saves with modules_to_save, and the base model has none either',
      )
    return task === 'SEQ_CLS' || task === 'FEATURE_EXTRACTION' ? { task } : {}
  }
  if (task === 'CAUSAL_LM' || task === 'FEATURE_EXTRACTION')
    throw new AdapterError(
      'adapter_config_invalid',
      `${config.file}: task_type is ${task}, but ${tensors.file} holds a classifier (${[...head.values()].join(', ')}); SEQ_CLS is expected`,
    )
  return { task: 'SEQ_CLS', head: read(tensors, base.model.hiddenSize) }
}

function read(tensors: FoldContext['tensors'], hidden: number): ClassifierHead {
  const key = tensors.head.get('weight')
  if (key === undefined) throw tensors.invalid('it has the bias of a classifier and not its weight (score.weight)')
  const weight = tensors.decode(key, tensors.take(key, [null, hidden], 'score'))
  const [labels] = weight.shape
  if (labels < 1 || labels > MOST_LABELS)
    throw tensors.invalid(`${key} has ${labels} labels; a classifier of 1 to ${MOST_LABELS} is served`)
  const biasKey = tensors.head.get('bias')
  const bias = biasKey === undefined ? undefined : tensors.decode(biasKey, tensors.take(biasKey, [labels], 'score')).data
  const values = new SharedArrayBuffer((labels * hidden + (bias ? labels : 0)) * 4)
  const floats = new Float32Array(values)
  floats.set(weight.data)
  if (bias) floats.set(bias, labels * hidden)
  return { labels, values, biased: bias !== undefined }
}
