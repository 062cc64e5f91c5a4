/** vLLM's `token_embed` and `token_classify`: a row for each token of each input. */
import { ApiError } from '../errors.ts'
import { SlicedArray } from '../json.ts'
import { type Asked, writtenList } from './answer.ts'
import { bodyPrompts } from './prompts.ts'
import { poolPrompts, usageOf } from './run.ts'
import { written } from './vectors.ts'

/** Numbers that a request's hidden states, or its answer, may be: 64 MiB of them. */
const MOST_VALUES = 1 << 24
/** Rows that are made at a time. */
const ROWS = 16

/** `row`: what a token's hidden state becomes; `width`: numbers in it, where they may be more than the hidden state's. */
export async function tokenRows(asked: Asked, row: (hidden: Float32Array) => Float32Array, width = 0): Promise<object> {
  const { request, reply, body, adapter, id } = asked
  const prompts = await bodyPrompts(asked)
  const usage = usageOf(prompts)
  const field = body.messages === undefined ? 'input' : 'messages'
  const { hiddenSize } = adapter.serving.engine.info
  const most = Math.floor(MOST_VALUES / Math.max(hiddenSize, width))
  if (usage.prompt_tokens > most)
    throw new ApiError(
      'invalid_request',
      `${field} holds ${usage.prompt_tokens} tokens; of this model ${body.task} gives the rows of ${most} in one request: send fewer at a time`,
      field,
    )
  const states = await poolPrompts(request, reply, body, adapter, { id, prompts, pooling: 'each', field })
  const data = writtenList(states, (state, index) => ({
    object: 'pooling',
    index,
    data: body.encoding_format === 'base64' ? encoded(state, hiddenSize, row) : new SlicedArray(slices(state, hiddenSize, row)),
  }))
  return { object: 'list', data, usage }
}

/** Shape: states [tokens, hidden]. */
function* slices(states: Float32Array, hidden: number, row: (hidden: Float32Array) => Float32Array) {
  const count = states.length / hidden
  for (let at = 0; at < count; at += ROWS)
    yield Array.from({ length: Math.min(ROWS, count - at) }, (_, i) => Array.from(row(stateAt(states, hidden, at + i))))
}

/** All rows' bytes, one behind the other. */
function encoded(states: Float32Array, hidden: number, row: (hidden: Float32Array) => Float32Array): string {
  const count = states.length / hidden
  const rows = Array.from({ length: count }, (_, i) => row(stateAt(states, hidden, i)))
  const all = new Float32Array(rows.reduce((sum, { length }) => sum + length, 0))
  let at = 0
  for (const one of rows) {
    all.set(one, at)
    at += one.length
  }
  return written(all, 'base64') as string
}

const stateAt = (states: Float32Array, hidden: number, i: number) => states.subarray(i * hidden, (i + 1) * hidden)
