/** What the command line can be told to do. */
import cliProgress from 'cli-progress'
import { AdapterError } from '../adapters-store/index.ts'
import { KEY_HELP, makeKey } from './access/new-key.ts'
import { runBench } from './bench/command.ts'
import { runCheck } from './check/command.ts'
import { readConfig } from './config/config.ts'
import { serveHelp, USAGE } from './config/help.ts'
import type { Config } from './config/settings.ts'
import { downloadProgress } from './download-progress.ts'
import { nearest } from './nearest.ts'
import { printable, printableLines } from './printable.ts'
import { type Server, serve } from './serve.ts'
import { endAtOnce, onStop } from './signals.ts'
import { VERSION } from './version.ts'

export async function main(args: string[]): Promise<void> {
  const [command, ...rest] = args
  if (command === '--version' || command === '-v') return console.log(VERSION)
  if (command === 'serve')
    return rest.includes('--help') || rest.includes('-h')
      ? console.log(serveHelp(process.stdout.columns))
      : run(readConfig(rest, process.env))
  if (command === 'check') {
    process.exitCode = await runCheck(rest, process.env)
    return
  }
  if (command === 'bench') {
    process.exitCode = await runBench(rest, process.env)
    return
  }
  if (command === 'key') return rest.includes('--help') || rest.includes('-h') ? console.log(KEY_HELP) : newKey(rest)
  if (command === undefined || command === '--help' || command === '-h' || command === 'help') return console.log(USAGE)
  const meant = nearest(command, ['serve', 'check', 'bench', 'key', '--version', '--help'], 1)
  throw new Error(`unknown command ${command}; ${meant.length > 0 ? `did you mean ${meant[0]}?` : 'see lorikeet --help'}`)
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
