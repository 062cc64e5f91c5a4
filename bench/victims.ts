/** Clients that stream one answer after the other, note when each token came, and know what it must be. */
import { Agent, request } from 'node:http'

/** Milliseconds of performance.now(): from one token of a stream to the next. */
interface Wait {
  from: number
  to: number
}

export interface Victim {
  /** What it asks for in `model`. */
  model: string
  prompt: number[]
  maxTokens: number
}

export class Victims {
  /** Of a victim: its answer when nobody else was there. */
  private readonly references: number[][] = []
  private readonly waits: Wait[] = []
  private readonly refusals: { at: number; reason: string }[] = []
  /** Tokens that were not those of the reference. */
  differing = 0
  private readonly lastToken: (number | undefined)[]
  private readonly url: string
  private readonly victims: Victim[]
  private readonly agent: Agent
  private stopped = false
  private running: Promise<void>[] = []

  constructor(url: string, victims: Victim[]) {
    this.url = url
    this.victims = victims
    this.agent = new Agent({ keepAlive: true, maxSockets: victims.length })
    this.lastToken = victims.map(() => undefined)
  }

  /** One answer each, all at once, which are what later ones are compared with. Throws if one is refused. */
  async learn(): Promise<void> {
    const answers = await Promise.all(this.victims.map((_, i) => this.stream(i)))
    for (const answer of answers) this.references.push(answer)
    this.waits.length = 0
  }

  /** From now on each streams again and again. */
  start(): void {
    this.running = this.victims.map(async (_, i) => {
      while (!this.stopped) {
        await this.stream(i).catch(async (error: Error) => {
          this.lastToken[i] = undefined
          if (this.stopped) return
          this.refusals.push({ at: performance.now(), reason: error.message })
          await new Promise((resolve) => setTimeout(resolve, 200))
        })
      }
    })
  }

  async stop(): Promise<void> {
    this.stopped = true
    this.agent.destroy()
    await Promise.all(this.running)
  }

  /** Milliseconds between tokens: of waits wholly between two moments, or of all that touch that time, those that last on too. */
  between(from: number, to: number, touching: boolean): number[] {
    const found: number[] = []
    for (const wait of this.waits)
      if (touching ? wait.to > from && wait.from < to : wait.from >= from && wait.to <= to) found.push(wait.to - wait.from)
    if (touching) for (const last of this.lastToken) if (last !== undefined && last < to) found.push(performance.now() - last)
    return found
  }

  /** Requests that were refused or cut between two moments, by reason. */
  refused(from: number, to: number): string[] {
    return this.refusals.filter(({ at }) => at >= from && at <= to).map(({ reason }) => reason)
  }

  /** Forgets waits that have ended before. */
  forget(before: number): void {
    const kept = this.waits.filter((wait) => wait.to >= before)
    this.waits.splice(0, this.waits.length, ...kept)
  }

  private stream(i: number): Promise<number[]> {
    const { model, prompt, maxTokens } = this.victims[i]
    const body = { model, prompt, max_tokens: maxTokens, temperature: 0, ignore_eos: true, stream: true, return_token_ids: true }
    const came: number[] = []
    return new Promise((resolve, reject) => {
      let rest = ''
      const headers = { 'content-type': 'application/json' }
      const client = request(`${this.url}/v1/completions`, { method: 'POST', agent: this.agent, headers })
      client.on('error', reject)
      client.on('response', (response) => {
        response.setEncoding('utf8')
        response.on('error', reject)
        response.on('data', (data: string) => {
          const now = performance.now()
          const lines = (rest + data).split('\n')
          rest = lines.pop() as string
          for (const line of lines) {
            if (!line.startsWith('data: {')) continue
            const event = JSON.parse(line.slice(6))
            if (event.error) return reject(new Error(event.error.message))
            for (const id of event.choices[0]?.token_ids ?? []) this.token(i, came, id, now)
          }
        })
        response.on('end', () => {
          this.lastToken[i] = undefined
          if (response.statusCode !== 200) reject(new Error(`${response.statusCode}`))
          else if (came.length !== maxTokens) reject(new Error(`${came.length} of ${maxTokens} tokens`))
          else resolve(came)
        })
      })
      client.end(JSON.stringify(body))
    })
  }

  private token(i: number, came: number[], id: number, now: number): void {
    const reference = this.references[i]
    if (reference && reference[came.length] !== id) this.differing++
    came.push(id)
    const last = this.lastToken[i]
    if (last !== undefined) this.waits.push({ from: last, to: now })
    this.lastToken[i] = came.length === this.victims[i].maxTokens ? undefined : now
  }
}
