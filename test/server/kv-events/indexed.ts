/** Servers whose KV events an independent client follows, and the comparison of the two. */
import { cpSync, readdirSync } from 'node:fs'
import path from 'node:path'
import type { Test } from 'tap'
import { request } from '../../support/http.ts'
import { KvIndex, mistakes, type Told } from '../../support/kv-index.ts'
import { demoModel, temporaryFolder } from '../../support/repo.ts'
import { type Served, startServed } from '../../support/served.ts'

export const CONFIG = {
  enable_kv_cache_events: true,
  endpoint: 'tcp://127.0.0.1:*',
  replay_endpoint: 'tcp://127.0.0.1:*',
  topic: 'kv@pod@demo',
}
export const STYLES = readdirSync(demoModel('adapters')).sort()

export interface Cached {
  sequence: number
  block_hashes: string[]
}
export const cachedAt = async (url: string): Promise<Cached> => (await request(`${url}/kv_events/blocks`)).json

export interface Started {
  served: Served
  folder: string
  index: KvIndex
  /** Another client, which has heard nothing yet. */
  late(): KvIndex
}

export async function start(t: Test, more: object = {}, settings: Record<string, unknown> = {}): Promise<Started> {
  const folder = temporaryFolder(t)
  for (const style of STYLES) cpSync(demoModel('adapters', style), path.join(folder, style), { recursive: true })
  const served = await startServed(t, {
    'kv-events-config': { ...CONFIG, ...more },
    model: demoModel('base'),
    'served-model-name': 'demo',
    adapters: folder,
    'allow-adapter-management': true,
    // Of 64 KiB blocks; the nine adapters take 44.
    pool: '2MiB',
    'max-adapter-bytes': '1MiB',
    ...settings,
  })
  const { kvEvents, url } = served
  if (!kvEvents) throw new Error('no events are published')
  const { endpoint, replayEndpoint } = kvEvents
  const late = () => new KvIndex(t, { endpoint, replayEndpoint: replayEndpoint as string, topic: 'kv@', url })
  return { served, folder, index: late(), late }
}

/** Compares as of one batch, though others may be told meanwhile. */
export async function compare(t: Test, url: string, index: KvIndex, what: string): Promise<Told> {
  const { sequence, block_hashes } = await cachedAt(url)
  const told = await index.at(sequence)
  t.same(mistakes(told, block_hashes), [], `${what}: ${block_hashes.length} blocks as of batch ${sequence}`)
  return told
}

export const prompt = (i: number) => `${'tell me again of the sea and the wind, '.repeat(1 + (i % 5))} number ${i % 11}`
export const complete = ({ post }: Served, model: string, i: number) =>
  post('/v1/completions', { model, prompt: prompt(i), max_tokens: 8 + (i % 40), ignore_eos: true, temperature: 0 })
