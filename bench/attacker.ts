/** Runs one attack in a thread of its own, so that what its answers cost is not measured as the server's: workerData names it, the messages are 'ready', then its answers by status. */
import { Agent, request } from 'node:http'
import type { Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { parentPort, workerData } from 'node:worker_threads'
import { ATTACKS, open } from './attacks.ts'

const { name, url, seconds } = workerData as { name: string; url: string; seconds: number }
const attack = ATTACKS.find((one) => one.name === name)
if (!attack || !parentPort) throw new Error(`no attack ${name}, or no thread of its own`)
const run = attack.prepare()
parentPort.postMessage('ready')
await new Promise<void>((resolve) => parentPort?.once('message', () => resolve()))

const { hostname, port } = new URL(url)
const agent = new Agent({ keepAlive: true })
const sockets: Socket[] = []
const answers: Record<string, number> = {}
let over = false

function post(path: string, body: Buffer): Promise<void> {
  return new Promise<void>((resolve) => {
    const told = (what: string | number) => {
      answers[what] = (answers[what] ?? 0) + 1
      resolve()
    }
    const headers = { 'content-type': 'application/json', 'content-length': body.length }
    const client = request({ hostname, port, path, method: 'POST', agent, headers })
    client.on('error', () => told(over ? 'cut at the end' : 'connection lost'))
    client.on('response', (response) => {
      response.on('error', () => {})
      response.on('close', () => told(response.complete ? (response.statusCode ?? 0) : 'cut at the end'))
      response.resume()
    })
    client.end(body)
  }).then(() => (answers[429] ? sleep(20) : undefined))
}

const ended = run({
  host: hostname,
  port: Number(port),
  over: () => over,
  post,
  socket() {
    const socket = open(hostname, Number(port))
    sockets.push(socket)
    return socket
  },
})
await sleep(seconds * 1000)
over = true
agent.destroy()
for (const socket of sockets) socket.destroy()
await ended
parentPort.postMessage(answers)
