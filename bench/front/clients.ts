/** The process of the clients: plain sockets that send one request each, count the tokens that come and note when. Started by front.ts, which tells it what to do. */
import { connect, type Socket } from 'node:net'
import { quantile } from '../report.ts'

/** Open `count` streams of this request, of which each brings `tokens` events after `before` that are none. Answered with 'opened'. */
export interface Open {
  type: 'open'
  port: number
  path: string
  body: string
  count: number
  tokens: number
  before: number
}

/** How late the tokens came from the `from`th on, given when the engine told each; those that came are all that were to come. Answered with Lateness. */
export interface Report {
  type: 'report'
  toldAt: number[]
  from: number
}

export interface Lateness {
  type: 'lateness'
  tokens: number
  p50: number
  p99: number
  max: number
  /** Of the last token's event, as it came. */
  sample: string
}

/** Connections that are made at a time: the server's queue for them holds 511. */
const AT_A_TIME = 100
const EVENT = 'data: {'

let sockets: Socket[] = []
let cameAt = new Float64Array()
let tokens = 0
let sample = ''

function openOne(index: number, { port, path, body, before }: Open): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host: '127.0.0.1', noDelay: true })
    let seen = -before
    let head = true
    const lines = ['host: 127.0.0.1', 'content-type: application/json', `content-length: ${Buffer.byteLength(body)}`]
    socket.on('connect', () => socket.write(`POST ${path} HTTP/1.1\r\n${lines.join('\r\n')}\r\n\r\n${body}`))
    socket.on('data', (data) => {
      const now = Number(process.hrtime.bigint()) / 1e6
      if (head) {
        head = false
        if (!data.toString('latin1', 0, 12).endsWith('200')) reject(new Error(data.toString()))
        resolve()
      }
      for (let at = data.indexOf(EVENT); at >= 0; at = data.indexOf(EVENT, at + EVENT.length)) {
        if (seen >= 0 && seen < tokens) cameAt[index * tokens + seen] = now
        seen++
      }
      if (index === 0 && seen === tokens - 1) sample = data.toString()
    })
    socket.on('error', reject)
    sockets.push(socket)
  })
}

async function open(what: Open): Promise<void> {
  tokens = what.tokens
  cameAt = new Float64Array(what.count * tokens)
  for (let at = 0; at < what.count; at += AT_A_TIME)
    await Promise.all(Array.from({ length: Math.min(AT_A_TIME, what.count - at) }, (_, i) => openOne(at + i, what)))
}

function report({ toldAt, from }: Report): Lateness {
  const late: number[] = []
  for (let i = 0; i < cameAt.length; i++) if (i % tokens >= from && cameAt[i] > 0) late.push(cameAt[i] - toldAt[i % tokens])
  for (const socket of sockets) socket.destroy()
  sockets = []
  return {
    type: 'lateness',
    tokens: late.length,
    p50: quantile(late, 0.5),
    p99: quantile(late, 0.99),
    max: quantile(late, 1),
    sample,
  }
}

process.on('message', (message: Open | Report) => {
  if (message.type === 'report') process.send!(report(message))
  else
    open(message).then(
      () => process.send!({ type: 'opened' }),
      (error) => process.send!({ type: 'failed', message: String(error) }),
    )
})
process.on('disconnect', () => process.exit())
