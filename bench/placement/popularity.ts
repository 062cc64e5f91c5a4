/** Which adapter a request names: drawn by popularity, or in a recorded order. */
import { readFileSync } from 'node:fs'

/**
 * How recorded requests spread: the part of all that the most popular N have. Of Alibaba's GenTD26 (github.com/alibaba/clusterdata, cluster-trace-v2026-GenAI/lora_request_trace.csv of 2026-04-27, for research and study): 26,823 requests for
 * images in 23 days by 4,247 users on 86 models. It names no LoRA, only how many; what stands for an adapter here is a user's own use of a model, of which there are 8,300.
 */
const RECORDED: readonly [rank: number, share: number][] = [
  [1, 0.0256],
  [3, 0.0504],
  [10, 0.1108],
  [30, 0.18],
  [100, 0.2742],
  [300, 0.3872],
  [1000, 0.5563],
  [3000, 0.7673],
  [3941, 0.8375],
  [8300, 1],
]
/** From here on everybody asked once. */
const SINGLE = 3941

/** Each adapter's part of the requests, the most popular first; they sum to 1. */
export type Popularity = Float64Array

/** The recorded curve over so many adapters: between its points as one over the rank, where all asked once alike. Adapters beyond the 8,300 are asked for by nobody. */
export function recorded(adapters: number): Popularity {
  const weights = new Float64Array(adapters)
  let [from, before] = [0, 0]
  for (const [rank, share] of RECORDED) {
    const weightOf = (i: number) => (from >= SINGLE ? 1 : 1 / (i + 1))
    let sum = 0
    for (let i = from; i < rank; i++) sum += weightOf(i)
    for (let i = from; i < Math.min(rank, adapters); i++) weights[i] = ((share - before) * weightOf(i)) / sum
    ;[from, before] = [rank, share]
  }
  return normalized(weights)
}

/** S-LoRA's synthetic popularity (MLSys 2024, 7.1), the adapter being `floor(n × u^(1/alpha))`: 1 is uniform, 0.1 very skewed. */
export function powerLaw(adapters: number, alpha: number): Popularity {
  return Float64Array.from({ length: adapters }, (_, i) => ((i + 1) / adapters) ** alpha - (i / adapters) ** alpha)
}

/** `recorded`, `uniform` or `slora:ALPHA`. Throws for any other. */
export function popularityNamed(name: string, adapters: number): Popularity {
  if (name === 'recorded') return recorded(adapters)
  if (name === 'uniform') return powerLaw(adapters, 1)
  const alpha = Number(/^slora:([\d.]+)$/.exec(name)?.[1])
  if (!(alpha > 0)) throw new Error(`popularity ${name}: recorded, uniform or slora:ALPHA, such as slora:0.3`)
  return powerLaw(adapters, alpha)
}

function normalized(weights: Float64Array): Popularity {
  const sum = weights.reduce((a, b) => a + b, 0)
  return weights.map((weight) => weight / sum)
}

/** Draws ranks by popularity. */
export function sampler(popularity: Popularity, random: () => number): () => number {
  const upTo = new Float64Array(popularity.length)
  let sum = 0
  for (let i = 0; i < popularity.length; i++) upTo[i] = sum += popularity[i]
  return () => {
    const u = random() * sum
    let [low, high] = [0, upTo.length - 1]
    while (low < high) {
      const middle = (low + high) >> 1
      if (upTo[middle] > u) high = middle
      else low = middle + 1
    }
    return low
  }
}

/** The adapters of GenTD26's requests in their order: users' uses of models, numbered as they first come. `file`: lora_request_trace.csv. */
export function recordedOrder(file: string): number[] {
  const [head, ...lines] = readFileSync(file, 'utf8').trim().split('\n')
  const columns = head.split(',')
  const [group, model] = ['groupId', 'checkpoint_model_version_id'].map((name) => columns.indexOf(name))
  if (group < 0 || model < 0) throw new Error(`${file}: no columns groupId and checkpoint_model_version_id`)
  const numbers = new Map<string, number>()
  return lines.map((line) => {
    const fields = line.split(',')
    const key = `${fields[group]} ${fields[model]}`
    const number = numbers.get(key) ?? numbers.size
    numbers.set(key, number)
    return number
  })
}
