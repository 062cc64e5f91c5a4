/** `lorikeet serve` in a process of its own, as a user starts it. */
import { spawn } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { createInterface } from 'node:readline'
import { repoRoot } from '../test/support/repo.ts'

export interface ServerProcess {
  url: string
  pid: number
  /** Resolves when it has ended. */
  close(): Promise<void>
}

/** Resolves when it says where it listens. `args` follow `serve`; the port is a free one. Rejects with what it said when it ends before that. */
export async function startServer(args: string[]): Promise<ServerProcess> {
  const server = spawn(process.execPath, [path.join(repoRoot(), 'dist/server/cli.js'), 'serve', ...args, '--port', '0'], {
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const ended = new Promise<void>((resolve) => server.once('exit', () => resolve()))
  let said = ''
  const url = await new Promise<string>((resolve, reject) => {
    for (const stream of [server.stdout, server.stderr])
      createInterface({ input: stream }).on('line', (line) => {
        said = `${said}${line}\n`.slice(-2000)
        const found = /http:\/\/[\w.:[\]]+\d/.exec(line)
        if (found) resolve(found[0])
      })
    server.on('error', reject)
    server.on('exit', (code) => reject(new Error(`lorikeet ended with ${code}: ${said}`)))
  })
  const close = async () => {
    server.kill('SIGINT')
    await ended
  }
  return { url, pid: server.pid as number, close }
}

/** A metric's value on a page of /metrics: the sum over its lines, of those whose labels hold `labels`. Throws where there is none. */
export function metricOn(page: string, name: string, labels = ''): number {
  const lines = page
    .split('\n')
    .filter((line) => (line.startsWith(`${name} `) || line.startsWith(`${name}{`)) && line.includes(labels))
  if (lines.length === 0) throw new Error(`/metrics has no ${name} ${labels}`)
  return lines.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' ') + 1)), 0)
}

/** The same, asked for now. */
export const metricOf = async (url: string, name: string, labels?: string) =>
  metricOn(await (await fetch(`${url}/metrics`)).text(), name, labels)

const ranOf = (file: string) => Number(readFileSync(file, 'utf8').split(' ')[0]) / 1e6

/** Milliseconds for which a server's main thread has had a core, on Linux. */
export const mainRan = ({ pid }: Pick<ServerProcess, 'pid'>) => ranOf(`/proc/${pid}/task/${pid}/schedstat`)

/** The same of all its threads together. */
export const allRan = ({ pid }: Pick<ServerProcess, 'pid'>) =>
  readdirSync(`/proc/${pid}/task`).reduce((sum, task) => sum + ranOf(`/proc/${pid}/task/${task}/schedstat`), 0)

/** Bytes that a process and those it has started hold in memory (VmRSS), on Linux. */
export function residentBytes(pid: number): number {
  try {
    const own = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))
    const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').filter(Boolean)
    return Number(own?.[1] ?? 0) * 1024 + children.reduce((sum, child) => sum + residentBytes(Number(child)), 0)
  } catch {
    // It has ended meanwhile.
    return 0
  }
}
