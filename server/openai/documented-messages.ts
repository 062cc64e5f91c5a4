/** Messages as the API document has them: what messages.ts checks beside the schema. */
import { anyOf, list, object, oneOf, only, orNull, type Schema, text } from '../openapi/describe.ts'

const PART: Schema = anyOf(
  object({ type: oneOf('text', 'input_text', 'output_text'), text }),
  object({ type: only('refusal'), refusal: text }),
  object({ type: only('thinking'), thinking: text }),
)

const content = orNull(anyOf(text, list(PART)))

/** An assistant's may have calls in place of content. */
const MESSAGE: Schema = anyOf(
  object({ role: { type: 'string', minLength: 1 }, content }),
  object({ role: only('assistant'), 'content?': content }),
)

export const documentedMessages = (checked: Schema): Schema => ({ ...checked, items: MESSAGE })
