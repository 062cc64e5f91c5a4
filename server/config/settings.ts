/** Every setting of `lorikeet serve`: one row each. The same names serve as flag (--max-batch-tokens), environment variable (LORIKEET_MAX_BATCH_TOKENS) and key of the config file. */
import type { SpeculationSettings } from '../../runtime/types.ts'
import { REASONING_FORMATS, REASONING_SPELLINGS, TOOL_FORMATS, TOOL_SPELLINGS } from '../openai/message/formats.ts'
import { ACCESS_SETTINGS } from './access-settings.ts'
import { ADAPTER_SETTINGS } from './adapter-settings.ts'
import { KV_EVENTS_SETTINGS, type KvEventsSettings } from './kv-events.ts'
import { REQUEST_SETTINGS } from './request-settings.ts'
import { SEEING_SETTINGS } from './seeing-settings.ts'
import { type Device, LONGEST_TIMER, type Setting } from './setting.ts'
import { SPECULATION_SETTINGS } from './speculation.ts'
import { WEIGHT_SETTINGS } from './weight-settings.ts'

export type { Device, Setting }

export const SETTINGS = {
  model: {
    kind: 'text',
    value: 'DIR',
    help: 'Hugging Face folder of the base model, or ORG/NAME[@REVISION] of the hub; the embedded demo model if absent',
  },
  ...ADAPTER_SETTINGS,
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
  pool: {
    kind: 'size',
    value: 'SIZE',
    fallbackOn: { cpu: '512MiB', cuda: { left: 'what gpu-memory-utilization leaves' } },
    help: 'memory for the KV cache and the adapters in use together',
  },
  'gpu-memory-utilization': {
    kind: 'fraction',
    value: 'X',
    fallback: 0.9,
    only: 'cuda',
    help: "share of the GPU's memory that weights, workspace and pool may take; not used with a pool size",
  },
  // On CUDA: the smallest blocks that FlashAttention reads pages in (runtime/model/devices/cuda.ts).
  'block-size': {
    kind: 'integer',
    value: 'N',
    minimum: 1,
    maximum: 1024,
    fallbackOn: { cpu: 16, cuda: { left: "256, 128 or 64 by the head's size" } },
    help: 'tokens that a block of the pool holds; on CUDA a power of two',
  },
  'adapter-frame-size': {
    kind: 'size',
    value: 'SIZE',
    fallback: '64KiB',
    help: 'least size of the equal parts that pool blocks are cut into, so that small adapters share one',
  },
  // A step's tokens bound how long running sequences wait for a prompt's chunk. 256 keep a CPU busy; a large GPU's matrix units want some 500, and 2,048,
  // vLLM's number, are by arithmetic (33 TFLOP for 8B, half of the peak reached) some 70 ms on an H100.
  'max-batch-tokens': {
    kind: 'integer',
    value: 'N',
    minimum: 1,
    maximum: 65536,
    fallbackOn: { cpu: 256, cuda: 2048 },
    vllm: 'max-num-batched-tokens',
    help: 'tokens that a step computes at most',
  },
  'long-prefill-token-threshold': {
    kind: 'integer',
    value: 'N',
    minimum: 0,
    maximum: 65536,
    fallback: 0,
    help: 'tokens of a step that one prompt takes at most while others have some to compute; 0: half of max-batch-tokens',
  },
  'max-step-ms': {
    kind: 'integer',
    value: 'MS',
    minimum: 0,
    maximum: 60_000,
    fallback: 120,
    help: 'how long prompts may make a step beside running answers, which wait for it; 0: as long as it takes',
  },
  scheduling: {
    kind: 'choice',
    choices: ['fcfs', 'priority', 'fair'],
    fallback: 'fcfs',
    vllm: 'scheduling-policy',
    help: 'who is served first: whoever came first; requests may bring a priority, which ages; or whoever has been served least',
  },
  fairness: {
    kind: 'choice',
    choices: ['tenant', 'adapter'],
    fallback: 'tenant',
    help: 'whom service is counted for with fair scheduling',
  },
  'tenant-header': {
    kind: 'text',
    value: 'NAME',
    // Tenants are told in answers, logs and on the page: what holds keys names none.
    pattern: [/^(?!(authorization|x-api-key|cookie)$)[\w!#$%&'*+.^`|~-]+$/i, "a header's name, and none that brings keys"],
    help: "header in which a trusted gateway names the tenant, for fair scheduling and limits; else it is the key's",
  },
  'ttft-target': {
    kind: 'decimal',
    value: 'S',
    maximum: 3600,
    help: 'refuse at once (429) what cannot be expected to have its first token in so many seconds; a request may bring its own',
  },
  'adapter-cluster': {
    kind: 'integer',
    value: 'N',
    minimum: 0,
    fallback: 0,
    help: 'once so many adapters run, requests of these go first, within bounds; 0: only where another would displace something',
  },
  'max-sequences': {
    kind: 'integer',
    value: 'N',
    minimum: 1,
    maximum: 4096,
    fallbackOn: { cpu: 128, cuda: 256 },
    vllm: 'max-num-seqs',
    help: 'sequences that a step holds at most',
  },
  'max-model-len': {
    kind: 'integer',
    value: 'N',
    minimum: 2,
    help: "prompt and output tokens together; the model's maximum if absent",
  },
  'max-extra-tokens': {
    kind: 'integer',
    value: 'N',
    minimum: 0,
    maximum: 65_536,
    fallback: 256,
    vllm: 'lora-extra-vocab-size',
    help: "tokens that an adapter may add to the base's vocabulary; 0: none",
  },
  device: {
    kind: 'choice',
    choices: ['auto', 'cpu', 'cuda'],
    fallback: 'auto',
    help: 'where the model runs; auto: CUDA if this machine and the model allow it',
  },
  ...WEIGHT_SETTINGS,
  'adapter-dtype': {
    kind: 'choice',
    choices: ['auto', 'float16', 'bfloat16', 'float32', 'int8'],
    spellings: { half: 'float16', float: 'float32' },
    fallback: 'auto',
    vllm: 'lora-dtype',
    help: "of the adapters' rank rows in the pool; auto: float16 on the CPU, the dtype on CUDA; int8 needs the CPU",
  },
  'kv-cache-dtype': {
    kind: 'choice',
    choices: ['auto', 'float32', 'float16', 'bfloat16', 'fp8', 'int8'],
    spellings: { fp8_e4m3: 'fp8', half: 'float16', float: 'float32' },
    fallback: 'auto',
    help: "of the KV cache; auto: the dtype, on the CPU 16 bits beside quantized weights; fp8 needs CUDA, where int8 needs a checkpoint's scales",
  },
  'enforce-eager': {
    kind: 'flag',
    fallback: false,
    only: 'cuda',
    help: 'launch each kernel anew instead of replaying decode steps as CUDA graphs',
  },
  'async-scheduling': {
    kind: 'choice',
    choices: ['auto', 'on', 'off'],
    spellings: { true: 'on', false: 'off' },
    fallback: 'auto',
    help: 'plan and queue the next step while one runs; auto: on CUDA',
  },
  'step-timeout': {
    kind: 'integer',
    value: 'SECONDS',
    minimum: 1,
    maximum: LONGEST_TIMER,
    fallback: 300,
    help: 'how long the engine may tell nothing of open requests before /health is red',
  },
  threads: {
    kind: 'integer',
    value: 'N',
    minimum: 1,
    maximum: 1024,
    help: 'threads that compute; if absent, the CPUs of a cpu-affinity list, or the physical cores that affinity and CPU quota leave',
  },
  'cpu-affinity': {
    kind: 'text',
    value: 'auto|LIST',
    only: 'cpu',
    help: 'pin each computing thread to a CPU: auto (a core each, of one memory node where it can be), or CPUs like 0-3,8',
  },
  'prefix-cache': {
    kind: 'flag',
    fallback: true,
    vllm: 'enable-prefix-caching',
    help: 'keep the KV cache of prompts for requests that start alike',
  },
  'chat-template': { kind: 'text', value: 'FILE', help: "a Jinja template instead of the model's own" },
  'trust-request-chat-template': {
    kind: 'flag',
    fallback: true,
    help: 'let requests bring a chat_template; run apart, with a second and 192 MiB for each',
  },
  'tool-call-parser': {
    kind: 'choice',
    value: 'NAME',
    choices: TOOL_FORMATS,
    spellings: TOOL_SPELLINGS,
    help: `the format that the model writes calls of tools in; if absent, what its chat template shows. One of ${TOOL_FORMATS.join(', ')}`,
  },
  'reasoning-parser': {
    kind: 'choice',
    value: 'NAME',
    choices: REASONING_FORMATS,
    spellings: REASONING_SPELLINGS,
    help: `the format that the model writes its reasoning in, which is then told apart from the content. One of ${REASONING_FORMATS.join(', ')}`,
  },
  'constraint-timeout': {
    kind: 'integer',
    value: 'SECONDS',
    minimum: 1,
    maximum: LONGEST_TIMER,
    fallback: 10,
    help: "how long a request's schema, regular expression or grammar may take to compile",
  },
  'constraint-memory': {
    kind: 'size',
    value: 'SIZE',
    fallback: '512MiB',
    help: 'memory for the grammars of answers, of each thread that has some',
  },
  'tokenizer-processes': {
    kind: 'integer',
    value: 'N',
    minimum: 1,
    maximum: 64,
    fallback: 2,
    vllm: 'tokenizer-pool-size',
    help: 'processes that tokenize long prompts and render long conversations, at low priority',
  },
  ...REQUEST_SETTINGS,
  ...SPECULATION_SETTINGS,
  ...KV_EVENTS_SETTINGS,
  ...ACCESS_SETTINGS,
  'drain-timeout': {
    kind: 'integer',
    value: 'SECONDS',
    minimum: 0,
    maximum: LONGEST_TIMER,
    fallback: 30,
    help: 'how long requests in flight may go on after Ctrl-C',
  },
  'log-level': {
    kind: 'choice',
    choices: ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'],
    fallback: 'warn',
    help: 'what is logged',
  },
  ...SEEING_SETTINGS,
} as const satisfies Record<string, Setting>

export type SettingName = keyof typeof SETTINGS

/** Its name in Config: max-batch-tokens → maxBatchTokens. */
export const keyOf = (name: SettingName) => name.replace(/-(.)/g, (_, letter: string) => letter.toUpperCase()) as keyof Config

type Table = typeof SETTINGS
type Key<Name extends string> = Name extends `${infer Head}-${infer Tail}` ? `${Head}${Capitalize<Key<Tail>>}` : Name
interface Values {
  text: string
  texts: string[]
  integer: number
  size: number
  fraction: number
  decimal: number
  flag: boolean
  adapters: Record<string, string>
  speculation: SpeculationSettings
  kvEvents: KvEventsSettings
}
type Value<Row> = Row extends { choices: readonly (infer Choice)[] }
  ? Choice
  : Row extends { kind: keyof Values }
    ? Values[Row['kind']]
    : never
/** Those that have a value whatever the device is; the named adapters are an empty record if there are none. */
type Certain =
  | {
      [Name in SettingName]: Table[Name] extends { only: Device }
        ? never
        : Table[Name] extends { fallback: unknown }
          ? Name
          : never
    }[SettingName]
  | 'adapter'

/** Settled: every setting valid, defaults filled in but for those that depend on the device (engine-settings.ts does that). Sizes are bytes, times seconds. */
export type Config = { [Name in Certain as Key<Name>]: Value<Table[Name]> } & {
  [Name in Exclude<SettingName, Certain> as Key<Name>]?: Value<Table[Name]>
}
