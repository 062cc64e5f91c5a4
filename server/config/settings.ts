/** Every setting of `lorikeet serve`: one row each. The same names serve as flag (--max-batch-tokens), environment variable (LORIKEET_MAX_BATCH_TOKENS) and key of the config file. */
import { computingThreads } from './cores.ts'

export interface Setting {
  /** How a value is read (values.ts). */
  kind: 'text' | 'integer' | 'size' | 'flag' | 'choice' | 'adapters'
  /** What its help calls the value. */
  value?: string
  choices?: readonly string[]
  minimum?: number
  maximum?: number
  fallback?: string | number | boolean | Record<string, string>
  help: string
}

export const SETTINGS = {
  model: { kind: 'text', value: 'DIR', help: 'Hugging Face folder of the base model; the embedded demo model if absent' },
  adapters: {
    kind: 'text',
    value: 'DIR',
    help: 'folder whose subfolders with an adapter_config.json are adapters, named after them',
  },
  adapter: { kind: 'adapters', value: 'NAME=DIR', help: 'one adapter more; may be repeated' },
  'served-model-name': { kind: 'text', value: 'NAME', help: "the base's name in `model`; the folder's name if absent" },
  host: { kind: 'text', value: 'HOST', fallback: '127.0.0.1', help: 'address to listen on' },
  port: {
    kind: 'integer',
    value: 'N',
    minimum: 0,
    maximum: 65535,
    fallback: 8080,
    help: 'port to listen on; 0 takes a free one',
  },
  pool: { kind: 'size', value: 'SIZE', fallback: '512MiB', help: 'memory for the KV cache and the adapters in use together' },
  'block-size': {
    kind: 'integer',
    value: 'N',
    minimum: 1,
    maximum: 1024,
    fallback: 16,
    help: 'tokens that a block of the pool holds',
  },
  'max-batch-tokens': {
    kind: 'integer',
    value: 'N',
    minimum: 1,
    maximum: 65536,
    fallback: 256,
    help: 'tokens that a step computes at most',
  },
  'max-sequences': {
    kind: 'integer',
    value: 'N',
    minimum: 1,
    maximum: 4096,
    fallback: 128,
    help: 'sequences that a step holds at most',
  },
  'max-model-len': {
    kind: 'integer',
    value: 'N',
    minimum: 2,
    help: "prompt and output tokens together; the model's maximum if absent",
  },
  device: { kind: 'choice', choices: ['auto', 'cpu', 'cuda'], fallback: 'auto', help: 'where the model runs' },
  dtype: { kind: 'choice', choices: ['float32'], fallback: 'float32', help: 'precision of the base model' },
  'adapter-dtype': {
    kind: 'choice',
    choices: ['float16', 'bfloat16', 'float32'],
    fallback: 'float16',
    help: "precision of the adapters' rank rows in the pool",
  },
  threads: {
    kind: 'integer',
    value: 'N',
    minimum: 1,
    maximum: 1024,
    fallback: computingThreads(),
    help: 'threads that compute; the physical cores if absent',
  },
  'prefix-cache': { kind: 'flag', fallback: true, help: 'keep the KV cache of prompts for requests that start alike' },
  'chat-template': { kind: 'text', value: 'FILE', help: "a Jinja template instead of the model's own" },
  'body-limit': { kind: 'size', value: 'SIZE', fallback: '16MiB', help: 'largest request body' },
  'max-concurrent-requests': {
    kind: 'integer',
    value: 'N',
    minimum: 1,
    fallback: 1024,
    help: 'generating requests in flight; more are told to come again (429)',
  },
  'drain-timeout': {
    kind: 'integer',
    value: 'SECONDS',
    minimum: 0,
    fallback: 30,
    help: 'how long requests in flight may go on after Ctrl-C',
  },
  'log-level': {
    kind: 'choice',
    choices: ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'],
    fallback: 'warn',
    help: 'what is logged',
  },
} as const satisfies Record<string, Setting>

export type SettingName = keyof typeof SETTINGS

/** Settled: every setting valid, defaults filled in. */
export interface Config {
  model?: string
  adapters?: string
  adapter: Record<string, string>
  servedModelName?: string
  host: string
  port: number
  /** Bytes. */
  pool: number
  blockSize: number
  maxBatchTokens: number
  maxSequences: number
  maxModelLen?: number
  device: 'auto' | 'cpu' | 'cuda'
  dtype: 'float32'
  adapterDtype: 'float16' | 'bfloat16' | 'float32'
  threads: number
  prefixCache: boolean
  chatTemplate?: string
  /** Bytes. */
  bodyLimit: number
  maxConcurrentRequests: number
  /** Seconds. */
  drainTimeout: number
  logLevel: string
}
