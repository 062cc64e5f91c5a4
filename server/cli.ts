#!/usr/bin/env node
/** `lorikeet`: the command line. */
import cliProgress from 'cli-progress'
import { readConfig } from './config/config.ts'
import { serveHelp, USAGE } from './config/help.ts'
import type { Config } from './config/settings.ts'
import { type Server, serve } from './serve.ts'
import { VERSION } from './version.ts'

async function main(args: string[]): Promise<void> {
  const [command, ...rest] = args
  if (command === '--version' || command === '-v') return console.log(VERSION)
  if (command === 'serve')
    return rest.includes('--help') || rest.includes('-h') ? console.log(serveHelp()) : run(readConfig(rest, process.env))
  if (command === undefined || command === '--help' || command === '-h' || command === 'help') return console.log(USAGE)
  throw new Error(`unknown command ${command}; see lorikeet --help`)
}

async function run(config: Config): Promise<void> {
  const bar = process.stderr.isTTY ? progressBar() : undefined
  let server: Server
  try {
    server = await serve(config, {
      onProgress: (fraction) => bar?.update(Math.floor(fraction * 100)),
      onFailure: (error) => {
        console.error(`lorikeet: ${error.message}`)
        process.exitCode = 1
        server.close().finally(() => process.exit(1))
      },
    })
  } finally {
    bar?.stop()
  }
  const served = server.adapters.filter((record) => record.image)
  for (const record of server.adapters)
    if (!record.image) console.error(`lorikeet: adapter ${record.name} is refused: ${record.refusal}`)
  const count = `${served.length} adapter${served.length === 1 ? '' : 's'}`
  console.log(`lorikeet: serving ${server.serving.model.name} with ${count} on ${server.address}`)
  let stopping = false
  const stop = () => {
    // The second one means it.
    if (stopping) process.exit(130)
    stopping = true
    server.close().then(
      () => process.exit(0),
      (error: Error) => fail(error),
    )
  }
  process.on('SIGINT', stop)
  process.on('SIGTERM', stop)
}

function progressBar(): cliProgress.SingleBar {
  const bar = new cliProgress.SingleBar(
    { format: 'loading {bar} {percentage}%', clearOnComplete: true, hideCursor: true, stream: process.stderr },
    cliProgress.Presets.shades_classic,
  )
  bar.start(100, 0)
  return bar
}

function fail(error: Error): never {
  const hint = (error as NodeJS.ErrnoException).code === 'EADDRINUSE' ? '; choose another with --port' : ''
  console.error(`lorikeet: ${error.message}${hint}`)
  process.exit(1)
}

main(process.argv.slice(2)).catch(fail)
