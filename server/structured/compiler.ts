/** XGrammar with the vocabularies that it knows; one that has failed is replaced, and learns them anew. */

import type { Source } from './convert.ts'
import { ConstraintError } from './ebnf.ts'
import { Utf8Guard } from './utf8.ts'
import type { Vocabulary } from './vocabulary.ts'
import { type CompiledGrammar, type GrammarCompiler, type GrammarMatcher, type Instance, loadXGrammar } from './xgrammar.ts'

export class Compiler {
  private readonly vocabularies = new Map<number, Vocabulary>()
  private readonly guards = new Map<number, Utf8Guard>()
  private readonly compilers = new Map<number, GrammarCompiler>()
  private instance: Instance | undefined

  learn(vocabulary: Vocabulary): void {
    this.vocabularies.set(vocabulary.id, vocabulary)
    this.guards.set(vocabulary.id, new Utf8Guard(vocabulary))
  }

  get bytes(): number {
    return this.instance?.bytes() ?? 0
  }

  /** Throws ConstraintError for what is no grammar, or takes more memory than there is; all that was compiled before is void then. */
  async compile(id: number, source: Source): Promise<CompiledGrammar> {
    const compiler = await this.compilerOf(id)
    try {
      return await ('ebnf' in source ? compiler.compileGrammar(source.ebnf) : compiler.compileStructuralTag(source.tag))
    } catch (error) {
      throw this.failed(
        error,
        'ebnf' in source ? 'it is no grammar that XGrammar takes' : 'it is no structural tag that XGrammar takes',
      )
    }
  }

  /** Of a vocabulary that it has learnt. */
  guard(id: number): Utf8Guard {
    const guard = this.guards.get(id)
    if (guard) return guard
    throw new Error(`vocabulary ${id} was not told`)
  }

  async matcher(grammar: CompiledGrammar): Promise<GrammarMatcher> {
    if (!this.instance) throw new Error('no grammar is compiled')
    return this.instance.xgrammar.GrammarMatcher.createGrammarMatcher(grammar)
  }

  /** Makes the vocabulary ready, so that what follows is a grammar's own time. */
  async prepare(id: number): Promise<void> {
    await this.compilerOf(id)
  }

  private async compilerOf(id: number): Promise<GrammarCompiler> {
    const known = this.compilers.get(id)
    if (known) return known
    const vocabulary = this.vocabularies.get(id)
    if (!vocabulary) throw new Error(`vocabulary ${id} was not told`)
    this.instance ??= loadXGrammar()
    const { TokenizerInfo, GrammarCompiler } = this.instance.xgrammar
    const { bytes, starts, ends } = vocabulary
    // Bytes, which its bindings take for strings as well: text that is no UTF-8 would be lost otherwise.
    const tokens = Array.from({ length: starts.length - 1 }, (_, i) => bytes.slice(starts[i], starts[i + 1]))
    const info = await TokenizerInfo.createTokenizerInfo(tokens as unknown as string[], 'raw', false, tokens.length, [...ends])
    const compiler = await GrammarCompiler.createGrammarCompiler(info, false)
    this.compilers.set(id, compiler)
    return compiler
  }

  /** Whatever was thrown: a failed check ends the instance, and says why on what it takes for the terminal. */
  private failed(error: unknown, otherwise: string): Error {
    const said = this.instance?.said() ?? ''
    // A stack that overflows is a RangeError, or a trap.
    const tooMuch = this.instance?.starved() || error instanceof RangeError || (error as Error)?.name === 'RuntimeError'
    this.instance = undefined
    this.compilers.clear()
    if (said !== '') return new ConstraintError('', said.slice(0, MOST_SAID))
    return new ConstraintError('', tooMuch ? TOO_MUCH : otherwise)
  }
}

/** Characters of XGrammar's message: it may repeat what it read. */
const MOST_SAID = 300
export const TOO_MUCH = 'it takes more memory, or is nested deeper, than a grammar may; ask for less at once'
