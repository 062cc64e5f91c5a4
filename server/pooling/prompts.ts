/** From the texts and ids of a body to prompts, each with its place in the body. */
import { leaving } from '../client-left.ts'
import { ApiError } from '../errors.ts'
import { conversationOf } from '../openai/messages.ts'
import { type Body, given } from '../openai/parameters.ts'
import { checkTokens } from '../openai/sampling.ts'
import { CONVERSATION } from '../openai/schemas.ts'
import type { Serving, TokenIds } from '../types.ts'
import type { Asked } from './answer.ts'
import type { PooledPrompt } from './run.ts'

export type Input = string | number[]

/** A text, texts, ids, or lists of ids. */
export function inputList(input: unknown): Input[] {
  if (typeof input === 'string') return [input]
  const list = input as number[] | Input[]
  return typeof list[0] === 'number' ? [list as number[]] : (list as Input[])
}

/** `input.3`, or `input` where it is one alone. */
export const fieldOf = (name: string, whole: unknown, index: number) =>
  typeof whole === 'string' || typeof (whole as unknown[])[0] === 'number' ? name : `${name}.${index}`

/** How texts are read. */
export interface Reading {
  addSpecialTokens: boolean
  /** Tokens that are kept of each; undefined: all, and too many are refused. */
  most: number | undefined
  /** The last ones are kept instead of the first. */
  fromLeft: boolean
}

export function readingOf(body: Body, { model }: Serving): Reading {
  const asked = given<number | undefined>(body, 'truncate_prompt_tokens', undefined)
  if (asked === 0)
    throw new ApiError('invalid_request', 'truncate_prompt_tokens must be 1 or more, or -1', 'truncate_prompt_tokens')
  if (asked !== undefined && asked > model.maxModelLen)
    throw new ApiError(
      'invalid_request',
      `truncate_prompt_tokens is ${asked}; this model's context holds ${model.maxModelLen} (-1 stands for that)`,
      'truncate_prompt_tokens',
    )
  return {
    addSpecialTokens: given<boolean>(body, 'add_special_tokens', true),
    most: asked === -1 ? model.maxModelLen : asked,
    fromLeft: body.truncation_side === 'left',
  }
}

/** What is kept of ids that no special tokens stand around. */
export const cutIds = <T extends TokenIds>(ids: T, { most, fromLeft }: Pick<Reading, 'most' | 'fromLeft'>): TokenIds =>
  most === undefined || ids.length <= most ? ids : fromLeft ? ids.slice(-most) : ids.slice(0, most)

/** What a body's `input` or `messages` are as prompts. `before`: put before each text. Throws ApiError that names the field. */
export async function bodyPrompts({ body, adapter: { serving }, reply }: Asked, before = ''): Promise<PooledPrompt[]> {
  if ((body.input === undefined) === (body.messages === undefined))
    throw new ApiError('invalid_request', 'you must provide either input or messages', 'input')
  const reading = readingOf(body, serving)
  if (body.messages !== undefined) return [await conversationPrompt(body, serving, reading, leaving(reply))]
  const only = Object.keys(CONVERSATION).find((field) => body[field] != null)
  if (only !== undefined) throw new ApiError('invalid_request', `${only} goes with messages, and there is input`, only)
  const inputs = inputList(body.input)
  const bare = before !== '' && inputs.some((one) => typeof one !== 'string')
  if (bare) throw new ApiError('invalid_request', 'a prompt is put before texts, and input holds token ids', 'prompt_name')
  const texts = before === '' ? inputs : inputs.map((one) => before + one)
  return promptsOf(serving, texts, (i) => fieldOf('input', body.input, i), reading, leaving(reply))
}

/** Of a conversation, as its template renders it; vLLM's defaults, which are not those of a chat that is answered. */
async function conversationPrompt(body: Body, serving: Serving, reading: Reading, left: AbortSignal): Promise<PooledPrompt> {
  const { options, ...rest } = conversationOf(body, serving.limits)
  const conversation = { ...rest, options: { ...options, addGenerationPrompt: given(body, 'add_generation_prompt', false) } }
  const encoding = { addSpecialTokens: given(body, 'add_special_tokens', false), param: 'messages' }
  return checked(cutIds(await serving.prompts.encodeConversation(conversation, encoding, left), reading), 'messages', serving)
}

/** Each input as a prompt. `field` says where the i-th stands. Throws ApiError that names it. */
export async function promptsOf(
  serving: Serving,
  inputs: readonly Input[],
  field: (index: number) => string,
  reading: Reading,
  left: AbortSignal,
): Promise<PooledPrompt[]> {
  const places = inputs.flatMap((one, i) => (typeof one === 'string' ? [i] : []))
  const texts = places.map((i) => inputs[i] as string)
  const encoded = await encode(serving, texts, (i) => field(places[i]), reading, left)
  let next = 0
  return inputs.map((one, i) => {
    const name = field(i)
    if (typeof one !== 'string') checkTokens(one, name, serving.vocabSize)
    return checked(typeof one === 'string' ? encoded[next++] : cutIds(one, reading), name, serving)
  })
}

/** The prompt, if it can be one. */
export function checked(ids: TokenIds, field: string, { model }: Serving): PooledPrompt {
  if (ids.length === 0) throw new ApiError('invalid_request', `${field} must hold at least one token`, field)
  if (ids.length > model.maxModelLen)
    throw new ApiError(
      'context_length_exceeded',
      `This model's maximum context length is ${model.maxModelLen} tokens. However, ${field} holds ${ids.length}; truncate_prompt_tokens cuts it.`,
      field,
    )
  return { ids, field }
}

/** Cut to `most` tokens as transformers cuts: of the text's own, while special tokens around them stay. */
async function encode(
  { prompts }: Serving,
  texts: readonly string[],
  paramOf: (index: number) => string,
  reading: Reading,
  left: AbortSignal,
): Promise<TokenIds[]> {
  const { addSpecialTokens, most } = reading
  const options = { param: 'input', paramOf, addSpecialTokens }
  const whole = await prompts.encode(texts, options, left)
  if (most === undefined) return whole
  const long = whole.flatMap((ids, i) => (ids.length > most ? [i] : []))
  if (!addSpecialTokens) return whole.map((ids) => cutIds(ids, reading))
  const bare = await prompts.encode(
    long.map((i) => texts[i]),
    { ...options, paramOf: (i) => paramOf(long[i]), addSpecialTokens: false },
    left,
  )
  const cut = [...whole]
  for (const [k, i] of long.entries()) cut[i] = cutInside(whole[i], bare[k], most, reading.fromLeft)
  return cut
}

/** `bare` is what stands in `whole` between special tokens. */
function cutInside(whole: TokenIds, bare: TokenIds, most: number, fromLeft: boolean): TokenIds {
  const around = whole.length - bare.length
  for (let before = 0; before <= around; before++) {
    if (!bare.every((id, i) => whole[before + i] === id)) continue
    const kept = Math.max(0, most - around)
    const own = kept === 0 ? [] : cutIds(bare, { most: kept, fromLeft })
    const ids = [...whole.slice(0, before), ...own, ...whole.slice(before + bare.length)]
    return cutIds(ids, { most, fromLeft })
  }
  return cutIds(whole, { most, fromLeft })
}
