/** The text of `lorikeet --help` and `lorikeet serve --help`. */
import { SETTINGS, type Setting } from './settings.ts'

/** The default in words, one per device where it depends on it; undefined if there is none. */
export function defaultOf({ fallback, fallbackOn }: Setting): string | undefined {
  if (fallbackOn) {
    const [cpu, cuda] = (['cpu', 'cuda'] as const).map((device) => {
      const value = fallbackOn[device]
      return typeof value === 'object' ? value.left : `${value}`
    })
    return `CPU: ${cpu}; CUDA: ${cuda}`
  }
  return fallback === undefined ? undefined : `${fallback}`
}

export const USAGE = `lorikeet: one base model, thousands of adapters, one process

  lorikeet serve [MODEL_DIR] [--adapters DIR] [--port N] …   serve over HTTP; see lorikeet serve --help
  lorikeet check [MODEL_DIR] [--adapters DIR] [--json] …     would they be served, and how much memory would it take
  lorikeet bench URL [--adapters N] …                        load a server with requests, as vllm bench serve does
  lorikeet key [--tenant NAME] …                             make an API key; see lorikeet key --help
  lorikeet --version
`

/** A text in lines of at most so many characters, as far as its words allow. */
function wrapped(text: string, width: number): string[] {
  const lines: string[] = ['']
  for (const word of text.split(' ')) {
    const line = lines[lines.length - 1]
    if (line !== '' && line.length + 1 + word.length > width) lines.push(word)
    else lines[lines.length - 1] = line === '' ? word : `${line} ${word}`
  }
  return lines
}

/** Under which heading a setting stands; those that are named nowhere stand under the last. */
const GROUPS: readonly [heading: string, names: string][] = [
  [
    'Listening',
    'host port ui cors-origin allowed-hosts ssl-certfile ssl-keyfile admin-port admin-host kv-events-config log-level config',
  ],
  [
    'Adapters',
    'adapters adapter watch allow-adapter-management adapter-roots hub-allow state-dir host-memory max-cpu-loras max-lora-rank max-adapter-bytes metrics-adapters image-cache ' +
      'image-cache-size rank-order busy-rank busy-waiting adapter-tokenizers adapter-idle-timeout adapter-dtype adapter-frame-size max-extra-tokens',
  ],
  [
    'Model and device',
    'served-model-name max-model-len device dtype quantization weight-cache weight-cache-size kv-cache-dtype pool gpu-memory-utilization block-size prefix-cache enforce-eager threads cpu-affinity tokenizer-processes',
  ],
  [
    'Batches and order of service',
    'max-batch-tokens long-prefill-token-threshold max-step-ms max-sequences scheduling fairness tenant-header ttft-target adapter-cluster async-scheduling step-timeout speculative-config',
  ],
  [
    'Chat, formats and the Responses API',
    'chat-template trust-request-chat-template tool-call-parser reasoning-parser constraint-timeout constraint-memory response-store-size max-websocket-streams enable-prompt-tokens-details',
  ],
  ['Log and traces', 'enable-log-requests enable-log-outputs max-log-len otlp-traces-endpoint'],
  ['Keys', 'api-key api-key-file metrics-key prefix-cache-scope'],
  ['Limits', ''],
]

function headingOf(name: string): string {
  const [heading] = GROUPS.find(([, names]) => names.split(' ').includes(name)) ?? (GROUPS.at(-1) as (typeof GROUPS)[number])
  return heading
}

/** `columns`: of the terminal. */
export function serveHelp(columns = 100): string {
  const rows = Object.entries(SETTINGS)
    .filter(([name]) => name !== 'model')
    .map(([name, setting]: [string, Setting]) => {
      const value = setting.value ?? setting.choices?.join('|')
      const flag = setting.kind === 'flag' ? `--[no-]${name}` : `--${name} ${value}`
      const fallback = defaultOf(setting)
      const only = setting.only === 'cuda' ? 'CUDA: ' : ''
      return [flag, `${only}${setting.help}${fallback === undefined ? '' : ` (${fallback})`}`, headingOf(name)]
    })
  rows.push(['--config FILE', 'JSON file with the same names as keys', headingOf('config')])
  const width = Math.max(...rows.map(([flag]) => (flag.length <= 34 ? flag.length : 0)))
  const indent = ' '.repeat(width + 4)
  const line = ([flag, help]: string[]) => {
    const text = wrapped(help, Math.max(30, columns - indent.length)).join(`\n${indent}`)
    return flag.length > width ? `  ${flag}\n${indent}${text}` : `  ${flag.padEnd(width)}  ${text}`
  }
  const groups = GROUPS.map(([heading]) => [`${heading}:`, ...rows.filter((row) => row[2] === heading).map(line)].join('\n'))
  return `lorikeet serve [MODEL_DIR] [flags]

Serves a Hugging Face model folder with its adapters; without MODEL_DIR, the embedded demo model with its nine adapters.

${groups.join('\n\n')}

Each setting is also an environment variable (--max-batch-tokens: LORIKEET_MAX_BATCH_TOKENS). Flags go before the environment, the environment before the file.
`
}
