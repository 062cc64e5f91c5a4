/** Runs templates that requests bring, in a process of its own: server/tokenizer/given-template.ts starts it and says why. */
import { runInNewContext } from 'node:vm'
import { TemplateError } from '../errors.ts'
import { ModelChatTemplate } from './chat-template.ts'
import { type GivenTemplate, LIMITS, type Rendered } from './given-template.ts'

process.on('message', ({ source, tokens, messages, options }: GivenTemplate) => {
  const render = () => new ModelChatTemplate(source, tokens).render(messages, options)
  process.send?.(attempt(render))
})
process.on('disconnect', () => process.exit())
// Ctrl-C reaches the whole group; the server drains, and may have templates to render until it has.
process.on('SIGINT', () => {})

function attempt(render: () => string): Rendered {
  try {
    const text = runInNewContext('render()', { render }, { timeout: LIMITS.milliseconds }) as string
    if (text.length <= LIMITS.characters) return { text }
    return { error: `the request's chat template made more than ${LIMITS.characters} characters` }
  } catch (error) {
    if (error instanceof TemplateError) return { error: error.message }
    if ((error as NodeJS.ErrnoException).code === 'ERR_SCRIPT_EXECUTION_TIMEOUT')
      return { error: `the request's chat template took more than ${LIMITS.milliseconds} ms` }
    return { error: `the request's chat template failed: ${(error as Error).message}` }
  }
}
