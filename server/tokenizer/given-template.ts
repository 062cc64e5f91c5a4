/**
 * Chat templates that requests bring. Forty bytes of Jinja can loop for ever or fill the heap, and V8 ends the whole process when a heap is full, a worker
 * thread's too: so they run in a process of their own, one at a time, with limits on time, memory and output.
 */
import { type ChildProcess, fork } from 'node:child_process'
import { TemplateError } from '../errors.ts'
import type { ChatMessage, RenderOptions } from '../types.ts'

export const LIMITS = { milliseconds: 1000, heapMegabytes: 192, characters: 16 << 20 }

export interface GivenTemplate {
  source: string
  /** The model's special tokens by name. */
  tokens: Record<string, string>
  messages: ChatMessage[]
  options: RenderOptions
}

/** What the process answers. */
export type Rendered = { text: string } | { error: string }

export class GivenTemplates {
  private child: ChildProcess | undefined
  private last: Promise<unknown> = Promise.resolve()

  /** Rejects with TemplateError. */
  render(job: GivenTemplate): Promise<string> {
    const mine = this.last.then(() => this.run(job))
    this.last = mine.catch(() => undefined)
    return mine
  }

  private async run(job: GivenTemplate): Promise<string> {
    this.child ??= this.start()
    const { child } = this
    child.ref()
    const rendered = await new Promise<Rendered>((resolve) => {
      const onMessage = (answer: Rendered) => end(answer)
      const onExit = () => end({ error: `the request's chat template took more than ${LIMITS.heapMegabytes} MB` })
      const onError = (error: Error) => end({ error: `the request's chat template could not be run: ${error.message}` })
      const end = (answer: Rendered) => {
        child.off('message', onMessage).off('exit', onExit).off('error', onError)
        resolve(answer)
      }
      child.on('message', onMessage).on('exit', onExit).on('error', onError)
      try {
        child.send({ ...job })
      } catch (error) {
        // JSON nested some thousands deep: writing it out again takes more stack than reading it did.
        onError(error as Error)
      }
    })
    child.unref()
    if ('error' in rendered) throw new TemplateError(rendered.error)
    return rendered.text
  }

  /** Ends with the server: its channel closes then. Idle, it keeps nobody awake. */
  private start(): ChildProcess {
    const child = fork(new URL('./template-process.js', import.meta.url), {
      execArgv: [`--max-old-space-size=${LIMITS.heapMegabytes}`],
      env: {},
      stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
    })
    const forget = () => {
      if (this.child === child) this.child = undefined
    }
    child.on('exit', forget).on('error', forget)
    child.unref()
    child.channel?.unref()
    return child
  }
}
