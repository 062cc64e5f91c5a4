/** What is asked, of whom and when: drawn from the seed before the first request goes. */
import type { BenchOptions } from './options.ts'
import { gamma, ranked, seeded } from './random.ts'
import { WORDS } from './server-facts.ts'

export interface Ask {
  model: string
  /** Token ids, or text where the server's tokenizer is not known. */
  prompt: number[] | string
  promptTokens: number
  outputTokens: number
  /** Milliseconds after the start at which it is due. */
  at: number
}

/** `models`: what requests name, the most popular first. `tokens`: what prompts are made of; words where it is not known. */
export function workload(options: BenchOptions, models: readonly string[], tokens: readonly number[] | undefined): Ask[] {
  const { prompts, inputLen, outputLen, rangeRatio, assignment, skew, seed } = options
  const random = seeded(seed)
  const draw = ranked(models.length, skew, random)
  const words = WORDS.split(' ')
  const around = (length: number) => {
    const [least, most] = [Math.max(1, Math.floor(length * (1 - rangeRatio))), Math.ceil(length * (1 + rangeRatio))]
    return least + Math.floor(random() * (most - least + 1))
  }
  const any = <T>(list: readonly T[]) => list[Math.floor(random() * list.length)]
  const due = arrivals(options, random)
  return Array.from({ length: prompts }, (_, i) => {
    const promptTokens = around(inputLen)
    const prompt = tokens
      ? Array.from({ length: promptTokens }, () => any(tokens))
      : Array.from({ length: promptTokens }, () => any(words)).join(' ')
    return {
      model: models[assignment === 'round-robin' ? i % models.length : draw()],
      prompt,
      promptTokens,
      outputTokens: around(outputLen),
      at: due[i],
    }
  })
}

/** As vLLM's client: gamma-distributed times between requests, stretched so that all go in prompts / rate seconds. Milliseconds. */
function arrivals({ prompts, rate, burstiness }: BenchOptions, random: () => number): Float64Array {
  const due = new Float64Array(prompts)
  if (rate === Number.POSITIVE_INFINITY) return due
  let at = 0
  for (let i = 0; i < prompts; i++) {
    at += gamma(burstiness, random)
    due[i] = at
  }
  const stretch = ((prompts / rate) * 1000) / at
  return due.map((time) => time * stretch)
}
