/** A thread that compiles grammars and makes masks (or only tries constraints), as its worker runs it. */
import os from 'node:os'
import { parentPort, workerData } from 'node:worker_threads'
import { Compiler, TOO_MUCH } from './compiler.ts'
import { sourceOf } from './convert.ts'
import { ConstraintError } from './ebnf.ts'
import { MaskMaker } from './mask-maker.ts'
import type { Order, Report, ThreadData } from './messages.ts'
import { limitMemory } from './xgrammar.ts'

const port = parentPort as NonNullable<typeof parentPort>
const { mostBytes, trial } = workerData as ThreadData
const post = (report: Report) => port.postMessage(report)

limitMemory(mostBytes)
// On Linux this is the thread's alone; elsewhere it would be the process's. Trying a client's constraint must not take a core from those that compute everybody's steps.
if (trial && process.platform === 'linux') os.setPriority(10)

const compiler = new Compiler()
const masks = new MaskMaker(compiler)

async function attempt(order: Extract<Order, { type: 'try' }>): Promise<void> {
  const { job, text, vocabulary } = order
  try {
    const source = sourceOf(JSON.parse(text))
    await compiler.prepare(vocabulary)
    const started = performance.now()
    const grammar = await compiler.compile(vocabulary, source)
    const matcher = await compiler.matcher(grammar)
    await matcher.getNextTokenBitmask()
    const milliseconds = performance.now() - started
    matcher.dispose()
    grammar.dispose()
    post({ type: 'tried', job, source, milliseconds })
  } catch (error) {
    // What nests too deeply ends the stack: of the conversion, or of XGrammar.
    const { at, message } = error instanceof RangeError ? new ConstraintError('', TOO_MUCH) : (error as ConstraintError)
    post({ type: 'refused', job, at: at ?? '', message })
  }
}

async function obey(order: Order): Promise<void> {
  switch (order.type) {
    case 'vocabulary':
      compiler.learn(order.vocabulary)
      await compiler.prepare(order.vocabulary.id)
      post({ type: 'ready', vocabulary: order.vocabulary.id })
      break
    case 'try':
      await attempt(order)
      break
    case 'compile': {
      const { grammar, vocabulary, source } = order
      try {
        masks.add(grammar, await compiler.compile(vocabulary, source), compiler.guard(vocabulary))
        post({ type: 'compiled', grammar, bytes: compiler.bytes })
      } catch (error) {
        post({ type: 'failed', grammar, message: (error as Error).message })
      }
      break
    }
    case 'drop':
      masks.drop(order.grammar)
      break
    case 'engine':
      masks.serve(order.port, order.places, order.stride, inTurn)
      break
    case 'ping':
      post({ type: 'pong' })
  }
}

/** Orders and questions are done one after the other, in the order of their coming. */
let last: Promise<void> = Promise.resolve()
function inTurn(work: () => Promise<void>): void {
  last = last.then(work).catch((error: Error) => {
    // What nobody foresaw: the thread's end tells the server, which replaces it.
    queueMicrotask(() => {
      throw error
    })
  })
}

port.on('message', (order: Order) => inTurn(() => obey(order)))
