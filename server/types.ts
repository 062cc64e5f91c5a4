/** What the routes need, as interfaces: the composition root (server/serve.ts) builds the concrete things and hands them over. */
import type { FastifyBaseLogger } from 'fastify'
import type { AdapterText } from '../adapters-store/index.ts'
import type { SamplingScalars } from '../runtime/sampling-options.ts'
import type { Engine, SequenceRequest } from '../runtime/types.ts'
import type { Access } from './access/access.ts'
import type { AdapterManagement } from './adapter-management.ts'
import type { AdapterCatalogue, AdapterRecord, OnDemand } from './catalogue.ts'
import type { Config } from './config/settings.ts'
import type { CostAccount } from './cost.ts'
import type { Limit } from './errors.ts'
import type { MessageFormats } from './openai/message/formats.ts'
import type { EmbeddingPlan } from './pooling/folder.ts'
import type { Readiness } from './readiness.ts'
import type { Records } from './records/records.ts'
import type { RequestLimits } from './request-limits.ts'
import type { Constraint } from './structured/constraint.ts'

export type { AdapterCatalogue, AdapterRecord }

/** Those that the pool's processes made lie in shared memory, so that the engine's thread gets them without a copy. */
export type TokenIds = SequenceRequest['promptIds']

/** Incremental detokenizer of one sequence. */
export interface Detokenizer {
  /** Adds tokens and returns the text that has become certain: never cut inside a character, and the pieces concatenate to `decode` of all. */
  push(ids: TokenIds): string
  /** What was held back (an incomplete character becomes U+FFFD). */
  flush(): string
}

/** What tokens are as text. */
export interface TokenReader {
  /** UTF-16 units of the longest token: a text of more than n times as many has more than n tokens. */
  readonly longestToken: number
  decode(ids: TokenIds, options: { skipSpecialTokens: boolean }): string
  /**
   * `continues`: the tokens go on with a text, so that a space which they begin with is one; some tokenizers begin every text with a space that is none. `keep`: special tokens that are
   * part of the text although others are left out.
   */
  detokenizer(options: { skipSpecialTokens: boolean; continues?: boolean; keep?: readonly string[] }): Detokenizer
  /** One token alone, as logprobs show it: its text (bytes that are no UTF-8 as U+FFFD) and its bytes. */
  token(id: number): { text: string; bytes: number[] }
  /** One token's bytes anywhere but at the beginning of a text; undefined: there is no such token. Nothing is kept: for who asks once for all of them. */
  spelled(id: number): Uint8Array | undefined
  /** Whether skip_special_tokens leaves it out. */
  isSpecial(id: number): boolean
  /** The vocabulary's own spelling (`Ġthe`), for /tokenize's token_strs. */
  tokenString(id: number): string
}

export interface Tokenizer extends TokenReader {
  encode(text: string, options: { addSpecialTokens: boolean }): number[]
}

export interface ChatMessage {
  role: string
  /** Text, or its parts: templates that go through parts get them, others all of them with newlines between. */
  content: string | TextPart[] | null
  [key: string]: unknown
}

export interface TextPart {
  type: 'text'
  text: string
}

export interface RenderOptions {
  addGenerationPrompt: boolean
  continueFinalMessage?: boolean
  tools?: unknown[]
  /** What templates for retrieval quote. */
  documents?: unknown[]
  kwargs?: Record<string, unknown>
}

export interface Conversation {
  messages: ChatMessage[]
  options: RenderOptions
  /** A template that the request brought, instead of the model's own, or the name of one of the model's. */
  template?: string
}

/** `param`: the field that holds the text, which errors name. */
export interface EncodeOptions {
  addSpecialTokens: boolean
  param: string
  /** Where each of several texts has a field of its own. */
  paramOf?: (index: number) => string
}

/**
 * What requests bring as text, read without keeping the others waiting. Both reject with ClientLeft (tokenizer/process-pool.ts) when `signal` says so, with ApiError when a text
 * cannot fit the context or the tokenizer cannot do it, and with TemplateError.
 */
export interface PromptReader {
  /** Token ids of each text. */
  encode(texts: readonly string[], options: EncodeOptions, signal: AbortSignal): Promise<TokenIds[]>
  /** Of a conversation as its template renders it. */
  encodeConversation(conversation: Conversation, options: EncodeOptions, signal: AbortSignal): Promise<TokenIds>
}

/** Text as one adapter reads and writes it. */
export interface ServedText {
  tokenizer: TokenReader
  prompts: PromptReader
  /** How the adapter writes its messages. Absent: as the base does. */
  formats?: MessageFormats
  /** Its chat template is for pairs of a query and a document. */
  scoreTemplate: boolean
}

/** A grammar in use, until it is released: what the engine takes. */
export interface GrammarLease {
  constraint: NonNullable<SequenceRequest['constraint']>
  release(): void
}

/** What answers are held to. */
export interface Grammars {
  /**
   * `writer`: whose tokens the answer has. `specials`: it shows special tokens. `field`: where the constraint stands in the body. `tenant`: whose turn it is when many come. Rejects with ApiError for what answers cannot be
   * held to, within bounded time and memory.
   */
  lease(
    constraint: Constraint,
    writer: Pick<Serving, 'tokenizer' | 'vocabSize' | 'endTokenIds'>,
    specials: boolean,
    field: string,
    tenant?: string,
  ): Promise<GrammarLease>
  /** So far: grammars that were compiled, constraints that were refused, grammars that were there already, and threads that were lost. */
  readonly counters: Readonly<Record<'compiled' | 'refused' | 'reused' | 'threadsLost', number>>
}

export interface AdapterTexts {
  /** Of an adapter that is in host memory. */
  of(text: AdapterText): ServedText
}

export interface ServedModel {
  /** Name in `model` fields (--served-model-name, or the folder's name). */
  name: string
  /** Path of the model folder, or its name on the hub. */
  root: string
  /** Unix seconds. */
  created: number
  maxModelLen: number
}

/** How one finished request went; feeds vLLM's histograms. Times in seconds. */
export interface RequestTimes {
  finishReason: 'stop' | 'length' | 'abort' | 'error'
  promptTokens: number
  generationTokens: number
  maxTokens: number
  e2e: number
  queue?: number
  prefill?: number
  decode?: number
  inference?: number
  timePerOutputToken?: number
}

/**
 * Why the engine was told to end a sequence: a stop string stood in its text; it had the one call that it may have; nobody waited for it any more (its client left, or what was in the
 * background was cancelled); another sequence of its request failed.
 */
export type EarlyEnd = 'stop_string' | 'one_call' | 'left' | 'other_failed'

/** How many of something there are, when the page is made. */
export interface Conversations {
  websockets: () => number
  responses: () => { count: number; bytes: number }
}

export interface Metrics {
  firstToken(seconds: number): void
  interToken(seconds: number): void
  finished(times: RequestTimes): void
  /** A request was refused for a limit (429). */
  refused(limit: Limit): void
  /** A request has fewer ranks than its adapters, since the server is busy. */
  lowered(): void
  /** The engine was told to end a sequence. */
  endedEarly(reason: EarlyEnd): void
  /** Set by whoever holds them. */
  readonly conversations: Conversations
  /** Told of the same while a page watches. */
  watched?: Pick<Metrics, 'firstToken' | 'interToken'>
  /** The page; `names`: with those of the adapters. Cheap: scraped as often as every 50 ms. */
  render(names: boolean): Promise<string>
  readonly contentType: string
}

/** Of the configuration what bounds each request. */
export type Limits = Pick<
  Config,
  | 'bodyLimit'
  | 'requestTimeout'
  | 'idleTimeout'
  | 'maxConcurrentRequests'
  | 'trustRequestChatTemplate'
  | 'enablePromptTokensDetails'
  | 'fairness'
  | 'tenantHeader'
  | 'ttftTarget'
  | 'busyRank'
  | 'busyWaiting'
  | 'responseStoreSize'
  | 'maxWebsocketStreams'
  | 'writeTimeout'
>

export interface Serving {
  engine: Engine
  model: ServedModel
  /** Of the base, and of what is served by an adapter that has its own (served-by.ts): so are the next five. */
  tokenizer: TokenReader
  prompts: PromptReader
  /** The base's, for clients that tokenize by this server. */
  tokenizerInfo: object
  /** How the model writes calls and reasoning into its text. Absent: nothing is known of it. */
  formats?: MessageFormats
  /** The chat template is for pairs of a query and a document, which a classifier then reads as it renders them. */
  scoreTemplate?: boolean
  /** How many token ids exist. */
  vocabSize: number
  /** How texts are embedded; absent: as without sentence-transformers files. */
  embeddings?: EmbeddingPlan
  /** Tokens that end an answer. */
  endTokenIds: readonly number[]
  /** The adapters' own tokenizers and chat templates. */
  texts: AdapterTexts
  adapters: AdapterCatalogue
  /** Looks for adapters that nobody has asked for before. */
  onDemand?: OnDemand
  management: AdapterManagement
  metrics: Metrics
  /** generation_config.json's defaults for sampling, as vLLM applies them. */
  defaults: Partial<SamplingScalars>
  limits: Limits
  /** Who may come, and what is there for them. */
  access: Access
  /** Whether requests may bring a priority (--scheduling). */
  scheduling: 'fcfs' | 'priority' | 'fair'
  /** What answers may be held to. */
  grammars: Grammars
  /** What requests in flight cost together, and may. */
  cost: CostAccount
  /** What tenants and adapters have of it, and may. */
  requestLimits: RequestLimits
  /** Why the engine cannot be relied on now: it has failed, or hangs. Undefined: it works. */
  unhealthy(): string | undefined
  /** What becomes of requests. */
  records: Records
  /** Whether requests should be sent here. */
  readiness: Readiness
  log: FastifyBaseLogger
}
