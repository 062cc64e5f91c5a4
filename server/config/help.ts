/** The text of `lorikeet serve --help` and its like, made from the rows of settings. */
import type { Setting } from './setting.ts'

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

/** Names of settings, under headings. */
export type Groups = readonly (readonly [heading: string, names: string])[]

/** Of `lorikeet serve`; those that are named nowhere stand under the last. */
export const SERVE_GROUPS: Groups = [
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

export interface Help {
  /** Behind `lorikeet`. */
  usage: string
  /** What it does, a paragraph. */
  about: string
  flags: Readonly<Record<string, Setting>>
  /** Absent: all under one heading. What they name nowhere stands under the last. */
  groups?: Groups
  /** Behind the flags. */
  notes?: string
}

/** `columns`: of the terminal. */
export function helpText({ usage, about, flags, groups = [['Flags', '']], notes }: Help, columns = 100): string {
  const headingOf = (name: string) =>
    (groups.find(([, names]) => names.split(' ').includes(name)) ?? (groups.at(-1) as Groups[number]))[0]
  const rows = Object.entries(flags).map(([name, setting]) => {
    const fallback = defaultOf(setting)
    const only = setting.only === 'cuda' ? 'CUDA: ' : ''
    return [shownFlag(name, setting), `${only}${setting.help}${fallback === undefined ? '' : ` (${fallback})`}`, headingOf(name)]
  })
  const width = Math.max(0, ...rows.map(([flag]) => (flag.length <= 34 ? flag.length : 0)))
  const indent = ' '.repeat(width + 4)
  const line = ([flag, help]: string[]) => {
    const text = wrapped(help, Math.max(30, columns - indent.length)).join(`\n${indent}`)
    return flag.length > width ? `  ${flag}\n${indent}${text}` : `  ${flag.padEnd(width)}  ${text}`
  }
  const sections = groups.map(([heading]) => [`${heading}:`, ...rows.filter((row) => row[2] === heading).map(line)].join('\n'))
  const paragraphs = (text: string) => wrapped(text, columns).join('\n')
  return `lorikeet ${usage}\n\n${[paragraphs(about), ...sections, ...(notes ? [paragraphs(notes)] : [])].join('\n\n')}\n`
}

/** `--pool SIZE`, `--[no-]watch`. */
function shownFlag(name: string, setting: Setting): string {
  const value = setting.value ?? setting.choices?.join('|')
  return setting.kind === 'flag' ? `--[no-]${name}` : `--${name} ${value}`
}
