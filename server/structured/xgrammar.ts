/**
 * XGrammar, as WebAssembly. Its package says that it is of ES modules, and holds a CommonJS bundle: `import` finds nothing in it, so its text is evaluated as what it is. What it
 * prints is kept, for its errors are told there alone: most of them end the instance.
 */
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import path from 'node:path'
import type * as xgrammar from '@mlc-ai/web-xgrammar'

export type XGrammar = Pick<typeof xgrammar, 'TokenizerInfo' | 'GrammarCompiler' | 'GrammarMatcher' | 'CompiledGrammar'>
export type { CompiledGrammar, GrammarCompiler, GrammarMatcher, TokenizerInfo } from '@mlc-ai/web-xgrammar'

const require = createRequire(import.meta.url)

/** An instance of its own: memory and all. */
export interface Instance {
  xgrammar: XGrammar
  /** Bytes of its memory, which only grows. */
  bytes(): number
  /** What it has said last: why it failed. */
  said(): string
  /** It wanted more memory than it may have. */
  starved(): boolean
}

/** Node's types have WebAssembly with the browser's alone. */
interface Memory {
  readonly buffer: ArrayBuffer
  grow(pages: number): number
}
const { WebAssembly } = globalThis as unknown as { WebAssembly: { Memory: { prototype: Memory } } }
/** The memory of this thread that grew last: its instance's. */
let grown: Memory | undefined
let starved = false

/** Has all instances of this thread refuse to grow beyond so many bytes: an allocation fails then, and with it what asked for it. */
export function limitMemory(most: number): void {
  const { grow } = WebAssembly.Memory.prototype
  WebAssembly.Memory.prototype.grow = function (this: Memory, pages: number) {
    grown = this
    if (this.buffer.byteLength + pages * 65536 > most) {
      // It asks again, for less: what it gets then is not enough for long.
      starved = true
      throw new RangeError(`more than ${most} bytes`)
    }
    return grow.call(this, pages)
  }
}

export function loadXGrammar(): Instance {
  const file = require.resolve('@mlc-ai/web-xgrammar')
  let last = ''
  const keep = (...words: unknown[]) => {
    last = words.join(' ')
    // "Aborted()" follows what it aborts for.
    if (last.startsWith('[FATAL]')) fatal = last
  }
  let fatal = ''
  const own = { log: keep, warn: keep, error: keep }
  const exports = {}
  const evaluate = new Function('exports', 'module', 'require', '__filename', '__dirname', 'console', readFileSync(file, 'utf8'))
  evaluate(exports, { exports }, require, file, path.dirname(file), own)
  grown = undefined
  starved = false
  return {
    xgrammar: exports as XGrammar,
    starved: () => starved,
    bytes: () => grown?.buffer.byteLength ?? 0,
    said: () => fatal.replace(/^\[FATAL\] \S+: (Check failed: .* is false: )?/, '').replace(/ ?Aborted\(\)$/, ''),
  }
}
