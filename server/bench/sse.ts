/** Server-sent events, as they come in pieces of any size (https://html.spec.whatwg.org/multipage/server-sent-events.html). */
export class EventData {
  private rest = ''
  private data: string[] = []

  /** Data of the events that end in this piece. Comments and other fields are passed over. */
  push(piece: string): string[] {
    const found: string[] = []
    const lines = (this.rest + piece).split('\n')
    this.rest = lines.pop() as string
    for (const raw of lines) {
      const line = raw.endsWith('\r') ? raw.slice(0, -1) : raw
      if (line === '') {
        if (this.data.length > 0) found.push(this.data.length === 1 ? this.data[0] : this.data.join('\n'))
        this.data = []
      } else if (line.startsWith('data:')) this.data.push(line.slice(line.charCodeAt(5) === 0x20 ? 6 : 5))
    }
    return found
  }
}
