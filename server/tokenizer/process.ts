/** Does jobs over requests' texts in a process of its own: server/tokenizer/process-pool.ts starts it and ends it. With a model folder as argument it can tokenize. */
import { TemplateError } from '../errors.ts'
import { ModelChatTemplate } from './chat-template.ts'
import { type Answer, type Job, MOST_RENDERED, type Order } from './process-jobs.ts'
import { ModelTokenizer } from './tokenizer.ts'
import { cutOff } from './watchdog.ts'

const [folder] = process.argv.slice(2)
const tokenizer = folder === undefined ? undefined : ModelTokenizer.load(folder)
/** The template of the last job: mostly the next one's too. */
let template: { source: string; compiled: ModelChatTemplate } | undefined

process.on('message', ({ job, milliseconds }: Order) => process.send?.(attempt(job, milliseconds)))
process.on('disconnect', () => process.exit())
// Ctrl-C reaches the whole group; the server drains, and may have texts to read until it has.
process.on('SIGINT', () => {})
process.send?.('ready')

/** Milliseconds beyond a job's own, at whose end the server ends this process. */
const ORPHANED = 1000

/** A server that was killed ends nothing: a template that loops would go on for ever. */
function attempt(job: Job, milliseconds: number): Answer {
  try {
    const work = (): Answer => (job.kind === 'encode' ? { ids: encode(job.texts, job.addSpecialTokens) } : { text: render(job) })
    const done = cutOff(milliseconds + ORPHANED, work)
    return done ? done.value : process.exit()
  } catch (error) {
    return { error: (error as Error).message, template: error instanceof TemplateError }
  }
}

function encode(texts: readonly string[], addSpecialTokens: boolean): Int32Array[] {
  if (!tokenizer) throw new Error('this process was started without a tokenizer')
  return texts.map((text) => Int32Array.from(tokenizer.encode(text, { addSpecialTokens })))
}

function render({ source, tokens, messages, options }: Extract<Job, { kind: 'render' }>): string {
  if (template?.source !== source) template = { source, compiled: new ModelChatTemplate(source, tokens) }
  const text = template.compiled.render(messages, options)
  if (text.length <= MOST_RENDERED) return text
  throw new TemplateError(`the chat template made more than ${MOST_RENDERED} characters`)
}
