/** Packs the rows' sampling parameters into native/types.ts's struct of arrays. */
import type { SamplingBatch } from '../../native/types.ts'
import type { LogitsRow } from './rows.ts'

/** Added to a logit, it can never be sampled. */
const BAN = Number.NEGATIVE_INFINITY

export function packSampling(rows: LogitsRow[]): SamplingBatch {
  const n = rows.length
  const history: number[] = []
  const biasTokens: number[] = []
  const biasValues: number[] = []
  const allowed: number[] = []
  const batch: SamplingBatch = {
    temperature: new Float32Array(n),
    topP: new Float32Array(n).fill(1),
    topK: new Int32Array(n),
    minP: new Float32Array(n),
    seed: new BigUint64Array(n),
    position: new Int32Array(n),
    presencePenalty: new Float32Array(n),
    frequencyPenalty: new Float32Array(n),
    repetitionPenalty: new Float32Array(n).fill(1),
    historyStarts: new Int32Array(n + 1),
    history: EMPTY,
    historyPrompt: new Int32Array(n),
    biasStarts: new Int32Array(n + 1),
    biasTokens: EMPTY,
    biasValues: NO_VALUES,
    allowedStarts: new Int32Array(n + 1),
    allowedTokens: EMPTY,
    logprobs: new Int32Array(n),
    target: new Int32Array(n),
  }
  for (let r = 0; r < n; r++) {
    const { sequence, target } = rows[r]
    const params = sequence.request.sampling
    batch.target[r] = target
    if (target >= 0) {
      batch.logprobs[r] = params.promptLogprobs
    } else {
      batch.temperature[r] = params.temperature
      batch.topP[r] = params.topP
      batch.topK[r] = params.topK
      batch.minP[r] = params.minP
      batch.seed[r] = sequence.seed
      batch.position[r] = sequence.outputLength
      batch.logprobs[r] = params.logprobs
      if (params.presencePenalty || params.frequencyPenalty || params.repetitionPenalty !== 1) {
        batch.presencePenalty[r] = params.presencePenalty
        batch.frequencyPenalty[r] = params.frequencyPenalty
        batch.repetitionPenalty[r] = params.repetitionPenalty
        for (const token of sequence.tokens) history.push(token)
        batch.historyPrompt[r] = sequence.promptLength
      }
      for (const [token, bias] of params.logitBias) {
        biasTokens.push(token)
        biasValues.push(bias)
      }
      if (sequence.outputLength < params.minTokens)
        for (const token of new Set([...params.stopTokenIds, ...params.eosTokenIds])) {
          biasTokens.push(token)
          biasValues.push(BAN)
        }
      if (params.allowedTokenIds) for (const token of params.allowedTokenIds) allowed.push(token)
    }
    batch.historyStarts[r + 1] = history.length
    batch.biasStarts[r + 1] = biasTokens.length
    batch.allowedStarts[r + 1] = allowed.length
  }
  batch.history = Int32Array.from(history)
  batch.biasTokens = Int32Array.from(biasTokens)
  batch.biasValues = Float32Array.from(biasValues)
  batch.allowedTokens = Int32Array.from(allowed)
  return batch
}

const EMPTY = new Int32Array(0)
const NO_VALUES = new Float32Array(0)
