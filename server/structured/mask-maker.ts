/** The matchers of sequences that are constrained now, and their masks. */
import type { MessagePort } from 'node:worker_threads'
import type { FromMasks, ToMasks } from '../../runtime/index.ts'
import type { Compiler } from './compiler.ts'
import type { Utf8Guard } from './utf8.ts'
import type { CompiledGrammar, GrammarMatcher } from './xgrammar.ts'

/** Matchers that are kept for a grammar's next sequences. */
const SPARE = 64
/** Milliseconds that a token and its mask may take: others wait for theirs meanwhile. */
const MOST_MS = 500

interface Grammar {
  compiled: CompiledGrammar
  guard: Utf8Guard
  spare: GrammarMatcher[]
  users: number
  dropped: boolean
}

interface Constrained {
  grammar: Grammar
  matcher: GrammarMatcher
  endTokens: Int32Array
  ignoreEos: boolean
}

export class MaskMaker {
  private readonly compiler: Compiler
  private readonly grammars = new Map<number, Grammar>()
  private readonly bySlot = new Map<number, Constrained>()
  private places: Int32Array = new Int32Array(0)
  private stride = 1
  private failed: FromMasks['failed'] = []

  constructor(compiler: Compiler) {
    this.compiler = compiler
  }

  /** `guard`: of the vocabulary that it was compiled for. */
  add(id: number, compiled: CompiledGrammar, guard: Utf8Guard): void {
    this.grammars.set(id, { compiled, guard, spare: [], users: 0, dropped: false })
  }

  /** It goes with the last sequence that it constrains. */
  drop(id: number): void {
    const grammar = this.grammars.get(id)
    this.grammars.delete(id)
    if (!grammar) return
    grammar.dropped = true
    if (grammar.users === 0) this.dispose(grammar)
  }

  /** Answers the engine's questions, which come over `port`. */
  serve(port: MessagePort, places: Uint32Array, stride: number, inTurn: (work: () => Promise<void>) => void): void {
    this.places = new Int32Array(places.buffer)
    this.stride = stride
    port.on('message', (message: ToMasks) =>
      inTurn(async () => {
        if (message.type === 'end') return this.end(message.slot)
        if (message.type === 'begin') await this.begin(message)
        else await this.advance(message.items)
        port.postMessage({ failed: this.failed } satisfies FromMasks)
        this.failed = []
      }),
    )
  }

  private async begin({
    slot,
    ticket,
    grammar: id,
    tokens,
    endTokens,
    ignoreEos,
  }: Extract<ToMasks, { type: 'begin' }>): Promise<void> {
    this.end(slot)
    const grammar = this.grammars.get(id)
    if (!grammar) {
      this.failed.push({ ticket, message: 'its grammar is not there any more; try again' })
      return
    }
    const matcher = grammar.spare.pop() ?? (await this.compiler.matcher(grammar.compiled))
    grammar.users++
    const constrained = { grammar, matcher, endTokens, ignoreEos }
    this.bySlot.set(slot, constrained)
    for (const token of tokens) if (!accepts(constrained, token)) return this.refuse(ticket, token)
    await this.write(slot, ticket, constrained, tokens.at(-1))
  }

  private async advance(items: Int32Array): Promise<void> {
    for (let i = 0; i < items.length; i += 3) {
      const [slot, ticket, token] = items.subarray(i, i + 3)
      const constrained = this.bySlot.get(slot)
      if (!constrained) continue
      const started = performance.now()
      if (!accepts(constrained, token)) this.refuse(ticket, token)
      else await this.write(slot, ticket, constrained, token)
      if (performance.now() - started > MOST_MS)
        this.failed.push({
          ticket,
          message: `what may come next took more than ${MOST_MS} ms to find out; ask for a simpler format`,
        })
    }
  }

  private refuse(ticket: number, token: number): void {
    this.failed.push({ ticket, message: `token ${token} was sampled although the required format does not allow it` })
  }

  /** `last`: the token before. */
  private async write(slot: number, ticket: number, constrained: Constrained, last: number | undefined): Promise<void> {
    const { grammar, matcher, endTokens, ignoreEos } = constrained
    const from = slot * this.stride
    const words = this.places.subarray(from + 1, from + this.stride)
    if (matcher.isTerminated()) {
      // An end that did not end it, since it is to be ignored: it is all that can follow.
      words.fill(0)
      for (const id of endTokens) words[id >>> 5] |= 1 << (id & 31)
    } else {
      const mask = await matcher.getNextTokenBitmask()
      grammar.guard.after(last, mask)
      words.set(mask)
      words.fill(0, mask.length)
      if (ignoreEos) this.withoutEnds(words, endTokens)
    }
    Atomics.store(this.places, from, ticket)
  }

  /** Ends are left out where anything else may come: that they are ignored must not make an answer longer than its format. */
  private withoutEnds(words: Int32Array, endTokens: Int32Array): void {
    const kept = Array.from(endTokens, (id) => words[id >>> 5])
    for (const id of endTokens) words[id >>> 5] &= ~(1 << (id & 31))
    if (words.some((word) => word !== 0)) return
    for (const [i, id] of endTokens.entries()) words[id >>> 5] = kept[i]
  }

  private end(slot: number): void {
    const constrained = this.bySlot.get(slot)
    if (!constrained) return
    this.bySlot.delete(slot)
    const { grammar, matcher } = constrained
    grammar.users--
    if (grammar.dropped || grammar.spare.length === SPARE) matcher.dispose()
    else {
      matcher.reset()
      grammar.spare.push(matcher)
    }
    if (grammar.dropped && grammar.users === 0) this.dispose(grammar)
  }

  private dispose({ compiled, spare }: Grammar): void {
    for (const matcher of spare.splice(0)) matcher.dispose()
    compiled.dispose()
  }
}

/** Whether a token may stand there. The matcher takes one end; where ends are ignored, as many follow as there is room for. */
function accepts({ matcher, endTokens }: Constrained, token: number): boolean {
  return matcher.isTerminated() ? endTokens.includes(token) : matcher.acceptToken(token)
}
