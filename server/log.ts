/**
 * The log: for people on a terminal, JSON lines elsewhere; on stderr, so that stdout holds the two lines that say what is served on what. A log that cannot be
 * written (its disk is full, its reader is gone or stalls) never stops serving: lines are lost, counted, and told of as soon as one can be written again.
 */
import { writeSync } from 'node:fs'
import { Writable } from 'node:stream'
import { type DestinationStream, type Logger, pino } from 'pino'
import pretty from 'pino-pretty'
import { printable, printableJson, printableLines } from './printable.ts'

const STDERR = 2

export class LogSink extends Writable {
  /** Lines lost so far. */
  lost = 0
  private untold = 0
  private readonly put: (text: string) => void

  /** `put` writes all of a text, or throws. */
  constructor(put: (text: string) => void = writeAll) {
    super({ decodeStrings: false })
    this.put = put
  }

  override _write(line: string, _encoding: BufferEncoding, done: () => void): void {
    try {
      if (this.untold > 0)
        this.put(`${JSON.stringify({ level: 40, time: Date.now(), msg: `${this.untold} lines of this log were lost` })}\n`)
      this.untold = 0
      this.put(line)
    } catch {
      this.lost++
      this.untold++
    }
    done()
  }
}

function writeAll(text: string): void {
  const bytes = Buffer.from(text)
  for (let at = 0; at < bytes.length; ) at += writeSync(STDERR, bytes, at)
}

/** The process's own. */
export const logSink = new LogSink()

export function createLog(level: string): Logger {
  return pino({ level }, process.stderr.isTTY ? forPeople(logSink) : forPrograms(logSink))
}

/** JSON lines; somebody will look at them in a terminal too. */
export function forPrograms(sink: DestinationStream): DestinationStream {
  return { write: (line) => sink.write(printableJson(line)) }
}

/** Coloured lines. What colours them is pino-pretty's alone: the texts of a line come to it printable. */
export function forPeople(sink: Writable): DestinationStream {
  const lines = pretty({ destination: sink, ignore: 'pid,hostname' })
  return { write: (line) => lines.write(`${JSON.stringify(JSON.parse(line, shown))}\n`) }
}

function shown(key: string, value: unknown): unknown {
  if (typeof value === 'string') return key === 'stack' ? printableLines(value) : printable(value)
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value
  return Object.fromEntries(Object.entries(value).map(([name, inner]) => [printable(name), inner]))
}
