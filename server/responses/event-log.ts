/** The events of a response in the background, as text, for whoever takes up its stream again: from any of them on, and those to come as they come. */
import { jsonOf, paced } from '../json.ts'
import type { ResponseEvent } from './writer.ts'

/** An event's JSON, in pieces where it is long. */
export interface Told {
  type: string
  json: string | readonly string[]
}

/** What an event takes beside its text, roughly. */
const OVERHEAD = 128

export class EventLog {
  /** By sequence number. */
  private readonly told: Told[] = []
  private readonly grown: (bytes: number) => void
  /** Long events that are being written, and those that wait behind them. */
  private writing: Promise<void> | undefined
  private over = false
  /** Readers that have read all there is. */
  private waiting: (() => void)[] = []
  bytes = 0

  /** `grown` is told of the bytes that each event adds. */
  constructor(grown: (bytes: number) => void) {
    this.grown = grown
  }

  /** The next event: its text is made now, as the response stands. */
  add(event: ResponseEvent): void {
    const json = jsonOf(event)
    if (typeof json === 'string' && !this.writing) this.push({ type: event.type, json })
    else this.after(async () => this.push({ type: event.type, json: typeof json === 'string' ? json : await whole(json) }))
  }

  /** No more will come. */
  close(): void {
    if (this.writing) {
      this.after(async () => this.end())
      return
    }
    this.end()
  }

  /** Events from sequence number `first` on, until there will be no more. */
  async *from(first: number): AsyncGenerator<Told> {
    for (let next = first; ; next++) {
      while (next >= this.told.length) {
        if (this.over) return
        await new Promise<void>((resolve) => this.waiting.push(resolve))
      }
      yield this.told[next]
    }
  }

  private push(told: Told): void {
    this.told.push(told)
    const length = typeof told.json === 'string' ? told.json.length : told.json.reduce((sum, piece) => sum + piece.length, 0)
    const bytes = OVERHEAD + 2 * length
    this.bytes += bytes
    this.grown(bytes)
    this.wake()
  }

  private end(): void {
    this.over = true
    this.wake()
  }

  private wake(): void {
    for (const resolve of this.waiting.splice(0)) resolve()
  }

  private after(work: () => Promise<void>): void {
    const mine = (this.writing ?? Promise.resolve()).then(work).then(() => {
      if (this.writing === mine) this.writing = undefined
    })
    this.writing = mine
  }
}

async function whole(pieces: Iterable<string>): Promise<string[]> {
  const all: string[] = []
  for await (const piece of paced(pieces)) all.push(piece)
  return all
}
