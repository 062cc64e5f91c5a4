/**
 * What SIGTERM and Ctrl-C do, from the first moment on. Until something is served there is nothing to lose: the process ends at once, of the signal, which shells and orchestrators
 * count as 143 and 130.
 */
import { spawn } from 'node:child_process'
import { constants } from 'node:os'

type Signal = 'SIGINT' | 'SIGTERM'
const SIGNALS: readonly Signal[] = ['SIGINT', 'SIGTERM']

/** Not process.exit(): that waits for the engine's thread, which may be reading a large model, or hang in a step. */
export function endAtOnce(signal: Signal): void {
  process.removeAllListeners(signal)
  process.kill(process.pid, signal)
}

let stop: (signal: Signal) => void = endAtOnce

/** From now on `handler` is called for each signal. */
export function onStop(handler: (signal: Signal) => void): void {
  stop = handler
}

/** Before anything else is loaded. */
export function hearSignals(): void {
  for (const signal of SIGNALS) process.on(signal, () => stop(signal))
}

/**
 * The first process of a container (PID 1) is one that no signal ends, not even its own: the kernel delivers to it only what it has a handler for. So it starts the server as a second
 * process, passes signals on to it, and ends as it ends.
 */
export function superviseServer(): void {
  stop = (signal) => server.kill(signal)
  hearSignals()
  const server = spawn(process.execPath, [...process.execArgv, ...process.argv.slice(1)], { stdio: 'inherit' })
  server.once('error', (error) => {
    console.error(`lorikeet: the server cannot be started: ${error.message}`)
    process.exit(1)
  })
  server.once('exit', (code, signal) => process.exit(code ?? 128 + constants.signals[signal as NodeJS.Signals]))
}
