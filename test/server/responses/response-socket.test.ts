/** What bounds a WebSocket's reader: bytes that wait, time without reading or answering, and how long a connection lasts. */

import type { Socket } from 'node:net'
import { PassThrough } from 'node:stream'
import { setTimeout } from 'node:timers/promises'
import t from 'tap'
import { MOST_BACKLOG, ResponseSocket, type WebSocket } from '../../../server/responses/response-socket.ts'
import { fakeServing } from '../../support/fake-serving.ts'
import { TestSocket } from '../../support/web-socket.ts'

/** A WebSocket that keeps what it is given. */
class Fake implements WebSocket {
  bufferedAmount = 0
  sent: string[] = []
  pings = 0
  terminated = false
  closed: number | undefined
  private readonly listeners = new Map<string, (data: Buffer, binary: boolean) => void>()

  send(data: string): void {
    this.sent.push(data)
    this.bufferedAmount += data.length
  }
  close(code: number): void {
    this.closed = code
  }
  terminate(): void {
    this.terminated = true
  }
  ping(): void {
    this.pings++
  }
  pause(): void {}
  resume(): void {}
  on(event: string, listener: (data: Buffer, binary: boolean) => void): void {
    this.listeners.set(event, listener)
  }
  emit(event: string): void {
    this.listeners.get(event)?.(Buffer.alloc(0), false)
  }
}

function socketOn(fake: Fake) {
  const connection = new PassThrough()
  return { socket: new ResponseSocket(fake, connection as unknown as Socket), connection }
}

t.test('events of a turn go out together', async (t) => {
  const fake = new Fake()
  const { socket, connection } = socketOn(fake)
  socket.send({ a: 1 })
  socket.send({ a: 2 })
  t.equal(connection.writableCorked, 1)
  await setTimeout(0)
  t.equal(connection.writableCorked, 0)
  t.same(fake.sent, ['{"a":1}', '{"a":2}'])
})

t.test('who leaves too much waiting is cut, before more is made for it', async (t) => {
  const fake = new Fake()
  const { socket } = socketOn(fake)
  fake.bufferedAmount = MOST_BACKLOG
  socket.send({ a: 1 })
  t.notOk(fake.terminated)
  socket.send({ a: 2 })
  t.ok(fake.terminated)
  t.equal(fake.sent.length, 1)
})

t.test('who reads nothing for long is cut; who reads slowly is not', async (t) => {
  const fake = new Fake()
  const { socket } = socketOn(fake)
  socket.send({ text: 'x'.repeat(1000) })
  const at = performance.now()
  socket.cutUnread(1000, at)
  fake.bufferedAmount -= 1
  socket.cutUnread(1000, at + 900)
  socket.cutUnread(1000, at + 1800)
  t.notOk(fake.terminated, 'it has read a little')
  socket.cutUnread(1000, at + 1901)
  t.ok(fake.terminated)
  const idle = new Fake()
  const other = socketOn(idle).socket
  other.cutUnread(1000, at)
  other.cutUnread(1000, at + 99_999)
  t.notOk(idle.terminated, 'nothing is there for it')
})

t.test('who answers no ping is cut', async (t) => {
  const fake = new Fake()
  const { socket } = socketOn(fake)
  socket.ping()
  fake.emit('pong')
  socket.ping()
  t.equal(fake.pings, 2)
  t.notOk(fake.terminated)
  socket.ping()
  t.ok(fake.terminated)
})

t.test('a flood for who does not read ends with the connection; another reader gets all', async (t) => {
  const PIECES = 40_000
  const fake = await fakeServing(t, ({ send }, index) => {
    const total = index === 0 ? PIECES : 500
    let sent = 0
    const more = () => {
      for (let i = 0; i < 200 && sent < total; i++)
        send({ tokens: [700], cachedTokens: 0, ...(++sent === total && { finish: 'length' }) })
      if (sent < total && !fake.aborted.includes(fake.submitted[index].request.id)) setImmediate(more)
    }
    setImmediate(more)
  })
  const slow = await TestSocket.open(`${fake.url}/v1/responses`)
  slow.socket.pause()
  slow.send({ type: 'response.create', input: 'a' })
  while (fake.submitted.length === 0) await setTimeout(5)
  const reader = await TestSocket.open(`${fake.url}/v1/responses`)
  reader.send({ type: 'response.create', input: 'a', max_output_tokens: 500 })
  const { response } = await reader.told('response.incomplete')
  t.equal(response.usage.output_tokens, 500)
  const until = performance.now() + 20_000
  while (fake.aborted.length === 0 && performance.now() < until) await setTimeout(20)
  t.match(fake.aborted, [/^resp_/], 'what nobody reads is generated no more')
  slow.socket.destroy()
  reader.socket.destroy()
})
