/** A WebSocket client (RFC 6455) whose headers, frames and reading are the test's. */
import { randomBytes } from 'node:crypto'
import { request } from 'node:http'
import type { Socket } from 'node:net'

export interface Closed {
  code: number
  reason: string
}

/** Milliseconds to wait for a message. */
const PATIENCE = 15_000

export class TestSocket {
  /** Texts parsed as JSON, and bytes. */
  // biome-ignore lint/suspicious/noExplicitAny: the tests assert on what they hold
  readonly messages: any[] = []
  /** Resolves when the connection is over; 1006 where no close frame came. */
  readonly closed: Promise<Closed>
  readonly socket: Socket
  private rest: Buffer = Buffer.alloc(0)
  private end: Closed = { code: 1006, reason: '' }
  private waiting: (() => void)[] = []

  private constructor(socket: Socket, head: Buffer) {
    this.socket = socket
    this.closed = new Promise((resolve) => socket.once('close', () => resolve(this.end)))
    socket.on('error', () => {})
    socket.on('data', (data: Buffer) => this.read(data))
    socket.once('close', () => this.wake())
    this.read(head)
  }

  /** Rejects with the status where the server answers with anything but 101. */
  static open(url: string, headers: Record<string, string> = {}): Promise<TestSocket> {
    return new Promise((resolve, reject) => {
      const asked = request(url, {
        headers: {
          connection: 'Upgrade',
          upgrade: 'websocket',
          'sec-websocket-version': '13',
          'sec-websocket-key': randomBytes(16).toString('base64'),
          ...headers,
        },
      })
      asked.on('upgrade', (_response, socket, head) => resolve(new TestSocket(socket as Socket, head)))
      asked.on('response', (response) => {
        response.resume()
        reject(new Error(String(response.statusCode)))
      })
      asked.on('error', reject)
      asked.end()
    })
  }

  send(message: object): void {
    this.frame(1, Buffer.from(JSON.stringify(message)))
  }

  frame(opcode: number, bytes: Buffer): void {
    const mask = randomBytes(4)
    const length = bytes.length < 126 ? [0x80 | bytes.length] : [0x80 | 126, bytes.length >> 8, bytes.length & 255]
    const masked = bytes.map((byte, i) => byte ^ mask[i % 4])
    this.socket.write(Buffer.concat([Buffer.from([0x80 | opcode, ...length]), mask, masked]))
  }

  /** The first message, from now or before, for which `wanted` holds; it and those before it are taken. */
  // biome-ignore lint/suspicious/noExplicitAny: the tests assert on what it holds
  async next(wanted: (message: any) => boolean, patience = PATIENCE): Promise<any> {
    const until = performance.now() + patience
    for (;;) {
      const at = this.messages.findIndex(wanted)
      if (at >= 0) return this.messages.splice(0, at + 1)[at]
      if (this.socket.destroyed) throw new Error(`closed with ${JSON.stringify(this.end)}`)
      if (performance.now() > until) throw new Error(`nothing like that came in ${patience} ms`)
      let timer: NodeJS.Timeout | undefined
      await new Promise<void>((resolve) => {
        this.waiting.push(resolve)
        timer = setTimeout(resolve, patience)
      })
      clearTimeout(timer)
    }
  }

  /** The next of a type. */
  // biome-ignore lint/suspicious/noExplicitAny: the tests assert on what it holds
  told(type: string): Promise<any> {
    return this.next((message) => message.type === type)
  }

  private wake(): void {
    for (const resolve of this.waiting.splice(0)) resolve()
  }

  private read(data: Buffer): void {
    this.rest = Buffer.concat([this.rest, data])
    for (;;) {
      const { rest } = this
      if (rest.length < 2) return
      const opcode = rest[0] & 15
      const short = rest[1] & 127
      const from = short < 126 ? 2 : short === 126 ? 4 : 10
      if (rest.length < from) return
      const length = short < 126 ? short : short === 126 ? rest.readUInt16BE(2) : Number(rest.readBigUInt64BE(2))
      if (rest.length < from + length) return
      const bytes = rest.subarray(from, from + length)
      this.rest = rest.subarray(from + length)
      if (opcode === 1) this.messages.push(JSON.parse(bytes.toString()))
      else if (opcode === 2) this.messages.push(new Uint32Array(Uint8Array.from(bytes).buffer))
      else if (opcode === 9) this.frame(10, bytes)
      else if (opcode === 8) {
        this.end = { code: bytes.length >= 2 ? bytes.readUInt16BE(0) : 1005, reason: bytes.subarray(2).toString() }
        this.frame(8, bytes.subarray(0, 2))
        this.socket.end()
      }
      this.wake()
    }
  }
}
