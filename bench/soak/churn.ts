/** Adapters that come, go and change while the server runs: over HTTP, and in the folder that it watches. Every answer must be what the version that it names says. */
import { cpSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { demoModel } from '../../test/support/repo.ts'
import { PROMPTS, type Random, STYLES } from './clients.ts'

const CONTENTS = STYLES.filter((name) => name !== 'base')
/** Names that each lane over HTTP has for itself. */
const NAMES = 4
/** Milliseconds until a change of the folder is served: a second for the files to be whole, and what a loaded machine takes. */
const PATIENCE = 20_000

interface Answer {
  status: number
  digest: string | null
  text: string
}

export class Churn {
  /** Watched by the server: the demo's adapters, and one that comes and goes. */
  readonly folder: string
  /** Another folder that may be loaded from. */
  readonly more: string
  private readonly root: string
  /** What each version says, by digest, and the digest of each content. */
  private readonly says = new Map<string, string>()
  private readonly digests = new Map<string, string>()

  constructor() {
    this.root = mkdtempSync(path.join(tmpdir(), 'lorikeet-churn-'))
    this.folder = path.join(this.root, 'adapters')
    this.more = path.join(this.root, 'more')
    mkdirSync(this.folder)
    for (const name of CONTENTS)
      for (const to of [this.folder, this.more]) cpSync(demoModel(`adapters/${name}`), path.join(to, name), { recursive: true })
  }

  /** Of the server. */
  get flags(): string[] {
    return ['--adapters', this.folder, '--adapter-roots', this.more, '--watch', '--allow-adapter-management']
  }

  /** Asks each version once. */
  async learn(url: string): Promise<void> {
    for (const name of CONTENTS) {
      const { status, digest, text } = await this.ask(url, name)
      if (status !== 200 || digest === null) throw new Error(`${name} is not served: ${status} ${text}`)
      this.says.set(digest, text)
      this.digests.set(name, digest)
    }
  }

  remove(): void {
    rmSync(this.root, { recursive: true, force: true })
  }

  /** Loads, replaces or unloads one of a lane's names, then asks it. Returns what is wrong. */
  async manage(url: string, lane: number, random: Random): Promise<string | undefined> {
    const name = `visitor-${lane}-${random.below(NAMES)}`
    if (random.below(4) === 0) {
      const { status } = await change(url, 'DELETE', `/adapters/${name}`)
      if (status !== 200 && status !== 404) return `DELETE ${name}: ${status}`
      const after = await this.ask(url, name)
      return after.status === 404 ? undefined : `${name} was unloaded and answers ${after.status}`
    }
    const content = random.pick(CONTENTS)
    const body = {
      name,
      src: path.join(this.more, content),
      replace: true,
      preload: random.below(4) > 0,
      pin: name === 'visitor-0-0',
    }
    const { status, text } = await change(url, 'POST', '/adapters', body)
    if (status !== 200) return `POST ${JSON.stringify(body)}: ${status} ${text}`
    return this.wrong(name, await this.ask(url, name), content)
  }

  /** Asks any name that lanes change: it may be gone, but if it answers, then as the version that it names. */
  async watchers(url: string, lanes: number, random: Random): Promise<string | undefined> {
    const name = random.pick([`visitor-${random.below(lanes)}-${random.below(NAMES)}`, 'guest'])
    const answer = await this.ask(url, name)
    // The guest's folder may be half there.
    const gone = answer.status === 404 || (name === 'guest' && answer.status === 400)
    return gone ? undefined : this.wrong(name, answer)
  }

  /** A folder that appears, changes and goes. */
  async folderOfGuest(url: string, random: Random): Promise<string | undefined> {
    const guest = path.join(this.folder, 'guest')
    for (let i = 1 + random.below(3); i > 0; i--) {
      const content = random.pick(CONTENTS)
      cpSync(path.join(this.more, content), guest, { recursive: true })
      const came = await this.until(url, ({ digest }) => digest === this.digests.get(content))
      if (came) return `guest has become ${content} and ${came}`
    }
    rmSync(guest, { recursive: true })
    const gone = await this.until(url, ({ status }) => status === 404)
    return gone && `guest has gone and ${gone}`
  }

  /** What it is instead, if it does not become so in time. */
  private async until(url: string, so: (answer: Answer) => boolean): Promise<string | undefined> {
    let answer: Answer | undefined
    for (const end = Date.now() + PATIENCE; Date.now() < end; await sleep(200)) {
      answer = await this.ask(url, 'guest')
      if (so(answer)) return undefined
      // While it is copied it may be refused.
      const wrong = answer.status === 200 ? this.wrong('guest', answer) : undefined
      if (wrong) return wrong
    }
    return `answers ${JSON.stringify(answer)}`
  }

  private wrong(name: string, { status, digest, text }: Answer, content?: string): string | undefined {
    if (status !== 200) return `${name}: ${status} ${text}`
    if (content !== undefined && digest !== this.digests.get(content)) return `${name} is ${digest} and should be ${content}`
    return this.says.get(digest ?? '') === text ? undefined : `${name} at ${digest} says ${JSON.stringify(text)}`
  }

  private async ask(url: string, model: string): Promise<Answer> {
    const body = { model, messages: PROMPTS[0].messages, max_tokens: 24, temperature: 0 }
    const { status, text, headers } = await change(url, 'POST', '/v1/chat/completions', body)
    const said = status === 200 ? JSON.parse(text).choices[0].message.content : text
    return { status, digest: headers.get('x-lora-digest'), text: said }
  }
}

async function change(url: string, method: string, route: string, body?: object) {
  const response = await fetch(url + route, {
    method,
    headers: { connection: 'close', ...(body && { 'content-type': 'application/json' }) },
    body: body && JSON.stringify(body),
  })
  return { status: response.status, headers: response.headers, text: await response.text() }
}
