/**
 * File handles (`ulimit -n`). Node itself aborts where it needs one and there is none: each short text is read under a watch (tokenizer/watchdog.ts), which opens some for as long as it
 * takes. So connections, which anybody may open, never take the last.
 */
import { readdirSync, readFileSync } from 'node:fs'
import type { Server } from 'node:http'
import type { Logger } from 'pino'
import { ConfigError } from './config/values.ts'

/** For watches, threads that load adapters, files that they read, connections that are refused: some 20 at once. */
const RESERVE = 32
/** A process that reads texts: its channel, and what starting it takes. */
const PER_PROCESS = 4
/** Connections with which serving begins to make sense. */
const LEAST = 8
/** Milliseconds between two warnings. */
const QUIET = 60_000

/** How many connections leave enough for the rest, `processes` that read texts among it; undefined where the system does not tell (other than Linux). Throws ConfigError if too few do. */
export function mostConnections(processes: number, limits = limitsOfThis()): number | undefined {
  if (limits === undefined) return undefined
  const most = limits.allowed - limits.used - RESERVE - PER_PROCESS * processes
  if (most >= LEAST) return most
  throw new ConfigError(
    `the process may open ${limits.allowed} files (ulimit -n), which leaves too few for connections; it needs ${limits.allowed - most + LEAST} at least`,
  )
}

function limitsOfThis(): { allowed: number; used: number } | undefined {
  try {
    const soft = /^Max open files\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1]
    return soft === undefined ? undefined : { allowed: Number(soft), used: readdirSync('/proc/self/fd').length }
  } catch {
    return undefined
  }
}

/** Closes connections beyond `most` as they come, and warns of it once a minute. */
export function limitConnections(server: Server, most: number | undefined, log: Pick<Logger, 'warn'>): void {
  if (most === undefined) return
  server.maxConnections = most
  let dropped = 0
  let warned = Number.NEGATIVE_INFINITY
  server.on('drop', () => {
    dropped++
    if (performance.now() - warned < QUIET) return
    warned = performance.now()
    log.warn(`${dropped} connections were closed: ${most} are open, all that the limit of open files (ulimit -n) leaves`)
    dropped = 0
  })
}
