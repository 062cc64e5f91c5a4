#!/usr/bin/env node
/** `lorikeet`: the command line. Signals are heard before the rest is even loaded. */
import { hearSignals, superviseServer } from './signals.ts'

if (process.pid === 1) superviseServer()
else {
  hearSignals()
  const commands = await import('./commands.ts').catch((error: Error) => {
    // Too few file handles, most likely: all files are opened at once.
    console.error(`lorikeet: it cannot be loaded: ${error.message}`)
    process.exit(1)
  })
  await commands.main(process.argv.slice(2)).catch(commands.fail)
}
