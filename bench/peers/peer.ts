/** A peer in a process of its own: one JSON line in, one JSON line out, idle in between, so that peers and Lorikeet can take turns in one run. */
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process'
import { createInterface } from 'node:readline'

export interface PeerJob {
  /** One prompt per client, all of one length. */
  prompts: number[][]
  /** Adapter of each prompt. */
  adapters: string[]
  /** Tokens to generate for each. */
  new: number
}

export class Peer {
  readonly #process: ChildProcessWithoutNullStreams
  readonly #lines: AsyncIterator<string>
  readonly #command: string
  #errors = ''

  private constructor(command: string[], cwd?: string) {
    this.#command = command.join(' ')
    this.#process = spawn(command[0], command.slice(1), { cwd })
    this.#process.stderr.on('data', (data) => {
      this.#errors = (this.#errors + data).slice(-2000)
    })
    this.#lines = createInterface({ input: this.#process.stdout })[Symbol.asyncIterator]()
  }

  /** Resolves when the peer has loaded its model. */
  static async start(command: string[], cwd?: string): Promise<Peer> {
    const peer = new Peer(command, cwd)
    await peer.#answer()
    return peer
  }

  async run(job: unknown): Promise<{ seconds: number; tokens: number }> {
    this.#process.stdin.write(`${JSON.stringify(job)}\n`)
    return (await this.#answer()) as { seconds: number; tokens: number }
  }

  get pid(): number {
    return this.#process.pid as number
  }

  close(): void {
    this.#process.stdin.end()
    this.#process.kill()
  }

  async #answer(): Promise<unknown> {
    for (;;) {
      const line = await this.#lines.next()
      if (line.done) throw new Error(`${this.#command} ended: ${this.#errors}`)
      if (line.value.startsWith('{')) return JSON.parse(line.value)
    }
  }
}
