/** `--kv-events-config`, in vLLM's form. */
import { ConfigError } from './config-error.ts'
import type { Setting } from './setting.ts'

export const KV_EVENTS_SETTINGS = {
  'kv-events-config': {
    kind: 'kvEvents',
    value: 'JSON',
    help: 'tell over ZeroMQ which prompts lie in the cache: {"enable_kv_cache_events":true,"endpoint":"tcp://*:5557"}, docs/kv-events.md',
  },
} as const satisfies Record<string, Setting>

/** Where and how events are published; undefined in the configuration: not at all. */
export interface KvEventsSettings {
  /** ZeroMQ's address of the PUB socket, and of the ROUTER socket that answers with past batches. */
  endpoint: string
  replayEndpoint?: string
  topic: string
  /** Batches that can be asked for again. */
  bufferSteps: number
  /** Batches that wait for one subscriber; more are dropped for it. */
  hwm: number
  /** Batches that wait to be published; further steps are told together. */
  maxQueueSize: number
}

const KEYS = [
  'enable_kv_cache_events',
  'publisher',
  'endpoint',
  'replay_endpoint',
  'topic',
  'buffer_steps',
  'hwm',
  'max_queue_size',
]
const EXAMPLE =
  '{"enable_kv_cache_events":true,"endpoint":"tcp://*:5557","replay_endpoint":"tcp://*:5558","topic":"kv@POD@MODEL"}'
const MOST = 2 ** 31 - 1

/** From JSON, as text or read; `undefined` where it switches events off. Throws a ConfigError that names the key and what would be right. */
export function readKvEvents(source: string, raw: unknown): KvEventsSettings | undefined {
  const config = objectOf(source, raw)
  const other = Object.keys(config).find((key) => !KEYS.includes(key))
  if (other !== undefined) throw new ConfigError(`${source} has a key ${other}; there are ${KEYS.join(', ')}`)
  const wrong = (key: string, must: string) =>
    new ConfigError(`${source}: ${key} must be ${must}, not ${JSON.stringify(config[key])}`)
  const enabled = config.enable_kv_cache_events ?? false
  if (typeof enabled !== 'boolean') throw wrong('enable_kv_cache_events', 'true or false')
  const publisher = config.publisher ?? (enabled ? 'zmq' : 'null')
  if (publisher !== 'zmq' && publisher !== 'null') throw wrong('publisher', '"zmq" or "null"')
  const text = (key: string): string | undefined => {
    const value = config[key] ?? undefined
    if (value !== undefined && typeof value !== 'string') throw wrong(key, 'a text')
    return value
  }
  const address = (key: string): string | undefined => {
    const value = text(key)
    if (value === undefined || /^ipc:\/\/.+|^tcp:\/\/.+:(\d+|\*)$/.test(value)) return value
    throw wrong(key, 'an address like tcp://*:5557, or ipc:///PATH')
  }
  const integer = (key: string, fallback: number, least: number): number => {
    const value = config[key] ?? fallback
    if (!Number.isInteger(value) || (value as number) < least || (value as number) > MOST)
      throw wrong(key, `an integer from ${least} to ${MOST}`)
    return value as number
  }
  const endpoint = address('endpoint') ?? 'tcp://*:5557'
  // vLLM connects to whatever has no asterisk, and nobody answers there.
  if (endpoint.startsWith('tcp://0.0.0.0:'))
    throw wrong('endpoint', `tcp://*${endpoint.slice(endpoint.lastIndexOf(':'))} to listen on all addresses`)
  const settings = {
    endpoint,
    replayEndpoint: address('replay_endpoint'),
    topic: text('topic') ?? '',
    bufferSteps: integer('buffer_steps', 10_000, 1),
    hwm: integer('hwm', 100_000, 0),
    maxQueueSize: integer('max_queue_size', 1000, 1),
  }
  return enabled && publisher === 'zmq' ? settings : undefined
}

/** As vLLM has it: an address with an asterisk, of IPv6 or of a file is listened on, any other is connected to. */
export const isListenedOn = (endpoint: string) =>
  endpoint.includes('*') || endpoint.includes('::') || endpoint.startsWith('ipc://')

/** Only this machine can read there. */
export const isLocal = (endpoint: string) => /^ipc:|^tcp:\/\/(127\.|localhost:|\[::1\])/.test(endpoint)

function objectOf(source: string, raw: unknown): Record<string, unknown> {
  let value = raw
  if (typeof raw === 'string')
    try {
      value = JSON.parse(raw)
    } catch {
      value = undefined
    }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new ConfigError(`${source} must be JSON like ${EXAMPLE}, not ${JSON.stringify(raw)}`)
  return value as Record<string, unknown>
}
