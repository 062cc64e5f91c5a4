/** Adapters that come, go and change while the server runs: over HTTP, and in the folder that it watches. Every answer must be what the version that it names says. */
import { cpSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Random } from './clients.ts'
import { type Answer, CONTENTS, call, contentFolder, Versions } from './versions.ts'

/** Names that each lane over HTTP has for itself. */
const NAMES = 4
/** Milliseconds until a change of the folder is served: a second for the files to be whole, and what a loaded machine takes. */
const PATIENCE = 20_000

export class Churn {
  /** Watched by the server: the demo's adapters, and one that comes and goes. */
  readonly folder: string
  /** Another folder that may be loaded from. */
  readonly more: string
  private readonly root: string
  private readonly versions = new Versions()

  constructor() {
    this.root = mkdtempSync(path.join(tmpdir(), 'lorikeet-churn-'))
    this.folder = path.join(this.root, 'adapters')
    this.more = path.join(this.root, 'more')
    mkdirSync(this.folder)
    for (const name of CONTENTS)
      for (const to of [this.folder, this.more]) cpSync(contentFolder(name), path.join(to, name), { recursive: true })
  }

  /** Of the server. */
  get flags(): string[] {
    return ['--adapters', this.folder, '--adapter-roots', this.more, '--watch', '--allow-adapter-management']
  }

  /** Asks each version once. */
  learn(url: string): Promise<void> {
    return this.versions.learn(url)
  }

  remove(): void {
    rmSync(this.root, { recursive: true, force: true })
  }

  /** Loads, replaces or unloads one of a lane's names, then asks it. Returns what is wrong. */
  async manage(url: string, lane: number, random: Random): Promise<string | undefined> {
    const name = `visitor-${lane}-${random.below(NAMES)}`
    if (random.below(4) === 0) {
      const { status } = await call(url, 'DELETE', `/adapters/${name}`)
      if (status !== 200 && status !== 404) return `DELETE ${name}: ${status}`
      const after = await this.versions.ask(url, name)
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
    const { status, text } = await call(url, 'POST', '/adapters', body)
    if (status !== 200) return `POST ${JSON.stringify(body)}: ${status} ${text}`
    return this.versions.wrong(name, await this.versions.ask(url, name), content)
  }

  /** Asks any name that lanes change: it may be gone, but if it answers, then as the version that it names. */
  async watchers(url: string, lanes: number, random: Random): Promise<string | undefined> {
    const name = random.pick([`visitor-${random.below(lanes)}-${random.below(NAMES)}`, 'guest'])
    const answer = await this.versions.ask(url, name)
    // The guest's folder may be half there.
    const gone = answer.status === 404 || (name === 'guest' && answer.status === 400)
    return gone ? undefined : this.versions.wrong(name, answer)
  }

  /** A folder that appears, changes and goes. */
  async folderOfGuest(url: string, random: Random): Promise<string | undefined> {
    const guest = path.join(this.folder, 'guest')
    for (let i = 1 + random.below(3); i > 0; i--) {
      const content = random.pick(CONTENTS)
      cpSync(path.join(this.more, content), guest, { recursive: true })
      const came = await this.until(url, ({ digest }) => digest === this.versions.digestOf(content))
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
      answer = await this.versions.ask(url, 'guest')
      if (so(answer)) return undefined
      // While it is copied it may be refused.
      const wrong = answer.status === 200 ? this.versions.wrong('guest', answer) : undefined
      if (wrong) return wrong
    }
    return `answers ${JSON.stringify(answer)}`
  }
}
