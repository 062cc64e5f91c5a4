/**
 * Does jobs over requests' texts in a process of its own: server/tokenizer/process-pool.ts starts it and ends it.
 * With a model folder as argument it can tokenize; with a second one it can be taught tokenizers of adapters of that model.
 */
import { TemplateError } from '../errors.ts'
import { ModelChatTemplate } from './chat-template.ts'
import { type Answer, type Job, MOST_RENDERED, type Order } from './process-jobs.ts'
import { TaughtTokenizers } from './taught-tokenizers.ts'
import { ModelTokenizer } from './tokenizer.ts'
import { cutOff } from './watchdog.ts'

const [folder, base] = process.argv.slice(2)
const tokenizer = folder ? ModelTokenizer.load(folder) : undefined
const taught = base ? new TaughtTokenizers(base) : undefined
/** The template of the last job, with its tokens: mostly the next one's too. */
let template: { key: string; compiled: ModelChatTemplate } | undefined

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
    const done = cutOff(milliseconds + ORPHANED, () => answerTo(job))
    return done ? done.value : process.exit()
  } catch (error) {
    return { error: (error as Error).message, template: error instanceof TemplateError }
  }
}

function answerTo(job: Job): Answer {
  if (job.kind === 'render') return { text: render(job) }
  if (job.kind === 'learn') {
    for (const source of job.templates) new ModelChatTemplate(source, job.tokens)
    return { spellings: job.definition && taught?.learn(job) }
  }
  const { addSpecialTokens } = job
  const own = job.tokenizer === undefined ? tokenizer : taught?.get(job.tokenizer)
  if (own) return { ids: job.texts.map((text) => Int32Array.from(own.encode(text, { addSpecialTokens }))) }
  if (job.tokenizer !== undefined && taught) return { unknown: job.tokenizer }
  throw new Error('this process was started without a tokenizer')
}

function render({ source, tokens, messages, options }: Extract<Job, { kind: 'render' }>): string {
  // Adapters may have the same template, and other special tokens in it.
  const key = JSON.stringify([source, tokens])
  if (template?.key !== key) template = { key, compiled: new ModelChatTemplate(source, tokens) }
  const text = template.compiled.render(messages, options)
  if (text.length <= MOST_RENDERED) return text
  throw new TemplateError(`the chat template made more than ${MOST_RENDERED} characters`)
}
