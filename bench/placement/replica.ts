/** One replica in virtual time: adapters on three tiers, a pool, and a batch that requests join and leave between steps. Milliseconds. */
import { Memory } from './memory.ts'
import type { Profile } from './profiles.ts'
import type { Request } from './workload.ts'

/** How often the gateway asks for /metrics. */
export const SCRAPE_MS = 50

/** A request on its way. */
export interface Job extends Request {
  /** When its prompt began to be computed, its first token came, and its last. */
  started: number
  first: number
  ended: number
  /** Where its adapter was when it came; `awaited`: being loaded for another. */
  found: 'pool' | 'host' | 'awaited' | 'cold'
  /** Tokens of the prompt that are computed or were cached. */
  computed: number
  /** Blocks of its own. */
  blocks: number
  /** It uses its adapter's cached beginning. */
  uses: boolean
}

/** What a gateway reads off /metrics. */
export interface Told {
  waiting: number
  running: number
  /** Part of the pool in use, 0 to 1. */
  usage: number
  active: ReadonlySet<number>
  awaited: ReadonlySet<number>
  maxLora: number
}

const adapterKey = (adapter: number) => `a${adapter}`
const prefixKey = (adapter: number) => `p${adapter}`
/** Tokens of prompts that a step computes beside answers, however long it gets (docs/scheduler.md). */
const LEAST_CHUNK = 16

export class Replica {
  readonly id: number
  /** Milliseconds in which a step ran. */
  busy = 0
  coldLoads = 0
  /** Of host memory's adapters, tells also those in /metrics as if they were in the pool: what a gateway would make of it. */
  tellsHost = false
  private readonly profile: Profile
  private readonly memory: Memory
  /** In host memory, the one used longest ago first. */
  private readonly host = new Set<number>()
  /** Who waits for adapters being read, in the order of reading. */
  private readonly loads = new Map<number, Job[]>()
  private loadEnds = Number.POSITIVE_INFINITY
  private ready: Job[] = []
  private prefilling: Job[] = []
  private decoding = 0
  private context = 0
  private stepEnds = Number.POSITIVE_INFINITY
  private steps = 0
  /** Answers by the step in which they end. */
  private readonly ends = new Map<number, Job[]>()
  /** Tokens of each of `prefilling` that this step computes. */
  private chunks: number[] = []
  /** Copies to the pool that the next step waits for. */
  private copying = 0
  /** Sequences of each adapter under way. */
  private readonly inUse = new Map<number, number>()
  private told: Told
  private toldAt: number
  private changed = false

  constructor(id: number, profile: Profile, offset = 0) {
    this.id = id
    this.profile = profile
    this.memory = new Memory(profile.blocks, () => {
      this.changed = true
    })
    this.toldAt = offset - SCRAPE_MS
    const maxLora = Math.floor(profile.blocks / profile.adapterBlocks)
    this.told = { waiting: 0, running: 0, usage: 0, active: new Set(), awaited: new Set(), maxLora }
  }

  /** When something next happens here by itself. */
  get next(): number {
    return Math.min(this.stepEnds, this.loadEnds)
  }

  /** What was last scraped at `now`. */
  metrics(now: number): Told {
    this.scrape(now)
    return this.told
  }

  receive(job: Job, now: number): void {
    this.scrape(now)
    this.place(job, now)
    if (this.stepEnds === Number.POSITIVE_INFINITY) this.startStep(now)
  }

  /** What ends now. Returns the requests that are over. */
  advance(now: number): Job[] {
    this.scrape(now)
    if (this.loadEnds <= now) this.endLoad(now)
    if (this.stepEnds > now) {
      if (this.stepEnds === Number.POSITIVE_INFINITY) this.startStep(now)
      return []
    }
    const over = this.endStep(now)
    this.startStep(now)
    return over
  }

  /** Whatever is under way or waits, as when the replica dies. */
  abandoned(): Job[] {
    return [...this.ready, ...[...this.loads.values()].flat(), ...this.prefilling, ...[...this.ends.values()].flat()]
  }

  /** State between events is what it was after the last one, so the scrape before now sees what is there before anything changes. */
  private scrape(now: number): void {
    const due = this.toldAt + Math.floor((now - this.toldAt) / SCRAPE_MS) * SCRAPE_MS
    if (due === this.toldAt) return
    this.toldAt = due
    const { told, profile, memory } = this
    let waiting = this.ready.length
    for (const jobs of this.loads.values()) waiting += jobs.length
    const used = profile.blocks - memory.free - memory.idleBlocks
    const names = this.changed ? this.names() : told
    this.changed = false
    this.told = {
      waiting,
      running: this.prefilling.length + this.decoding,
      usage: used / profile.blocks,
      active: names.active,
      awaited: names.awaited,
      maxLora: told.maxLora,
    }
  }

  private names(): Pick<Told, 'active' | 'awaited'> {
    const resident = this.memory.keys().filter((key) => key[0] === 'a')
    const active = resident.slice(-this.profile.metricsAdapters).map((key) => Number(key.slice(1)))
    return { active: new Set(this.tellsHost ? [...this.host, ...active] : active), awaited: new Set(this.loads.keys()) }
  }

  private place(job: Job, now: number): void {
    const { adapter } = job
    const waiters = this.loads.get(adapter)
    if (this.memory.has(adapterKey(adapter))) job.found = 'pool'
    else if (waiters) job.found = 'awaited'
    else job.found = this.host.has(adapter) ? 'host' : 'cold'
    if (job.found === 'awaited') waiters?.push(job)
    else if (job.found === 'cold') this.load(job, now)
    else this.ready.push(job)
  }

  private load(job: Job, now: number): void {
    this.loads.set(job.adapter, [job])
    this.coldLoads++
    this.changed = true
    if (this.loadEnds === Number.POSITIVE_INFINITY) this.loadEnds = now + this.profile.coldMs
  }

  private endLoad(now: number): void {
    const [[adapter, jobs]] = this.loads
    this.loads.delete(adapter)
    this.remember(adapter)
    this.ready.push(...jobs)
    this.changed = true
    this.loadEnds = this.loads.size > 0 ? now + this.profile.coldMs : Number.POSITIVE_INFINITY
  }

  private remember(adapter: number): void {
    this.host.delete(adapter)
    this.host.add(adapter)
    for (const oldest of this.host) {
      if (this.host.size <= this.profile.hostAdapters) break
      this.host.delete(oldest)
      this.changed ||= this.tellsHost
    }
  }

  /** First come, first served; who finds no room keeps the others waiting. */
  private admit(now: number): void {
    let taken = 0
    for (const job of this.ready) {
      if (this.prefilling.length + this.decoding >= this.profile.maxSequences || !this.reserve(job, now)) break
      taken++
    }
    if (taken > 0) this.ready = this.ready.slice(taken)
  }

  /** False: no room. An adapter that has left the pool and host memory meanwhile is loaded again, and its request waits there. */
  private reserve(job: Job, now: number): boolean {
    const { memory, profile } = this
    const [adapter, prefix] = [adapterKey(job.adapter), prefixKey(job.adapter)]
    const resident = memory.has(adapter)
    if (!resident && !this.host.has(job.adapter)) {
      const waiters = this.loads.get(job.adapter)
      if (waiters) waiters.push(job)
      else this.load(job, now)
      return true
    }
    const cached = Math.floor(job.shared / profile.blockTokens)
    job.uses = cached > 0 && memory.has(prefix)
    job.blocks = Math.ceil((job.prompt + job.output) / profile.blockTokens) - (job.uses ? cached : 0)
    if (resident) memory.use(adapter)
    if (job.uses) memory.use(prefix)
    if (!memory.take(job.blocks + (resident ? 0 : profile.adapterBlocks))) {
      if (resident) memory.leave(adapter)
      if (job.uses) memory.leave(prefix)
      return false
    }
    if (!resident) {
      memory.keep(adapter, profile.adapterBlocks)
      this.remember(job.adapter)
      this.copying += profile.hostMs
      this.changed = true
    }
    job.computed = job.uses ? cached * profile.blockTokens : 0
    this.inUse.set(job.adapter, (this.inUse.get(job.adapter) ?? 0) + 1)
    this.prefilling.push(job)
    return true
  }

  private startStep(now: number): void {
    this.admit(now)
    const { profile, decoding } = this
    if (this.prefilling.length + decoding === 0) {
      this.stepEnds = Number.POSITIVE_INFINITY
      return
    }
    const { step, tokens, context, pairs, rows, adapterMb, productMb } = profile.step
    const read = this.inUse.size * profile.adapterMb * adapterMb
    const token = tokens + profile.adapterMb * productMb
    let ms = step + (context * this.context) / 1000 + decoding * (rows + profile.adapterMb * productMb) + read + this.copying
    let budget = profile.maxBatchTokens - decoding
    if (decoding > 0) budget = Math.min(budget, Math.max(LEAST_CHUNK, Math.floor((profile.maxStepMs - ms) / token)))
    this.chunks = []
    for (const job of this.prefilling) {
      const chunk = Math.min(budget, job.prompt - job.computed)
      if (chunk <= 0) break
      budget -= chunk
      this.chunks.push(chunk)
      if (Number.isNaN(job.started)) job.started = now
      ms += chunk * token + (pairs * chunk * (job.computed + chunk / 2)) / 1e6
      if (job.computed + chunk === job.prompt) ms += rows
    }
    this.copying = 0
    this.busy += ms
    this.stepEnds = now + ms
  }

  private endStep(now: number): Job[] {
    this.steps++
    this.context += this.decoding
    const over = this.ends.get(this.steps) ?? []
    this.ends.delete(this.steps)
    this.decoding -= over.length
    for (const job of over) this.context -= job.prompt + job.output - 1
    const done: Job[] = []
    for (const [i, chunk] of this.chunks.entries()) {
      const job = this.prefilling[i]
      job.computed += chunk
      if (job.computed === job.prompt) done.push(job)
    }
    if (done.length > 0) this.prefilling = this.prefilling.filter((job) => job.computed < job.prompt)
    for (const job of done) {
      job.first = now
      this.cache(job)
      if (job.output === 1) over.push(job)
      else {
        this.decoding++
        this.context += job.prompt
        const last = this.steps + job.output - 1
        const others = this.ends.get(last)
        if (others) others.push(job)
        else this.ends.set(last, [job])
      }
    }
    for (const job of over) this.release(job, now)
    return over
  }

  /** The beginning of its prompt is there for others from now on, in blocks that were its own. */
  private cache(job: Job): void {
    const blocks = Math.floor(job.shared / this.profile.blockTokens)
    if (job.uses || blocks === 0 || this.memory.has(prefixKey(job.adapter))) return
    this.memory.keep(prefixKey(job.adapter), blocks)
    job.blocks -= blocks
    job.uses = true
  }

  private release(job: Job, now: number): void {
    job.ended = now
    this.memory.free += job.blocks
    if (job.uses) this.memory.leave(prefixKey(job.adapter))
    this.memory.leave(adapterKey(job.adapter))
    const left = (this.inUse.get(job.adapter) as number) - 1
    if (left === 0) this.inUse.delete(job.adapter)
    else this.inUse.set(job.adapter, left)
  }
}
