/** sentence-transformers' Dense module: a linear layer over the pooled vector, and a function of each element. */
import { existsSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { readSafetensorsHeader } from '../../adapters-store/index.ts'
import { Weights } from '../../runtime/model/weights.ts'

export interface Dense {
  inputs: number
  outputs: number
  /** Shape: [outputs, inputs]. */
  weight: Float32Array
  /** Shape: [outputs]. */
  bias?: Float32Array
  activation: (x: number) => number
}

/** By the last word of `activation_function`, which names a class of torch. */
const ACTIVATIONS: Record<string, (x: number) => number> = {
  Identity: (x) => x,
  Tanh: Math.tanh,
  ReLU: (x) => (x < 0 ? 0 : x),
  Sigmoid: (x) => 1 / (1 + Math.exp(-x)),
  SiLU: (x) => x / (1 + Math.exp(-x)),
}

/** Elements of a weight that the main thread multiplies with beside its other work: some 15 ms a text. */
const MOST_ELEMENTS = 1 << 24

const WEIGHTS = 'model.safetensors'

/** What a folder of the model holds. Throws with what is wrong with it. */
export function readDense(folder: string, width: number): Dense {
  const config = JSON.parse(readFileSync(path.join(folder, 'config.json'), 'utf8')) as Record<string, unknown>
  const { in_features: inputs, out_features: outputs, bias: biased = true } = config
  if (!isWidth(inputs) || !isWidth(outputs)) throw new Error('in_features and out_features must be integers above 0')
  if (inputs !== width) throw new Error(`in_features is ${inputs}, and the vectors before it have ${width} elements`)
  if (inputs * outputs > MOST_ELEMENTS)
    throw new Error(`its weight has ${inputs * outputs} elements; at most ${MOST_ELEMENTS} are served`)
  for (const [key, usual] of Object.entries(PLACES))
    if ((config[key] ?? usual) !== usual) throw new Error(`${key} is ${JSON.stringify(config[key])}; only ${usual} is served`)
  const name = String(config.activation_function ?? 'torch.nn.modules.activation.Tanh')
    .split('.')
    .at(-1) as string
  if (!Object.hasOwn(ACTIVATIONS, name))
    throw new Error(`its activation ${name.slice(0, 64)} is not served; ${Object.keys(ACTIVATIONS).join(', ')} are`)
  const file = path.join(folder, WEIGHTS)
  if (!existsSync(file)) throw new Error(`it has no ${WEIGHTS}; a pytorch_model.bin is a pickle, which is not read: convert it`)
  const weights = new Weights(Object.fromEntries(readSafetensorsHeader(file)))
  const weight = weights.read('linear.weight', [outputs, inputs])
  const bias = biased ? weights.read('linear.bias', [outputs]) : undefined
  return { inputs, outputs, weight, bias, activation: ACTIVATIONS[name] }
}

/** What newer versions may say: where the module reads and writes. */
const PLACES = { module_input_name: 'sentence_embedding', module_output_name: 'sentence_embedding' }

const isWidth = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) > 0

/** Shape: vector [inputs]; returns [outputs]. */
export function densely({ inputs, outputs, weight, bias, activation }: Dense, vector: Float32Array): Float32Array {
  const found = new Float32Array(outputs)
  for (let row = 0, at = 0; row < outputs; row++) {
    let sum = bias?.[row] ?? 0
    for (let i = 0; i < inputs; i++) sum += weight[at++] * vector[i]
    found[row] = activation(sum)
  }
  return found
}
