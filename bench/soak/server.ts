/** `lorikeet serve` as a child process, and what can be seen of it from outside. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import path from 'node:path'
import { createInterface } from 'node:readline'
import { repoRoot } from '../../test/support/repo.ts'
import { metricOn } from '../server-process.ts'

/** Of one moment. */
export interface Sample {
  /** Milliseconds since the epoch. */
  at: number
  /** MiB of the server's process. */
  rss: number
  /** Open file descriptors of it, and how many there are of each kind. */
  descriptors: number
  kinds: string
  running: number
  waiting: number
  /** Adapters that can be asked for, and bytes of those in host memory and of what is kept for loads under way. */
  known: number
  host: number
  reserved: number
  /** Of the pool, by what they hold. */
  blocks: Record<'free' | 'sequences' | 'adapters' | 'idle_adapters' | 'cached_prefixes', number>
  counters: Record<'generation_tokens' | 'preemptions' | 'adapter_evictions' | 'prefix_evictions' | 'failed_steps', number>
}

export class SoakServer {
  readonly url: string
  /** What it has written, lines of its log too. */
  readonly said: string[]
  private readonly child: ChildProcess

  private constructor(child: ChildProcess, url: string, said: string[]) {
    this.child = child
    this.url = url
    this.said = said
  }

  static async start(flags: string[]): Promise<SoakServer> {
    const child = spawn(process.execPath, [path.join(repoRoot(), 'dist/server/cli.js'), 'serve', '--port', '0', ...flags], {
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    const said: string[] = []
    const url = await new Promise<string>((resolve, reject) => {
      for (const stream of [child.stdout, child.stderr])
        createInterface({ input: stream }).on('line', (line) => {
          said.push(line)
          const found = /http:\/\/[\w.:[\]]+\d/.exec(line)
          if (found) resolve(found[0])
        })
      child.on('exit', (code) => reject(new Error(`lorikeet ended with ${code}: ${said.slice(-20).join('\n')}`)))
    })
    return new SoakServer(child, url, said)
  }

  get dead(): boolean {
    return this.child.exitCode !== null || this.child.signalCode !== null
  }

  async sample(): Promise<Sample> {
    // Before our own connection is one of them.
    const folder = `/proc/${this.child.pid}`
    const names = readdirSync(`${folder}/fd`)
    const kinds = kindsOf(folder, names)
    const page = await (await fetch(`${this.url}/metrics`, { headers: { connection: 'close' } })).text()
    const value = (name: string, labels?: string) => metricOn(page, name, labels)
    const block = (state: string) => value('lorikeet_pool_blocks', `state="${state}"`)
    return {
      at: Date.now(),
      rss: Number(/^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`${folder}/status`, 'utf8'))?.[1]) / 1024,
      descriptors: names.length,
      kinds,
      running: value('vllm:num_requests_running'),
      waiting: value('vllm:num_requests_waiting'),
      known: value('lorikeet_known_adapters'),
      host: value('lorikeet_host_memory_bytes', 'state="used"'),
      reserved: value('lorikeet_host_memory_bytes', 'state="reserved"'),
      blocks: {
        free: block('free'),
        sequences: block('sequences'),
        adapters: block('adapters'),
        idle_adapters: block('idle_adapters'),
        cached_prefixes: block('cached_prefixes'),
      },
      counters: {
        generation_tokens: value('vllm:generation_tokens_total'),
        preemptions: value('vllm:num_preemptions_total'),
        adapter_evictions: value('lorikeet_adapter_evictions_total'),
        prefix_evictions: value('lorikeet_prefix_evictions_total'),
        failed_steps: value('lorikeet_failed_steps_total'),
      },
    }
  }

  /** SIGTERM; resolves to how it ended and after how many seconds. */
  async terminate(): Promise<{ code: number | null; signal: string | null; seconds: number }> {
    const started = performance.now()
    const exit = once(this.child, 'exit')
    this.child.kill('SIGTERM')
    const [code, signal] = await exit
    return { code, signal, seconds: (performance.now() - started) / 1000 }
  }

  kill(): void {
    this.child.kill('SIGKILL')
  }
}

/** `3 pipe, 2 TCP connection, …`, of the descriptors with these numbers of a process. */
function kindsOf(folder: string, numbers: string[]): string {
  // The tenth column of a connection's line is its inode, the fourth its state: 0A listens.
  const lines = ['tcp', 'tcp6'].flatMap((name) => readFileSync(`${folder}/net/${name}`, 'utf8').split('\n').slice(1))
  const connections = new Map(lines.map((line) => line.trim().split(/\s+/)).map((columns) => [columns[9], columns[3]]))
  const counts = new Map<string, number>()
  for (const number of numbers) {
    let kind = 'closed meanwhile'
    try {
      const [, plain, inode] = /^(.*?)(?::\[(\d+)\])?$/.exec(readlinkSync(`${folder}/fd/${number}`)) ?? []
      const state = connections.get(inode)
      kind = plain !== 'socket' ? plain : state ? `TCP in state ${state}` : 'socket between processes'
    } catch {
      // It was open when the folder was listed.
    }
    counts.set(kind, (counts.get(kind) ?? 0) + 1)
  }
  return [...counts]
    .sort()
    .map(([kind, count]) => `${count} ${kind}`)
    .join(', ')
}
