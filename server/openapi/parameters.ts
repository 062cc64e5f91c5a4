/** The headers that requests may bring, as components of the API document. */
import { ADAPTER_HEADER, itemOf, SAGEMAKER_HEADER } from '../adapter-choice.ts'
import { TTFT_HEADER } from '../queue-terms.ts'
import type { Schema } from './describe.ts'

/** What a header's line may hold. */
const VISIBLE = { type: 'string', pattern: '^[!-~]([ -~]*[!-~])?$' }

/** A list of RFC 9651 with the parameters that we know. */
const TOKEN = "[A-Za-z*][A-Za-z0-9!#$%&'*+.^_`|~:/-]*"
const STRING = '"([ !#-\\[\\]-~]|\\\\["\\\\])*"'
const WITH = '(; ?(w=-?[0-9]{1,6}(\\.[0-9]{1,3})?|rank=[1-9][0-9]{0,5}|digest="[0-9a-f]{8,64}"))*'
const ITEM = `(${TOKEN}|${STRING})${WITH}`
const LIST = { type: 'string', pattern: `^${ITEM}(, ?${ITEM}){0,15}$` }

/** Headers of every request. */
export const OF_ALL: readonly string[] = ['x-request-id']

/** `base`: the name of the base model, which is there whatever else is. */
export function headerParameters(base: string): Record<string, Schema> {
  const header = (name: string, description: string, schema: Schema) => ({
    name,
    in: 'header',
    required: false,
    description,
    schema,
  })
  const all = [
    header('x-request-id', 'What the request is called in the log and in its answer; a UUID of ours where there is none.', {
      ...VISIBLE,
      maxLength: 128,
    }),
    header(
      ADAPTER_HEADER,
      'The adapters that are to serve it: an RFC 9651 list of names, `pirate` or `formal;w=0.7, "my adapter";w=-0.4`, with the weight `w`, `rank` (how many of its ranks) and `digest` (the version). ' +
        'It goes before the body.',
      { anyOf: [{ const: itemOf(base) }, LIST] },
    ),
    header(SAGEMAKER_HEADER, 'One adapter by its name; goes before the body, and behind the other header.', {
      anyOf: [{ const: base }, VISIBLE],
    }),
    header(TTFT_HEADER, 'Seconds within which the first token is wanted; who cannot expect it is refused at once (429).', {
      type: 'string',
      pattern: '^[0-9]{1,4}(\\.[0-9]{1,9})?$',
    }),
  ]
  return Object.fromEntries(all.map((one) => [one.name, one]))
}
