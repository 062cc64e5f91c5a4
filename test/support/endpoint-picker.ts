/**
 * A gateway with an endpoint picker, without a cluster: it looks at each server's `/ready` as a kubelet does, scrapes its metrics every 50 ms, follows its KV events, sends each request where the weighted
 * scores are highest, under the name that a rewriting rule chooses by weight, and tells how each attempt ended.
 */
import { setTimeout } from 'node:timers/promises'
import { blockHashes } from './block-hashes.ts'
import { KvSubscriber } from './kv-subscriber.ts'
import {
  cachedFromBeginning,
  loraScore,
  namedBack,
  prefixScore,
  queueScore,
  type Scraped,
  type SeenUsage,
  scrapedFrom,
  usageIn,
} from './picker-protocol.ts'

/** As deploy/kubernetes/overlays/gateway/scoring.yaml has them. */
const WEIGHTS = { queue: 2, kvUse: 2, lora: 3, prefix: 3 }
const PERIOD = 50
/** Milliseconds after which a request counts as hung. */
const HUNG = 45_000
/** Milliseconds that a client waits before it asks again, and how often it does. */
const RETRY = { wait: 50, most: 200 }

export interface EndpointAddress {
  url: string
  kvEvents: string
  kvReplay: string
}

/** A server as the picker sees it. */
export class Endpoint {
  readonly address: EndpointAddress
  /** undefined: nothing is known; no requests go there while it is not ready. */
  scraped: Scraped | undefined
  ready = false
  /** Of `/ready`, in order, each run of the same answer once; 0: it could not be reached. */
  readonly answers: number[] = []
  /** What its events have told, since it became ready. */
  events: KvSubscriber | undefined
  /** Answers that have begun and are not over. */
  streaming = 0
  private readonly stopping = new AbortController()
  private readonly looking: Promise<void>

  constructor(address: EndpointAddress) {
    this.address = address
    this.looking = this.look()
  }

  get cached(): ReadonlySet<string> {
    return this.events?.believed.blocks ?? new Set()
  }

  async close(): Promise<void> {
    this.stopping.abort()
    await this.looking
    await this.events?.close()
  }

  private async look(): Promise<void> {
    const { signal } = this.stopping
    while (!signal.aborted) {
      const [status, page] = await Promise.all([
        this.get('/ready').then(({ status }) => status),
        this.get('/metrics').then(({ status, text }) => (status === 200 ? text : '')),
      ]).catch((): [number, string] => [0, ''])
      if (signal.aborted) return
      if (this.answers.at(-1) !== status) this.answers.push(status)
      if (page !== '') this.scraped = scrapedFrom(page)
      // A pod that is gone takes what is known of its cache with it; the next one under its address is another.
      if (status !== 200 && this.ready) await this.forget()
      if (status === 200 && !this.ready) await this.welcome()
      await setTimeout(PERIOD, undefined, { signal }).catch(() => undefined)
    }
  }

  private async welcome(): Promise<void> {
    const { kvEvents, kvReplay } = this.address
    this.events = new KvSubscriber(kvEvents, kvReplay, 'kv@')
    await this.events.begin()
    this.ready = true
  }

  private async forget(): Promise<void> {
    this.ready = false
    await this.events?.close()
    this.events = undefined
  }

  private async get(path: string): Promise<{ status: number; text: string }> {
    const response = await fetch(this.address.url + path, { signal: AbortSignal.timeout(HUNG) })
    return { status: response.status, text: await response.text() }
  }
}

/** How an attempt ended. */
export type Ending =
  /** With an answer that is whole; its status says which. */
  | 'whole'
  /** 503 with Retry-After: the server takes nothing more. */
  | 'turned away'
  /** No answer began: refused, or reset. */
  | 'unreachable'
  /** A stream broke off, and its client was told so by the connection. */
  | 'cut'

export interface Attempt {
  endpoint: Endpoint
  ending: Ending
  status: number
  body: string
}

export interface Forwarded {
  attempts: Attempt[]
  /** The name that the rule chose. */
  target: string
  /** Blocks of the prompt that the picker held to be cached where it sent it last. */
  foreseen: number
  status: number
  contentType: string
  /** With the name that the client used. */
  body: string
  usage: SeenUsage | undefined
}

export interface Gateway {
  /** By the name that clients use. */
  rules: Record<string, { model: string; weight: number }[]>
  /** By name: what the hashes of its blocks depend on. */
  digests: ReadonlyMap<string, string>
  /** From 0 to below 1. */
  random(): number
}

export class EndpointPicker {
  readonly endpoints: readonly Endpoint[]
  private readonly gateway: Gateway

  constructor(addresses: readonly EndpointAddress[], gateway: Gateway) {
    this.endpoints = addresses.map((address) => new Endpoint(address))
    this.gateway = gateway
  }

  async close(): Promise<void> {
    await Promise.all(this.endpoints.map((endpoint) => endpoint.close()))
  }

  /** Resolves when `holds`, which is looked at again and again. */
  async until(holds: () => boolean, what: string): Promise<void> {
    const end = performance.now() + HUNG
    while (!holds()) {
      if (performance.now() > end) throw new Error(`in ${HUNG / 1000} s it has not come to this: ${what}`)
      await setTimeout(5)
    }
  }

  /** The best of those that are ready; undefined: none is. */
  pick(model: string, hashes: readonly string[]): Endpoint | undefined {
    const open = this.endpoints.filter(({ ready, scraped }) => ready && scraped)
    const pages = open.map(({ scraped }) => scraped as Scraped)
    const scored = open.map((endpoint, i) => ({
      endpoint,
      score:
        WEIGHTS.queue * queueScore(pages[i], pages) +
        WEIGHTS.kvUse * (1 - pages[i].kvUse) +
        WEIGHTS.lora * loraScore(pages[i], model) +
        WEIGHTS.prefix * prefixScore(hashes, endpoint.cached),
    }))
    const best = Math.max(...scored.map(({ score }) => score))
    const equal = scored.filter(({ score }) => score === best)
    return equal[Math.floor(this.gateway.random() * equal.length)]?.endpoint
  }

  /** Sends a completion of token ids, and again while its client may: what comes back is whole. Throws where it hangs or ends otherwise. */
  async forward(body: { model: string; prompt: number[] } & Record<string, unknown>): Promise<Forwarded> {
    const target = this.rewritten(body.model)
    const attempts: Attempt[] = []
    while (attempts.length < RETRY.most) {
      const endpoint = await this.picked(target, body.prompt)
      const hashes = this.hashesOf(endpoint, target, body.prompt)
      const foreseen = cachedFromBeginning(hashes, endpoint.cached)
      const { contentType, ...attempt } = await this.send(endpoint, { ...body, model: target })
      attempts.push(attempt)
      if (attempt.ending === 'whole') {
        const { status } = attempt
        const text = namedBack(attempt.body, target, body.model)
        return { attempts, target, foreseen, status, contentType, body: text, usage: usageIn(attempt.body, contentType) }
      }
      await setTimeout(RETRY.wait)
    }
    throw new Error(`it was asked ${attempts.length} times: ${attempts.map(({ ending }) => ending).join(', ')}`)
  }

  hashesOf({ scraped }: Endpoint, model: string, prompt: readonly number[]): string[] {
    const digest = this.gateway.digests.get(model)
    return blockHashes(prompt, scraped?.blockSize ?? 16, digest === undefined ? {} : { adapters: `${digest}:1` })
  }

  private rewritten(model: string): string {
    const targets = this.gateway.rules[model]
    if (!targets) return model
    let at = this.gateway.random() * targets.reduce((sum, { weight }) => sum + weight, 0)
    for (const { model, weight } of targets) {
      at -= weight
      if (at < 0) return model
    }
    return targets[0].model
  }

  private async picked(model: string, prompt: readonly number[]): Promise<Endpoint> {
    const choose = () => {
      const [any] = this.endpoints
      return this.pick(model, this.hashesOf(this.endpoints.find(({ ready }) => ready) ?? any, model, prompt))
    }
    let chosen: Endpoint | undefined
    const found = () => {
      chosen = choose()
      return chosen !== undefined
    }
    await this.until(found, 'a server is ready')
    return chosen as unknown as Endpoint
  }

  private async send(endpoint: Endpoint, body: object): Promise<Attempt & { contentType: string }> {
    const signal = AbortSignal.timeout(HUNG)
    const attempt = (ending: Ending, status = 0, body = '', contentType = '') => ({ endpoint, ending, status, body, contentType })
    let response: Response
    try {
      response = await fetch(`${endpoint.address.url}/v1/completions`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(body),
        signal,
      })
    } catch (error) {
      if (signal.aborted) throw new Error('it hangs: no answer begins')
      const { code } = (error as { cause?: { code?: string } }).cause ?? {}
      if (!['ECONNREFUSED', 'ECONNRESET', 'EPIPE', 'UND_ERR_SOCKET'].includes(code ?? '')) throw error
      return attempt('unreachable')
    }
    const { status, headers } = response
    const contentType = headers.get('content-type') ?? ''
    let text = ''
    endpoint.streaming++
    try {
      const decoder = new TextDecoder()
      for await (const piece of response.body ?? []) text += decoder.decode(piece as Uint8Array, { stream: true })
    } catch {
      if (signal.aborted) throw new Error(`it hangs, having said: ${text.slice(-200)}`)
      return attempt('cut', status, text, contentType)
    } finally {
      endpoint.streaming--
    }
    const away = status === 503 && headers.has('retry-after')
    return attempt(away ? 'turned away' : 'whole', status, text, contentType)
  }
}
