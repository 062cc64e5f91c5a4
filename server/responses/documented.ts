/** The parts of a response's body as the API document has them: what items.ts and request.ts check beside the schema. */
import { PARAMETERS } from '../openai/schemas.ts'
import { anyOf, anything, documentedAs, list, object, oneOf, only, orNull, type Schema, text } from '../openapi/describe.ts'

const PART = anyOf(
  object({ type: oneOf('input_text', 'output_text', 'text', 'summary_text', 'reasoning_text'), text }),
  object({ type: only('refusal'), refusal: text }),
)
const said = anyOf(text, list(PART))
const id = { 'id?': text }

const ITEM: Schema = anyOf(
  object({ ...id, 'type?': only('message'), role: oneOf('user', 'assistant', 'system', 'developer'), content: said }),
  object({ ...id, type: only('function_call'), call_id: text, name: text, arguments: text }),
  object({ ...id, type: only('function_call_output'), call_id: text, output: said }),
  object({ ...id, type: only('reasoning'), 'summary?': orNull(said), 'content?': orNull(said) }),
  object({ id: text, type: only('item_reference') }),
)

const items = { type: 'array', maxItems: 2048, items: { type: 'object' } }
export const INPUT_ITEMS = documentedAs(items, { ...items, minItems: 1, items: ITEM })

export const DOCUMENTED_FORMAT = anyOf(
  object({ type: oneOf('text', 'json_object') }),
  object({ type: only('json_schema'), name: text, schema: anything }),
  { type: 'null' },
)

const name = { type: 'string', pattern: '^[a-zA-Z0-9_-]{1,64}$' }
export const DOCUMENTED_TOOL = object({ type: only('function'), name, 'parameters?': orNull(PARAMETERS) })

export const DOCUMENTED_CHOICE = anyOf(
  oneOf('none', 'auto', 'required', null),
  object({ type: only('function'), name }),
  object({
    type: only('allowed_tools'),
    'mode?': oneOf('auto', 'required'),
    tools: list(object({ type: only('function'), name })),
  }),
)

/** There must be something to answer. */
export const SOMETHING: Schema[] = [
  { required: ['input'], properties: { input: anyOf(text, INPUT_ITEMS) } },
  { required: ['instructions'], properties: { instructions: { type: 'string', minLength: 1 } } },
  { required: ['previous_response_id'], properties: { previous_response_id: text } },
]
