/** Reads what requests bring as text: what is short at once, on the main thread, everything else in processes of low priority (docs/decisions/0003). */
import { ApiError, TemplateError } from '../errors.ts'
import type { ChatMessage, Conversation, EncodeOptions, PromptReader, TokenIds } from '../types.ts'
import type { ModelChatTemplate } from './chat-template.ts'
import type { Answer, EncodeJob, RenderJob } from './process-jobs.ts'
import { type Lesson, ProcessPool } from './process-pool.ts'
import { sizeOf } from './size.ts'
import { Overrun } from './text-process.ts'
import type { ModelTokenizer } from './tokenizer.ts'
import { Watchdog } from './watchdog.ts'

/**
 * UTF-16 units up to which the main thread reads a text itself: 1 to 2 ms of tokenizing, about what a trip to a process costs while all cores compute. A conversation of them
 * renders in 0.1 ms.
 */
const SHORT = 4096
/** Units of a request's texts that a process gets at a time, some 50 ms: between two such jobs come those of others. A single text is never cut. */
const BATCH = 1 << 16

/** Megabytes of heap: a text of 16 million characters takes some 700; a template has no business with as much. */
const HEAP = 1024
const GIVEN_HEAP = 192

/** Milliseconds. Own templates and tokenizers get ten times what the slowest takes that we know, since while all cores compute a process of low priority gets a tenth of one. */
const GIVEN_MS = 1000
const OWN_MS = 2000
const OWN_MS_PER_UNIT = 0.06

/** A conversation that every template knows. One that refuses it has not hung. */
const TRIAL: ChatMessage[] = [{ role: 'user', content: 'Hello' }]

/** Processes by whose text they read: what keeps some of them busy keeps only its like waiting. */
interface Pools {
  /** The model's own tokenizer and template. */
  own: ProcessPool
  /** Those of adapters, which may come from anybody who may load some. */
  adapters: ProcessPool
  /** Templates that requests bring, which take a second each at will. */
  given: ProcessPool
}

/** What an adapter has of its own. */
export interface Own {
  /** Its tokenizer; undefined: the model's. */
  tokenizer?: { longestToken: number; lesson: Lesson }
  template: ModelChatTemplate
}

export class ModelPromptReader implements PromptReader {
  private readonly tokenizer: ModelTokenizer
  private readonly template: ModelChatTemplate
  private readonly maxModelLen: number
  private readonly texts = new Watchdog()
  private readonly conversations = new Watchdog()
  /** Whether a process has lived through rendering: the watchdog ends loops and not what is one long operation, which may fill the server's heap as well. */
  private proven = false
  private readonly pools: Pools
  private readonly adapter: Own | undefined

  /** `folder`: where the tokenizer was read; `processes`: how many tokenize. */
  constructor(
    folder: string,
    tokenizer: ModelTokenizer,
    template: ModelChatTemplate,
    { maxModelLen, processes, pools, adapter }: { maxModelLen: number; processes: number; pools?: Pools; adapter?: Own },
  ) {
    this.tokenizer = tokenizer
    this.template = template
    this.maxModelLen = maxModelLen
    this.adapter = adapter
    this.pools = pools ?? {
      own: new ProcessPool(processes, [folder], HEAP),
      adapters: new ProcessPool(processes, ['', folder], HEAP),
      given: new ProcessPool(1, [], GIVEN_HEAP),
    }
  }

  /** A reader for an adapter, in processes that this one closes. */
  forAdapter(adapter: Own): ModelPromptReader {
    const { maxModelLen, pools } = this
    const reader = new ModelPromptReader('', this.tokenizer, adapter.template, { maxModelLen, processes: 0, pools, adapter })
    reader.warm()
    return reader
  }

  /** Has a process try what an adapter brings. Rejects with Overrun. */
  learn({ job, milliseconds }: Lesson): Promise<Answer> {
    return this.pools.adapters.run(job, milliseconds, new AbortController().signal)
  }

  /** Starts the first process, and lets it try the model's template. */
  warm(): void {
    const { source, tokens } = this.template
    if (source === undefined) {
      if (!this.adapter) this.pools.own.warm()
      return
    }
    const job: RenderJob = { kind: 'render', source, tokens, messages: TRIAL, options: { addGenerationPrompt: true } }
    this.rendering.run(job, OWN_MS, new AbortController().signal).then(
      () => {
        this.proven = true
      },
      // Who asks for a chat is told.
      () => undefined,
    )
  }

  close(): void {
    for (const pool of Object.values(this.pools)) pool.close()
  }

  /** Of its own template. */
  private get rendering(): ProcessPool {
    return this.adapter ? this.pools.adapters : this.pools.own
  }

  /** Whether the main thread may tokenize: never with what an adapter brings. */
  private get tokenizesHere(): boolean {
    return this.adapter?.tokenizer === undefined
  }

  async encode(texts: readonly string[], options: EncodeOptions, signal: AbortSignal): Promise<TokenIds[]> {
    // Prompts of token ids: the watch over what is tried here would be a thread for nothing.
    if (texts.length === 0) return []
    for (const [i, text] of texts.entries()) this.checkLength(text, options.paramOf?.(i) ?? options.param)
    if (this.tokenizesHere && sizeOf(texts, SHORT) <= SHORT) {
      const here = this.texts.attempt(() => texts.map((text) => this.tokenizer.encode(text, options)))
      if (here) return here.value
    }
    return this.encodeThere(texts, options, signal)
  }

  async encodeConversation(conversation: Conversation, options: EncodeOptions, signal: AbortSignal): Promise<TokenIds> {
    const { messages, template: given } = conversation
    const template = this.template.for(conversation.options)
    let text: string | undefined
    if (given === undefined && this.proven && template.rendersHere && sizeOf([messages, conversation.options], SHORT) <= SHORT) {
      const here = this.conversations.attempt(() => {
        const rendered = template.render(messages, conversation.options)
        return rendered.length > SHORT || !this.tokenizesHere ? rendered : this.tokenizer.encode(rendered, options)
      })
      if (typeof here?.value === 'object') return here.value
      text = here?.value
    }
    const [ids] = await this.encode([text ?? (await this.render(conversation, signal))], options, signal)
    return ids
  }

  /** The conversation as the model reads it, rendered in a process. */
  async render(conversation: Conversation, signal: AbortSignal): Promise<string> {
    const { messages, options } = conversation
    const named = conversation.template === undefined ? undefined : this.template.named(conversation.template)
    const given = named ? undefined : conversation.template
    const template = named ?? this.template.for(options)
    const source = given ?? template.source
    // It says what is missing.
    if (source === undefined) return template.render(messages, options)
    const job: RenderJob = { kind: 'render', source, tokens: template.tokens, messages, options }
    const pool = given === undefined ? this.rendering : this.pools.given
    const limit = given === undefined ? ownLimit(sizeOf([messages, options], Number.POSITIVE_INFINITY)) : GIVEN_MS
    const whose = given !== undefined ? "the request's" : this.adapter ? "the adapter's" : 'the'
    const answer = await pool.run(job, limit, signal).catch((error: Error) => {
      if (error instanceof Overrun) throw new TemplateError(`${whose} chat template ${error.message}`)
      // v8's serializer says so of JSON nested some thousands deep.
      if (error instanceof RangeError) throw new TemplateError(`${whose} chat template could not be run: ${error.message}`)
      throw error
    })
    if ('text' in answer) return answer.text
    if ('error' in answer && answer.template) throw new TemplateError(answer.error)
    throw new Error('error' in answer ? answer.error : 'token ids came back instead of a text')
  }

  /** A text that has more tokens than the context holds whatever they are is refused unread. */
  private checkLength(text: string, param: string): void {
    const { maxModelLen } = this
    const most = (this.adapter?.tokenizer ?? this.tokenizer).longestToken * maxModelLen
    if (text.length > most)
      throw new ApiError(
        'context_length_exceeded',
        `This model's maximum context length is ${maxModelLen} tokens; ${text.length} characters are more than any ${maxModelLen} tokens hold (${most})`,
        param,
      )
  }

  private async encodeThere(texts: readonly string[], options: EncodeOptions, signal: AbortSignal): Promise<TokenIds[]> {
    const { addSpecialTokens, param } = options
    const { lesson } = this.adapter?.tokenizer ?? {}
    const pool = lesson ? this.pools.adapters : this.pools.own
    const whose = lesson ? "the adapter's" : "the model's"
    const all: TokenIds[] = []
    for (const batch of batches(texts)) {
      const job: EncodeJob = { kind: 'encode', tokenizer: lesson?.job.digest, texts: batch, addSpecialTokens }
      const units = batch.reduce((sum, { length }) => sum + length, 0)
      const answer = await pool.run(job, ownLimit(units), signal, lesson).catch((error: Error) => {
        if (!(error instanceof Overrun)) throw error
        throw new ApiError('tokenizer_failed', `${whose} tokenizer ${error.message} for ${units} characters`, param)
      })
      if (!('ids' in answer)) throw new Error('error' in answer ? answer.error : 'a text came back instead of token ids')
      for (const ids of answer.ids) all.push(shared(ids))
    }
    return all
  }
}

const ownLimit = (units: number) => Math.round(OWN_MS + units * OWN_MS_PER_UNIT)

/** Neighbouring texts, of BATCH units together where they are shorter. */
function* batches(texts: readonly string[]): Generator<string[]> {
  let batch: string[] = []
  let units = 0
  for (const text of texts) {
    if (batch.length > 0 && units + text.length > BATCH) {
      yield batch
      batch = []
      units = 0
    }
    batch.push(text)
    units += text.length
  }
  if (batch.length > 0) yield batch
}

function shared(ids: Int32Array): Int32Array {
  const copy = new Int32Array(new SharedArrayBuffer(ids.byteLength))
  copy.set(ids)
  return copy
}
