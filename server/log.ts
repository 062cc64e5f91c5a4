/** The log: for people on a terminal, JSON lines elsewhere; on stderr, so that stdout holds the two lines that say what is served on what. */
import { type Logger, pino } from 'pino'
import pretty from 'pino-pretty'

const STDERR = 2

export function createLog(level: string): Logger {
  const target = process.stderr.isTTY ? pretty({ destination: STDERR, ignore: 'pid,hostname' }) : pino.destination(STDERR)
  return pino({ level }, target)
}
