/** What the server tells, as it comes over the WebSocket: this module keeps it, and tells who listens. */

const KEY = 'lorikeet-key'
/** Milliseconds to the next try after the connection was lost. */
const AGAIN = [500, 1000, 2000, 5000]
const KEY_NEEDED = new Set([4401, 4403])

/** Events: state, hello, now, second, map, owners, adapters, names, key. */
export const events = new EventTarget()
const tell = (name, detail) => events.dispatchEvent(new CustomEvent(name, { detail }))
export const on = (name, listener) =>
  events.addEventListener(name, (event) => listener(/** @type {CustomEvent} */ (event).detail))

export const live = {
  /** @type {any} */ hello: undefined,
  /** @type {any} */ now: undefined,
  /** Of every block: its state and its owner. */
  values: new Uint32Array(0),
  /** Adapters in the pool by index: name, digest, bytes, and the blocks of which they have some frames. */
  adapters: new Map(),
  /** Of blocks that are cut into frames: who lies there, with how many. */
  shared: new Map(),
  /** Groups of sequences by id: adapters, flow. */
  groups: new Map(),
  /** Groups that have sequences now, with their numbers. */
  loads: [],
  /** Sequences that wait beyond those that were counted. */
  uncounted: 0,
}

export const key = () => sessionStorage.getItem(KEY) ?? ''
export function setKey(text) {
  sessionStorage.setItem(KEY, text)
  tries = 0
  connect()
}

let socket
let tries = 0
let retry

export function ask(message) {
  if (socket?.readyState === WebSocket.OPEN && live.hello) socket.send(JSON.stringify(message))
}

export function connect() {
  clearTimeout(retry)
  socket?.close()
  const url = new URL('live', location.href)
  url.protocol = url.protocol.replace('http', 'ws')
  url.hash = ''
  const mine = new WebSocket(url)
  socket = mine
  mine.binaryType = 'arraybuffer'
  mine.onopen = () => mine.send(JSON.stringify({ key: key() }))
  mine.onmessage = ({ data }) => {
    if (socket !== mine) return
    if (typeof data === 'string') text(JSON.parse(data))
    else frame(new Uint32Array(data))
  }
  mine.onclose = ({ code, reason }) => {
    if (socket !== mine) return
    live.hello = undefined
    if (KEY_NEEDED.has(code)) {
      tell('state', { state: 'away', text: 'a key is needed' })
      return tell('key', reason)
    }
    tell('state', { state: 'away', text: reason === '' ? 'not connected' : reason })
    retry = setTimeout(connect, AGAIN[Math.min(tries++, AGAIN.length - 1)])
  }
}

function text(message) {
  switch (message.type) {
    case 'hello':
      live.hello = message
      live.values = new Uint32Array(message.engine.blockCount)
      tries = 0
      tell('state', { state: 'live', text: 'live' })
      break
    case 'owners':
      if (message.whole) {
        live.adapters.clear()
        live.groups.clear()
      }
      for (const index of message.gone) live.adapters.delete(index)
      for (const [index, name, digest, bytes, shared] of message.adapters)
        live.adapters.set(index, { name, digest, bytes, shared })
      shareOut()
      for (const group of message.groups) live.groups.set(group.id, { ...group, name: mixName(group.adapters) })
      break
    case 'now':
      live.now = message
      break
  }
  tell(message.type, message)
}

/** Who lies in the blocks that are cut into frames. */
function shareOut() {
  live.shared.clear()
  for (const adapter of live.adapters.values())
    for (const [block, frames] of adapter.shared) {
      const there = live.shared.get(block)
      if (there) there.push({ adapter, frames })
      else live.shared.set(block, [{ adapter, frames }])
    }
}

/** Numbers of 32 bits: whether all is told, blocks, numbers of the loads, uncounted; then the loads; then runs of blocks (PoolLook in runtime/types.ts). */
function frame(words) {
  const [all, blockCount, loads, uncounted] = words
  if (live.values.length !== blockCount) live.values = new Uint32Array(blockCount)
  const { values } = live
  if (all) values.fill(0)
  live.uncounted = uncounted
  const { loadFields } = live.hello
  live.loads = []
  for (let at = 4; at < 4 + loads; at += loadFields.length) {
    const load = /** @type {any} */ ({})
    for (const [i, field] of loadFields.entries()) load[field] = words[at + i]
    live.loads.push(load)
  }
  const changed = []
  for (let at = 4 + loads; at < words.length; ) {
    const first = words[at]
    const count = words[at + 1]
    values.set(words.subarray(at + 2, at + 2 + count), first)
    changed.push([first, count])
    at += 2 + count
  }
  tell('map', all ? undefined : changed)
}

/** Adapters as they would stand in the header. */
export const mixName = (adapters) =>
  adapters.length === 0
    ? (live.hello?.model ?? 'base')
    : adapters.map(({ name, weight }) => (weight === 1 ? name : `${name} × ${Number(weight.toFixed(3))}`)).join(' + ')

/** Calls an HTTP route of the server, with the key. Throws what it says when it refuses. */
export async function call(method, route, body, headers = {}, signal = undefined) {
  const response = await fetch(`../${route}`, {
    method,
    signal,
    headers: {
      ...(body && { 'content-type': 'application/json' }),
      ...(key() !== '' && { authorization: `Bearer ${key()}` }),
      ...headers,
    },
    body: body && JSON.stringify(body),
  })
  if (response.ok) return response
  const told = await response.json().catch(() => undefined)
  throw new Error(told?.error?.message ?? `${response.status} ${response.statusText}`)
}
