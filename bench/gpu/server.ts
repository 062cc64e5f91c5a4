/** `lorikeet serve` in a process of its own, as a user starts it. */
import { spawn } from 'node:child_process'
import path from 'node:path'
import { createInterface } from 'node:readline'
import type { Device } from '../../native/types.ts'
import { repoRoot } from '../../test/support/repo.ts'

export interface ServedProcess {
  url: string
  /** Seconds from the start of the process until it listened. */
  loadSeconds: number
  /** Value of a metric without labels (the sum over its labels), from /metrics. */
  metric(name: string): Promise<number>
  close(): Promise<void>
}

/** `flags` are those of `lorikeet serve`. Rejects with what the server said if it ends before it listens. */
export async function startServer(model: string, device: Device, flags: Record<string, string | number>): Promise<ServedProcess> {
  const given = Object.entries({ port: 0, device, 'served-model-name': 'base', 'log-level': 'error', ...flags })
  const args = [
    path.join(repoRoot(), 'dist/server/cli.js'),
    'serve',
    model,
    ...given.flatMap(([name, value]) => [`--${name}`, String(value)]),
  ]
  const started = performance.now()
  const server = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] })
  const ended = new Promise<void>((resolve) => server.once('exit', () => resolve()))
  let said = ''
  const url = await new Promise<string>((resolve, reject) => {
    for (const stream of [server.stdout, server.stderr])
      createInterface({ input: stream }).on('line', (line) => {
        said = `${said}${line}\n`.slice(-2000)
        const found = /http:\/\/[\w.:[\]]+\d/.exec(line)
        if (found) resolve(found[0])
      })
    server.once('exit', (code) => reject(new Error(`the server ended with ${code}: ${said}`)))
  })
  return {
    url,
    loadSeconds: (performance.now() - started) / 1e3,
    async metric(name) {
      const text = await (await fetch(`${url}/metrics`)).text()
      const lines = text.split('\n').filter((line) => line.startsWith(`${name} `) || line.startsWith(`${name}{`))
      if (lines.length === 0) throw new Error(`/metrics has no ${name}`)
      return lines.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' ') + 1)), 0)
    },
    async close() {
      server.kill('SIGINT')
      await ended
    },
  }
}
