/** The command line in a process of its own. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import path from 'node:path'
import { repoRoot } from '../../support/repo.ts'

export const cli = path.join(repoRoot(), 'dist/server/cli.js')

export interface Running {
  child: ChildProcess
  /** Both as far as they have come. */
  stdout: () => string
  stderr: () => string
  ended: Promise<{ code: number | null; signal: NodeJS.Signals | null; stdout: string; stderr: string }>
}

/** `before`: what it is started by, instead of directly. */
export function lorikeet(args: string[], environment: Record<string, string> = {}, before: string[] = []): Running {
  const [command, ...rest] = [...before, process.execPath, cli, ...args]
  const child = spawn(command, rest, {
    env: { ...process.env, ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const text = { stdout: '', stderr: '' }
  for (const name of ['stdout', 'stderr'] as const)
    child[name]?.setEncoding('utf8').on('data', (piece: string) => {
      text[name] += piece
    })
  const ended = once(child, 'close').then(([code, signal]) => ({ code, signal, ...text }))
  return { child, stdout: () => text.stdout, stderr: () => text.stderr, ended }
}

/** A server that listens, on a port of the system's choice unless `args` have one; its address is taken from the line that says so. */
export async function serving(
  t: { teardown(handler: () => unknown): unknown },
  args: string[],
  environment: Record<string, string> = {},
  before: string[] = [],
): Promise<Running & { address: string }> {
  const running = lorikeet(['serve', ...(args.includes('--port') ? [] : ['--port', '0']), ...args], environment, before)
  t.teardown(() => running.child.kill('SIGKILL'))
  const line = new Promise<string>((resolve, reject) => {
    running.child.stdout?.on('data', () => {
      const found = /on (http:\S+)\n/.exec(running.stdout())
      if (found) resolve(found[1])
    })
    running.ended.then(({ stderr }) => reject(new Error(`it ended: ${stderr}`)))
  })
  return { ...running, address: await line }
}
