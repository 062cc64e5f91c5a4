/** A classifier's logits and what they mean. */
import type { ClassifierHead } from '../../adapters-store/index.ts'

/** `score` of transformers' …ForSequenceClassification. Shape: hidden [hidden]; returns [labels]. */
export function logitsOf({ labels, values, biased }: ClassifierHead, hidden: Float32Array): Float32Array {
  const floats = new Float32Array(values)
  const width = hidden.length
  const logits = new Float32Array(labels)
  for (let label = 0; label < labels; label++) {
    let sum = biased ? floats[labels * width + label] : 0
    for (let i = 0, at = label * width; i < width; i++, at++) sum += floats[at] * hidden[i]
    logits[label] = sum
  }
  return logits
}

const sigmoid = (x: number) => 1 / (1 + Math.exp(-x))

/** As vLLM has it (get_classification_activation_function): by problem_type; without one the softmax of several labels, the logistic function of one. */
export function activated(logits: Float32Array, problem: ClassifierHead['problem']): Float32Array {
  if (problem === 'regression') return logits
  if (problem === 'multi_label_classification' || logits.length < 2) return logits.map(sigmoid)
  const most = logits.reduce((a, b) => Math.max(a, b))
  const powers = Float64Array.from(logits, (x) => Math.exp(x - most))
  const sum = powers.reduce((a, b) => a + b)
  return Float32Array.from(powers, (power) => power / sum)
}
