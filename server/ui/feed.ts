/** What pages see of a running server, ten times a second while one watches and not at all otherwise. All of them are sent the same bytes. */
import { BLOCK_STATES, type EngineSnapshot, LOAD_FIELDS, type PoolLook, STATE_BITS } from '../../runtime/index.ts'
import type { Access } from '../access/access.ts'
import { ApiError } from '../errors.ts'
import type { Serving } from '../types.ts'
import { VERSION } from '../version.ts'
import { AdapterRows } from './adapter-rows.ts'
import { Latencies } from './latency.ts'
import { askedOf, CLOSE, readMessage, type Socket, Watcher } from './watcher.ts'

export interface FeedSettings {
  /** Who may watch. */
  access: Pick<Access, 'keys' | 'callerOf'>
  /** Whether this port generates too, for the playground. */
  generates: boolean
}

/** Pages that watch at a time, and sockets that have not said who they are. */
export const MOST_WATCHERS = 16
export const MOST_STRANGERS = 8
/** Milliseconds. */
const TICK = 100
const SECOND = 1000
const INTRODUCTION = 5000
const PING = 15_000
/** Names that are proposed at a time. */
const PROPOSED = 12

export class Feed {
  private readonly serving: Serving
  private readonly settings: FeedSettings
  private readonly watchers = new Set<Watcher>()
  private readonly rows: AdapterRows
  private latencies = new Latencies()
  private timer: NodeJS.Timeout | undefined
  private looking = false
  /** Somebody has not got the whole map yet. */
  private newcomers = false
  private secondAt = 0
  private pingAt = 0
  private before: EngineSnapshot | undefined
  private told = ''
  private loads: Uint32Array = new Uint32Array()

  constructor(serving: Serving, settings: FeedSettings) {
    this.serving = serving
    this.settings = settings
    this.rows = new AdapterRows(serving.management, serving.engine)
  }

  /** Takes a socket in: a stranger until its first message says who it is. */
  enter(socket: Socket): void {
    const watcher = new Watcher(socket)
    const strangers = [...this.watchers].filter(({ state }) => state === 'stranger')
    // Whoever has said nothing for longest: a page says who it is at once.
    if (strangers.length >= MOST_STRANGERS) strangers[0].close(CLOSE.again, 'too many who have not said who they are')
    if (strangers.length >= MOST_STRANGERS) this.leave(strangers[0])
    this.watchers.add(watcher)
    const late = setTimeout(() => {
      if (watcher.state === 'stranger') watcher.close(CLOSE.keyNeeded, 'the first message must be the key')
    }, INTRODUCTION)
    socket.on('close', () => {
      clearTimeout(late)
      this.leave(watcher)
    })
    socket.on('message', (data, binary) => {
      try {
        if (!watcher.mayAsk(performance.now())) throw new ApiError('too_many_requests', 'too many messages')
        const message = readMessage(data, binary)
        if (watcher.state === 'stranger') this.admit(watcher, message)
        else this.answer(watcher, message)
      } catch (error) {
        // A reason holds 123 bytes.
        watcher.close(CLOSE.policy, error instanceof ApiError ? error.message.slice(0, 100) : 'the message cannot be answered')
        if (!(error instanceof ApiError)) this.serving.log.error({ err: error }, 'a page could not be answered')
      }
    })
  }

  /** Nobody watches any more. */
  close(): void {
    for (const watcher of this.watchers) {
      watcher.close(CLOSE.goingAway, 'the server is closing')
      const end = setTimeout(() => watcher.terminate(), 1000)
      end.unref()
    }
    this.stop()
  }

  private admit(watcher: Watcher, { key }: Record<string, unknown>): void {
    watcher.key = typeof key === 'string' ? key : ''
    const refusal = this.refusal(watcher) ?? this.full()
    if (refusal) {
      watcher.close(...refusal)
      return
    }
    watcher.state = 'new'
    watcher.send(JSON.stringify(this.hello()))
    this.newcomers = true
    this.start()
  }

  /** Why it may not watch; undefined: it may. */
  private refusal({ key }: Watcher): [code: number, reason: string] | undefined {
    const { access } = this.settings
    if (!access.keys) return undefined
    if (key === '') return [CLOSE.keyNeeded, 'an admin key is needed']
    const caller = access.callerOf({ headers: { 'x-api-key': key } })
    if (caller.admin) return undefined
    return caller.tenant === undefined
      ? [CLOSE.keyNeeded, 'the key is not one of this server']
      : [CLOSE.notAdmin, 'the key is no admin key']
  }

  private full(): [code: number, reason: string] | undefined {
    const watching = [...this.watchers].filter(({ state }) => state !== 'stranger')
    return watching.length < MOST_WATCHERS ? undefined : [CLOSE.again, `${MOST_WATCHERS} pages are watching already`]
  }

  private answer(watcher: Watcher, message: Record<string, unknown>): void {
    const asked = askedOf(message)
    if ('names' in asked) {
      const names = this.rows.names(asked.names, PROPOSED)
      watcher.send(JSON.stringify({ type: 'names', find: asked.names, names }))
      return
    }
    watcher.rows = asked.adapters
    this.rows.begin()
    if (asked.adapters) watcher.send(JSON.stringify(this.rows.rows(asked.adapters)))
  }

  /** What does not change. */
  private hello(): object {
    const { engine, model, scheduling, limits, management } = this.serving
    const { device, deviceName, dtype, blockCount, blockSize, blockBytes, maxModelLen } = engine.info
    return {
      type: 'hello',
      version: VERSION,
      model: model.name,
      engine: { device, deviceName, dtype, maxModelLen, blockCount, blockSize, blockBytes },
      scheduling,
      fairness: limits.fairness,
      states: BLOCK_STATES,
      stateBits: STATE_BITS,
      loadFields: LOAD_FIELDS,
      manages: management.allowed,
      generates: this.settings.generates,
    }
  }

  private leave(watcher: Watcher): void {
    this.watchers.delete(watcher)
    if (![...this.watchers].some(({ state }) => state !== 'stranger')) this.stop()
  }

  private start(): void {
    if (this.timer) return
    this.latencies = new Latencies()
    this.serving.metrics.watched = this.latencies
    this.before = this.serving.engine.snapshot
    this.secondAt = this.pingAt = performance.now()
    this.timer = setInterval(() => void this.tick(), TICK)
    void this.tick()
  }

  private stop(): void {
    clearInterval(this.timer)
    this.timer = undefined
    this.serving.metrics.watched = undefined
    this.rows.rest()
    this.told = ''
  }

  private async tick(): Promise<void> {
    // The engine's thread is busy: the next tick tells what this one would have.
    if (this.looking) return
    this.looking = true
    try {
      const whole = this.newcomers
      this.newcomers = false
      const look = await this.serving.engine.look(whole)
      if (!this.timer) return
      if (look) this.map(look)
      this.now()
      const now = performance.now()
      if (now - this.secondAt >= SECOND) this.second(now)
      if (now - this.pingAt >= PING) this.ping(now)
    } catch (error) {
      this.serving.log.error({ err: error }, 'the page could not be told what the server does')
    } finally {
      this.looking = false
    }
  }

  /** The pool's blocks and who has them: names as text where there are new ones, numbers as bytes. */
  private map(look: PoolLook): void {
    const { whole, blocks, adapters, gone, groups, loads, uncounted } = look
    if (whole) for (const watcher of this.watchers) if (watcher.state === 'new') watcher.state = 'watching'
    if (whole || adapters.length + gone.length + groups.length > 0)
      this.tell(JSON.stringify({ type: 'owners', whole, adapters: adapters.map(told), gone, groups }))
    if (!whole && blocks.length === 0 && equal(loads, this.loads)) return
    this.loads = loads
    const frame = new Uint32Array(4 + loads.length + blocks.length)
    frame.set([whole ? 1 : 0, this.serving.engine.info.blockCount, loads.length, uncounted])
    frame.set(loads, 4)
    frame.set(blocks, 4 + loads.length)
    this.tell(new Uint8Array(frame.buffer))
  }

  private now(): void {
    const { running, waiting, blocks, residentAdapters, step, counters } = this.serving.engine.snapshot
    const text = JSON.stringify({ type: 'now', step, running, waiting, blocks, residentAdapters, counters })
    if (text === this.told) return
    this.told = text
    this.tell(text)
  }

  private second(now: number): void {
    const seconds = (now - this.secondAt) / 1000
    this.secondAt = now
    const { snapshot } = this.serving.engine
    const { counters, lastStep, running, waiting } = snapshot
    const before = (this.before ?? snapshot).counters
    this.before = snapshot
    const rate = (name: keyof EngineSnapshot['counters']) => Number(((counters[name] - before[name]) / seconds).toFixed(2))
    this.tell(
      JSON.stringify({
        type: 'second',
        at: Date.now(),
        prompt: rate('promptTokens'),
        generation: rate('generationTokens'),
        steps: rate('steps'),
        ttft: this.latencies.first.take(),
        itl: this.latencies.between.take(),
        running,
        waiting,
        lastStep,
        unhealthy: this.serving.unhealthy() ?? null,
      }),
    )
    this.list(now)
    for (const watcher of this.watchers) {
      const refusal = watcher.state === 'stranger' ? undefined : this.refusal(watcher)
      if (refusal) watcher.close(...refusal)
    }
  }

  private list(now: number): void {
    if (![...this.watchers].some(({ rows }) => rows)) {
      this.rows.rest()
      return
    }
    this.rows.measure(now)
    for (const watcher of this.watchers) if (watcher.rows) watcher.send(JSON.stringify(this.rows.rows(watcher.rows)))
  }

  private ping(now: number): void {
    this.pingAt = now
    for (const watcher of this.watchers) watcher.ping()
  }

  private tell(message: string | Uint8Array): void {
    for (const watcher of this.watchers) if (watcher.state === 'watching') watcher.send(message)
  }
}

const told = ({ index, name, digest, bytes, shared }: PoolLook['adapters'][number]) => [
  index,
  name,
  digest.slice(0, 12),
  bytes,
  shared,
]

function equal(a: Uint32Array, b: Uint32Array): boolean {
  return a.length === b.length && a.every((value, i) => value === b[i])
}
