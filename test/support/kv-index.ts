/** An independent client of KV events (test/fixtures/kv-events/index.py) that keeps an index of what a server has cached, step by step as a test says. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { createInterface, type Interface } from 'node:readline'
import { fixture } from './repo.ts'

/** What it believes, and what it has seen so far. */
export interface Told {
  /** Number of the last batch that it has read. */
  sequence: number
  hashes: string[]
  /** JSON of the extra keys that blocks of adapters have, each once. */
  keys: string[]
  /** Times that its socket has connected. */
  connections: number
  /** Events that cannot be true. */
  faults: string[]
  stored: number
  removed: number
  cleared: number
  /** Times that it asked for past batches, and that it started over. */
  asked: number
  anew: number
  /** Batches that a test had it lose. */
  lost: number
}

/** The reason for which it cannot be run here; false: it can. */
export function noKvIndex(): string | false {
  const { status, stderr } = spawnSync('python3', ['-c', 'import zmq, msgspec'], { encoding: 'utf8' })
  return status !== 0 && `python3 with pyzmq and msgspec cannot be run: ${stderr?.trim().split('\n').at(-1) ?? 'it is not there'}`
}

export class KvIndex {
  private readonly child: ChildProcess
  private readonly lines: AsyncIterableIterator<string>
  private stderr = ''

  /** `url`: of the server, for when it has to start over. It is ended when the test ends. */
  constructor(
    t: { teardown(handler: () => unknown): unknown },
    { endpoint, replayEndpoint, topic, url }: { endpoint: string; replayEndpoint: string; topic: string; url: string },
  ) {
    const file = fixture('kv-events', 'index.py')
    this.child = spawn('python3', [file, endpoint, replayEndpoint, topic, url], { stdio: ['pipe', 'pipe', 'pipe'] })
    this.child.stderr?.setEncoding('utf8').on('data', (piece: string) => {
      this.stderr += piece
    })
    const lines: Interface = createInterface({ input: this.child.stdout as NonNullable<ChildProcess['stdout']> })
    this.lines = lines[Symbol.asyncIterator]() as AsyncIterableIterator<string>
    t.teardown(async () => {
      if (this.child.exitCode !== null || this.child.signalCode !== null) return
      this.child.kill('SIGKILL')
      await once(this.child, 'close')
    })
  }

  /** Reads up to a batch and not further. */
  at(sequence: number): Promise<Told> {
    return this.tell({ do: 'at', sequence })
  }

  /** Reads until nothing comes any more. */
  wait(): Promise<Told> {
    return this.tell({ do: 'wait' })
  }

  /** Loses the batches that come next. */
  deaf(batches: number): Promise<Told> {
    return this.tell({ do: 'deaf', batches })
  }

  private async tell(command: object): Promise<Told> {
    this.child.stdin?.write(`${JSON.stringify(command)}\n`)
    const { value, done } = await this.lines.next()
    if (done) throw new Error(`the client of KV events ended: ${this.stderr}`)
    return JSON.parse(value) as Told
  }
}

/** Empty: what it believes is so. */
export function mistakes(told: Told, actual: readonly string[]): string[] {
  const believed = new Set(told.hashes)
  const real = new Set(actual)
  return [
    ...told.faults,
    ...actual.filter((hash) => !believed.has(hash)).map((hash) => `${hash} is cached, and it does not know`),
    ...told.hashes.filter((hash) => !real.has(hash)).map((hash) => `${hash} is not cached, and it believes so`),
  ]
}
