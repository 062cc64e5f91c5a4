/** Settings of `lorikeet serve` that say which adapters there are, where they come from and where they are kept. */
import { LONGEST_TIMER, type Setting } from './setting.ts'

export const ADAPTER_SETTINGS = {
  adapters: {
    kind: 'text',
    value: 'DIR',
    help: 'folder whose subfolders with an adapter_config.json are adapters, named after them',
  },
  adapter: { kind: 'adapters', value: 'NAME=DIR', vllm: 'lora-modules', help: 'one adapter more; may be repeated' },
  watch: {
    kind: 'flag',
    fallback: false,
    help: 'serve what appears in the folder of adapters, replace what changes, let go what goes',
  },
  'allow-adapter-management': {
    kind: 'flag',
    fallback: false,
    help: 'let adapters be loaded, replaced and unloaded over HTTP; where there are keys, by admins',
  },
  'adapter-roots': {
    kind: 'texts',
    value: 'DIR',
    help: 'folders beside that of the adapters that may be loaded from over HTTP; may be repeated',
  },
  'hub-allow': {
    kind: 'texts',
    value: 'PATTERN',
    help: 'what requests may bring from the hub, as ORG/NAME with * for any text; may be repeated',
  },
  'state-dir': {
    kind: 'text',
    value: 'DIR',
    help: 'folder where what was registered over HTTP is kept for the next start',
  },
  'host-memory': {
    kind: 'size',
    value: 'SIZE',
    help: "memory for adapters in host memory; if absent, a quarter of the machine's or container's",
  },
  'max-cpu-loras': {
    kind: 'integer',
    value: 'N',
    minimum: 1,
    help: 'adapters in host memory at most; if absent, as many as it has room for',
  },
  'max-lora-rank': {
    kind: 'integer',
    value: 'N',
    minimum: 1,
    help: 'adapters of a higher rank are refused; if absent, none is',
  },
  'max-adapter-bytes': {
    kind: 'size',
    value: 'SIZE',
    help: 'adapters that take more, packed, are refused; if absent, those above a quarter of the pool',
  },
  'metrics-adapters': {
    kind: 'integer',
    value: 'N',
    minimum: 0,
    fallback: 256,
    help: 'names of adapters that /metrics tells at most, those used last first',
  },
  'image-cache': {
    kind: 'text',
    value: 'DIR',
    help: 'folder where packed adapters are kept, so that what was folded once is read the next time',
  },
  'image-cache-size': {
    kind: 'size',
    value: 'SIZE',
    fallback: '16GiB',
    help: 'of the files in the image cache; what was not used for longest goes',
  },
  'adapter-max-requests': {
    kind: 'integer',
    value: 'N',
    minimum: 1,
    help: 'requests in flight of one adapter; more are told to come again (429)',
  },
  'adapter-max-queued': {
    kind: 'integer',
    value: 'N',
    minimum: 1,
    help: 'of these, requests that wait for their first step; 429 likewise',
  },
  'adapter-tokens-per-minute': {
    kind: 'integer',
    value: 'N',
    minimum: 1,
    help: 'prompt and output tokens of one adapter; 429 likewise',
  },
  'rank-order': {
    kind: 'choice',
    choices: ['own', 'svd'],
    fallback: 'own',
    help: "order of an adapter's ranks, of which a request may have the first ones used: its own, or by singular value",
  },
  'busy-rank': {
    kind: 'integer',
    value: 'R',
    minimum: 1,
    help: 'ranks that requests which name none have of an adapter at most while the server is busy; if absent, all',
  },
  'busy-waiting': {
    kind: 'integer',
    value: 'N',
    minimum: 0,
    fallback: 16,
    help: 'the server is busy while more sequences wait',
  },
  'adapter-tokenizers': {
    kind: 'choice',
    choices: ['own', 'base'],
    fallback: 'own',
    help: "whose tokenizer and chat template serve an adapter whose folder has others than the base: its own, or the base's",
  },
  'adapter-idle-timeout': {
    kind: 'integer',
    value: 'SECONDS',
    minimum: 0,
    maximum: LONGEST_TIMER,
    fallback: 0,
    help: 'how long an adapter that nobody uses stays in host memory; 0: until room is needed',
  },
} as const satisfies Record<string, Setting>
