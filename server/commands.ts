/** What the command line can be told to do. */
import cliProgress from 'cli-progress'
import { AdapterError } from '../adapters-store/index.ts'
import { makeKey } from './access/new-key.ts'
import { runBench } from './bench/command.ts'
import { runCheck } from './check/command.ts'
import { COMMANDS, type Command, commandNamed, SHELLS, usage } from './command-line/commands.ts'
import { completionScript, isShell } from './command-line/completion.ts'
import { readConfig } from './config/config.ts'
import { helpText } from './config/help.ts'
import type { Config } from './config/settings.ts'
import { downloadProgress } from './download-progress.ts'
import { nearest } from './nearest.ts'
import { printable, printableLines } from './printable.ts'
import { type Server, serve } from './serve.ts'
import { endAtOnce, onStop } from './signals.ts'
import { VERSION } from './version.ts'

export async function main(args: string[]): Promise<void> {
  const [name, ...rest] = args
  if (name === '--version' || name === '-v') return console.log(VERSION)
  if (name === undefined || name === '--help' || name === '-h') return console.log(usage())
  if (name === 'help') return console.log(rest.length > 0 ? helpText(found(rest[0]), process.stdout.columns) : usage())
  const command = found(name)
  if (rest.includes('--help') || rest.includes('-h')) return console.log(helpText(command, process.stdout.columns))
  switch (command.name) {
    case 'serve':
      return run(readConfig(rest, process.env))
    case 'check':
      process.exitCode = await runCheck(rest, process.env)
      return
    case 'bench':
      process.exitCode = await runBench(rest, process.env)
      return
    case 'completion':
      return completion(rest)
    case 'key':
      return newKey(rest)
  }
}

/** Throws for a name that no command has. */
function found(name: string): Command {
  const command = commandNamed(name)
  if (command) return command
  const [meant] = nearest(name, [...COMMANDS.map((one) => one.name), '--version', '--help'], 1)
  throw new Error(
    `unknown ${name.startsWith('-') ? 'flag' : 'command'} ${name}; ${meant ? `did you mean ${meant}?` : 'see lorikeet --help'}`,
  )
}

function completion(args: readonly string[]): void {
  const [shell] = args
  if (args.length !== 1 || !isShell(shell))
    throw new Error(`lorikeet completion is for one of ${SHELLS.join(', ')}${args.length === 0 ? '' : `, not ${args.join(' ')}`}`)
  process.stdout.write(completionScript(shell))
}

function newKey(args: string[]): void {
  const { key, line } = makeKey(args)
  console.log(line)
  console.error(`lorikeet: the key, which is shown this once: ${key}`)
}

async function run(config: Config): Promise<void> {
  const terminal = process.stderr.isTTY === true
  const onDownload = downloadProgress(terminal, (line) => console.error(printable(`lorikeet: ${line}`)))
  let bar: cliProgress.SingleBar | undefined
  let server: Server | undefined
  try {
    server = await serve(config, {
      onRefusal: ({ name, directory, detail }) =>
        console.error(printable(`lorikeet: adapter ${name} (${directory}) is refused: ${detail}`)),
      onDownload: (progress) => {
        bar?.stop()
        onDownload(progress)
      },
      onProgress: (fraction) => {
        if (terminal) bar ??= progressBar()
        bar?.update(Math.floor(fraction * 100))
      },
      onFailure: (error) => {
        console.error(`lorikeet: ${printable(error.message)}`)
        // Open requests have been told; their answers still have to leave.
        Promise.resolve(server?.close()).finally(() => process.exit(1))
      },
    })
  } finally {
    bar?.stop()
  }
  announce(server)
  stopOnSignals(server)
}

function announce({ adapters, serving, address, adminAddress, device }: Server): void {
  const count = `${adapters.length} adapter${adapters.length === 1 ? '' : 's'}`
  console.log(printable(`lorikeet: device: ${device}`))
  console.log(printable(`lorikeet: serving ${serving.model.name} with ${count} on ${address}`))
  if (adminAddress) console.log(printable(`lorikeet: metrics, docs and management on ${adminAddress}`))
}

/** Under npm one Ctrl-C comes twice: from the terminal, and passed on by npm. */
const SAME_KEY_MS = 500

function stopOnSignals(server: Server): void {
  let stoppingSince: number | undefined
  onStop((signal) => {
    if (stoppingSince !== undefined) {
      // Another one means it.
      if (performance.now() - stoppingSince > SAME_KEY_MS) endAtOnce(signal)
      return
    }
    stoppingSince = performance.now()
    const { running, waiting } = server.serving.engine.snapshot
    if (running + waiting > 0) console.error('lorikeet: finishing what is in flight; Ctrl-C again ends at once')
    server.close().then(() => process.exit(0), fail)
  })
}

function progressBar(): cliProgress.SingleBar {
  const bar = new cliProgress.SingleBar(
    { format: 'loading {bar} {percentage}%', clearOnComplete: true, hideCursor: true, stream: process.stderr },
    cliProgress.Presets.shades_classic,
  )
  bar.start(100, 0)
  return bar
}

export function fail(error: Error): never {
  const hint = (error as NodeJS.ErrnoException).code === 'EADDRINUSE' ? '; choose another with --port' : ''
  const text = error instanceof AdapterError ? error.detail : error.message
  console.error(`lorikeet: ${printableLines(text)}${hint}`)
  process.exit(1)
}
