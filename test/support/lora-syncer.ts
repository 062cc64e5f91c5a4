/**
 * The Inference Extension's LoRA syncer (the sidecar of releases up to 1.4) as far as a server sees it, written from its protocol: what it asks, in which order, with which fields, and what it makes of the answers.
 * A round is told by the ConfigMap of that moment; whoever runs it waits between rounds as long as it likes.
 */
import { setTimeout } from 'node:timers/promises'

export interface ListedAdapter {
  id: string
  source: string
  'base-model'?: string | null
}

/** What stands under `vLLMLoRAConfig` in the ConfigMap. */
export interface SyncerConfig {
  defaultBaseModel?: string
  ensureExist?: { models: ListedAdapter[] }
  ensureNotExist?: { models: ListedAdapter[] }
}

/** What a round changed, or could not. */
export interface Round {
  loaded: string[]
  unloaded: string[]
  /** Those for which the server had to do nothing. */
  left: string[]
  /** By id: status and text of an answer that was not of 2xx, or that there was none. */
  failed: Map<string, { status: number; text: string }>
}

/** Milliseconds between two looks at `/health`, which end by `patience`. */
const LOOK_AGAIN = 100

export class LoraSyncer {
  private readonly url: string
  private readonly patience: number

  /** `patience`: milliseconds for which a server may be unhealthy. */
  constructor(url: string, patience = 30_000) {
    this.url = url
    this.patience = patience
  }

  /** undefined: the server was not healthy in time, and nothing was asked of it. */
  async round({ defaultBaseModel = '', ensureExist, ensureNotExist }: SyncerConfig): Promise<Round | undefined> {
    if (!(await this.healthy())) return undefined
    const wanted = ensureExist?.models ?? []
    const unwanted = ensureNotExist?.models ?? []
    const without = (some: ListedAdapter[], others: ListedAdapter[]) =>
      some.filter(({ id }) => !others.some((other) => other.id === id))
    const round: Round = { loaded: [], unloaded: [], left: [], failed: new Map() }
    for (const { id, source, 'base-model': base_model_name = defaultBaseModel } of without(wanted, unwanted))
      await this.one(round, id, round.loaded, true, '/v1/load_lora_adapter', {
        lora_name: id,
        lora_path: source,
        base_model_name,
      })
    for (const { id } of without(unwanted, wanted))
      await this.one(round, id, round.unloaded, false, '/v1/unload_lora_adapter', { lora_name: id })
    return round
  }

  /** Ids of all that the server lists; none where it does not answer. */
  async registered(): Promise<string[]> {
    if (!(await this.healthy())) return []
    const response = await fetch(`${this.url}/v1/models`).catch(() => undefined)
    const { data } = ((await response?.json().catch(() => undefined)) ?? { data: [] }) as { data: { id: string }[] }
    return data.map(({ id }) => id)
  }

  /** It looks at the list before each change, not once a round. */
  private async one(round: Round, id: string, done: string[], exists: boolean, path: string, body: object): Promise<void> {
    if ((await this.registered()).includes(id) === exists) {
      round.left.push(id)
      return
    }
    const response = await fetch(`${this.url}${path}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    }).catch((error: Error) => error)
    if (response instanceof Error) round.failed.set(id, { status: 0, text: response.message })
    else {
      const text = await response.text().catch((error: Error) => error.message)
      if (response.ok) done.push(id)
      else round.failed.set(id, { status: response.status, text })
    }
  }

  private async healthy(): Promise<boolean> {
    const until = performance.now() + this.patience
    do {
      const response = await fetch(`${this.url}/health`).catch(() => undefined)
      await response?.arrayBuffer().catch(() => undefined)
      if (response?.status === 200) return true
      await setTimeout(LOOK_AGAIN)
    } while (performance.now() < until)
    return false
  }
}
