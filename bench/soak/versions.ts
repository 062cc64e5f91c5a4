/** The demo's adapters as versions of names: what each says, and whether an answer is what the version that it names says. */
import { demoModel } from '../../test/support/repo.ts'
import { PROMPTS, STYLES } from './clients.ts'

export const CONTENTS = STYLES.filter((name) => name !== 'base')
export const contentFolder = (name: string) => demoModel(`adapters/${name}`)

export interface Answer {
  status: number
  digest: string | null
  text: string
}

export class Versions {
  /** What each says, by digest. */
  private readonly says = new Map<string, string>()
  private readonly digests = new Map<string, string>()

  /** Asks each once, under its own name. */
  async learn(url: string): Promise<void> {
    for (const name of CONTENTS) {
      const { status, digest, text } = await this.ask(url, name)
      if (status !== 200 || digest === null) throw new Error(`${name} is not served: ${status} ${text}`)
      this.says.set(digest, text)
      this.digests.set(name, digest)
    }
    if (new Set(this.says.values()).size < CONTENTS.length) throw new Error('two versions say the same')
  }

  digestOf(content: string): string {
    return this.digests.get(content) as string
  }

  /** One short greedy answer of a model. */
  async ask(url: string, model: string, more: object = {}): Promise<Answer> {
    const body = { model, messages: PROMPTS[0].messages, max_tokens: 24, temperature: 0, ...more }
    const { status, text, headers } = await call(url, 'POST', '/v1/chat/completions', body)
    const said = status === 200 ? JSON.parse(text).choices[0].message.content : text
    return { status, digest: headers.get('x-lora-digest'), text: said }
  }

  /** What is wrong with an answer; `content`: of the version that it must be. */
  wrong(name: string, { status, digest, text }: Answer, content?: string): string | undefined {
    if (status !== 200) return `${name}: ${status} ${text}`
    if (content !== undefined && digest !== this.digests.get(content)) return `${name} is ${digest} and should be ${content}`
    return this.says.get(digest ?? '') === text ? undefined : `${name} at ${digest} says ${JSON.stringify(text)}`
  }
}

export async function call(url: string, method: string, route: string, body?: object) {
  const response = await fetch(url + route, {
    method,
    headers: { connection: 'close', ...(body && { 'content-type': 'application/json' }) },
    body: body && JSON.stringify(body),
  })
  return { status: response.status, headers: response.headers, text: await response.text() }
}
