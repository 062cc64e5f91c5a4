/** What sentence-transformers puts before texts: the model's prompts by name. */
import { ApiError } from '../errors.ts'
import { nearest } from '../nearest.ts'
import { type Body, given, shown } from '../openai/parameters.ts'
import type { EmbeddingPlan } from './folder.ts'

/** Of the name that the request gives, or the model's default one where it gives texts and no name; '' where there is none. Throws ApiError. */
export function promptOf(body: Body, { prompts, defaultPrompt, pooling, poolsPrompt }: EmbeddingPlan): string {
  const asked = given<string | undefined>(body, 'prompt_name', undefined)
  const name = asked ?? (isText(body.input) ? defaultPrompt : undefined)
  if (name === undefined) return ''
  if (body.messages !== undefined)
    throw new ApiError(
      'invalid_request',
      'prompt_name goes with input; what stands before messages is their template',
      'prompt_name',
    )
  const prompt = prompts.get(name)
  if (prompt === undefined) {
    const [near] = nearest(name, [...prompts.keys()], 1)
    const known =
      prompts.size === 0 ? 'this model has no prompts' : near ? `did you mean ${near}?` : `there are ${listed(prompts)}`
    throw new ApiError('invalid_request', `prompt_name: there is no prompt ${shown(name)}; ${known}`, 'prompt_name')
  }
  if (prompt !== '' && pooling === 'mean' && !poolsPrompt)
    throw new ApiError(
      'unsupported_parameter',
      "this model's mean leaves out its prompts' tokens (include_prompt: false in 1_Pooling/config.json), which is not supported; send token ids, or texts with the prompts before them and prompt_name absent",
      'prompt_name',
    )
  return prompt
}

const isText = (input: unknown) => typeof input === 'string' || typeof (input as unknown[] | undefined)?.[0] === 'string'

const listed = (prompts: ReadonlyMap<string, string>) => [...prompts.keys()].slice(0, 16).map(shown).join(', ')
