#!/usr/bin/env node
/** `lorikeet`: the command line. Signals are heard before the rest is even loaded. */
import { hearSignals, superviseServer } from './signals.ts'

if (process.pid === 1) superviseServer()
else {
  hearSignals()
  const { main, fail } = await import('./commands.ts')
  await main(process.argv.slice(2)).catch(fail)
}
