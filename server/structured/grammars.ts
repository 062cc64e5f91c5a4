/**
 * Constraints of requests, as grammars that threads make masks by: tried first, compiled where they serve, shared by all that bring the same one, and kept for those to come. A
 * thread whose memory has grown, which it never gives back, is followed by a new one, and ends with its last answer.
 */
import { createHash } from 'node:crypto'
import type { Engine } from '../../runtime/index.ts'
import { ApiError } from '../errors.ts'
import type { GrammarLease, Grammars, Serving, TokenReader } from '../types.ts'
import type { Constraint } from './constraint.ts'
import { textOf } from './constraint-text.ts'
import { ConstraintError } from './ebnf.ts'
import { MaskThread } from './mask-thread.ts'
import { Trials } from './trials.ts'
import { packVocabulary, type Vocabulary } from './vocabulary.ts'

/** Grammars kept, or refusals remembered, that nobody uses now. */
const KEPT = 128
/** Vocabularies that a thread is told; each takes some ten times its size there. */
const MOST_VOCABULARIES = 8
/** Milliseconds of compiling from which on a grammar is another thread's, so that it keeps nobody waiting who brings usual ones. */
const SLOW_MS = 250
/** Milliseconds beyond a grammar's own after which a thread that does not answer is given up. */
const HANGS_MS = 10_000

export interface GrammarSettings {
  /** Seconds that compiling one may take. */
  constraintTimeout: number
  /** Bytes that each thread may hold. */
  constraintMemory: number
}

type Writer = Pick<Serving, 'tokenizer' | 'vocabSize' | 'endTokenIds'>

interface Entry {
  users: number
  grammar: number
  thread: MaskThread | undefined
  ready: Promise<MaskThread>
}

export class CompiledGrammars implements Grammars {
  readonly counters = { compiled: 0, refused: 0, reused: 0, threadsLost: 0 }
  onWarning: (message: string) => void = () => undefined
  private readonly engine: Engine
  private readonly settings: GrammarSettings
  private readonly trials: Trials
  /** In the order of their last use. */
  private readonly entries = new Map<string, Entry>()
  private readonly vocabularies = new WeakMap<TokenReader, Map<string, Promise<Vocabulary>>>()
  private readonly serving: { quick?: MaskThread; slow?: MaskThread } = {}
  private readonly threads = new Set<MaskThread>()
  /** Memory for masks that no thread writes into any more. */
  private readonly freePlaces: Uint32Array[] = []
  private nextId = 0
  private closed = false

  constructor(engine: Engine, settings: GrammarSettings) {
    this.engine = engine
    this.settings = settings
    this.trials = new Trials(settings.constraintTimeout * 1000, settings.constraintMemory)
  }

  async lease(constraint: Constraint, writer: Writer, specials: boolean, field: string, tenant?: string): Promise<GrammarLease> {
    const text = textOf(constraint, field)
    const vocabulary = await this.vocabularyOf(writer, specials)
    if (this.closed) throw new ApiError('engine_unavailable', 'the server is closing')
    const key = createHash('sha256').update(`${vocabulary.id}\n${text}`).digest('base64')
    const known = this.entries.get(key)
    const entry = known ?? this.enter(text, vocabulary, tenant)
    this.entries.delete(key)
    this.entries.set(key, entry)
    entry.users++
    try {
      const thread = await entry.ready
      if (thread.dead) throw new Error('its thread has ended')
      if (known) this.counters.reused++
      thread.users++
      return { constraint: { thread: thread.id, grammar: entry.grammar }, release: once(() => this.release(key, entry, thread)) }
    } catch (error) {
      entry.users--
      if (!(error instanceof ConstraintError)) this.entries.delete(key)
      this.trim()
      throw refusal(error as Error, field)
    }
  }

  /** Threads that make masks now. */
  get running(): readonly MaskThread[] {
    return [...this.threads]
  }

  async close(): Promise<void> {
    this.closed = true
    this.trials.close()
    await Promise.all([...this.threads].map((thread) => thread.end()))
  }

  private enter(text: string, vocabulary: Vocabulary, tenant: string | undefined): Entry {
    const grammar = this.nextId++
    const ready = this.compile(grammar, text, vocabulary, tenant)
    const entry: Entry = { users: 0, grammar, thread: undefined, ready }
    // Who waits for it is told; nobody may any more.
    ready.then(
      (thread) => {
        entry.thread = thread
      },
      () => undefined,
    )
    return entry
  }

  private async compile(grammar: number, text: string, vocabulary: Vocabulary, tenant: string | undefined): Promise<MaskThread> {
    try {
      const { source, milliseconds } = await this.trials.run(text, vocabulary, tenant)
      const thread = this.threadFor(milliseconds > SLOW_MS ? 'slow' : 'quick')
      thread.users++
      try {
        await thread.compile(grammar, vocabulary, source)
      } finally {
        this.leave(thread)
      }
      this.counters.compiled++
      return thread
    } catch (error) {
      if (error instanceof ConstraintError) this.counters.refused++
      throw error
    }
  }

  /** The one that serves, or a new one where it has grown too much. */
  private threadFor(lane: 'quick' | 'slow'): MaskThread {
    const now = this.serving[lane]
    const { constraintMemory, constraintTimeout } = this.settings
    const full = now && (now.bytes > constraintMemory / 2 || now.vocabularies >= MOST_VOCABULARIES)
    if (now && !now.dead && !full) return now
    const places = this.freePlaces.pop() ?? this.newPlaces()
    const silent = constraintTimeout * 1000 + HANGS_MS
    const thread: MaskThread = new MaskThread(
      this.nextId++,
      this.engine,
      places,
      { mostBytes: constraintMemory, trial: false },
      silent,
      (why) => {
        this.counters.threadsLost++
        this.onWarning(`a thread that keeps answers to their format was lost: ${why}; another takes its place`)
        this.forget(thread)
      },
    )
    this.threads.add(thread)
    this.serving[lane] = thread
    if (now) this.retire(now)
    return thread
  }

  private newPlaces(): Uint32Array {
    const { slots, maskWords } = this.engine.info
    return new Uint32Array(new SharedArrayBuffer(4 * slots * (1 + maskWords)))
  }

  private leave(thread: MaskThread): void {
    thread.users--
    this.retire(thread)
  }

  /** Ends one that serves no more, with its last user. */
  private retire(thread: MaskThread): void {
    const serves = this.serving.quick === thread || this.serving.slow === thread
    if (serves || thread.users > 0 || thread.dead) return
    this.forget(thread)
  }

  private forget(thread: MaskThread): void {
    thread.end().then(() => this.freePlaces.push(thread.places))
    for (const lane of ['quick', 'slow'] as const) if (this.serving[lane] === thread) this.serving[lane] = undefined
    this.threads.delete(thread)
    for (const [key, entry] of this.entries) if (entry.thread === thread) this.entries.delete(key)
  }

  private release(key: string, entry: Entry, thread: MaskThread): void {
    entry.users--
    this.leave(thread)
    if (this.entries.get(key) === entry) this.trim()
    else if (entry.users === 0 && !thread.dead) thread.drop(entry.grammar)
  }

  /** Of those that nobody uses, the ones used last are kept. */
  private trim(): void {
    let unused = 0
    for (const { users } of this.entries.values()) if (users === 0) unused++
    for (const [key, { users, thread, grammar }] of this.entries) {
      if (unused <= KEPT) return
      if (users > 0) continue
      this.entries.delete(key)
      if (thread && !thread.dead) thread.drop(grammar)
      unused--
    }
  }

  private vocabularyOf({ tokenizer, vocabSize, endTokenIds }: Writer, specials: boolean): Promise<Vocabulary> {
    const all = this.vocabularies.get(tokenizer) ?? new Map<string, Promise<Vocabulary>>()
    this.vocabularies.set(tokenizer, all)
    const key = JSON.stringify([vocabSize, endTokenIds, specials])
    const known = all.get(key) ?? packVocabulary(tokenizer, vocabSize, endTokenIds, specials)
    all.set(key, known)
    return known
  }
}

/** Characters of a place in a schema that an error names: names there are the client's. */
const MOST_PATH = 200

function refusal(error: Error, field: string): ApiError {
  if (error instanceof ApiError) return error
  if (!(error instanceof ConstraintError))
    return new ApiError('constraint_lost', `what keeps answers to their format failed: ${error.message}; try again`)
  const whole = error.at === '' ? field : `${field}.${error.at}`
  const at = whole.length > MOST_PATH ? `${whole.slice(0, MOST_PATH)}…` : whole
  return new ApiError('invalid_request', `${at}: ${error.message}`, at)
}

function once(work: () => void): () => void {
  let done = false
  return () => {
    if (!done) work()
    done = true
  }
}
