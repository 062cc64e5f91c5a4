/** The commands of `lorikeet`, as their help, the shells' completion and "did you mean" know them: each with the rows that its flags are read by. */
import { KEY_SETTINGS } from '../access/new-key.ts'
import { BENCH_SETTINGS } from '../bench/settings.ts'
import { CHECK_SETTINGS } from '../check/settings.ts'
import { CONFIG_FILE } from '../config/config.ts'
import { type Groups, type Help, helpText, SERVE_GROUPS } from '../config/help.ts'
import type { Setting } from '../config/setting.ts'
import { SETTINGS } from '../config/settings.ts'

export interface Command extends Help {
  name: string
  /** In the list of commands. */
  summary: string
  /** What stands without a flag, for completion. */
  positional?: 'folder' | readonly string[]
  /** Flags that it takes beside those that its help lists. */
  more?: Readonly<Record<string, Setting>>
}

export const SHELLS = ['bash', 'zsh', 'fish'] as const
export type Shell = (typeof SHELLS)[number]

const { model: _, ...others } = SETTINGS
const SERVE: Readonly<Record<string, Setting>> = { ...others, ...CONFIG_FILE }
const ENVIRONMENT =
  'Each setting is also an environment variable (--max-batch-tokens: LORIKEET_MAX_BATCH_TOKENS). Flags go before the environment, the environment before the file.'

/** Of the settings of a server those that a check is about. */
const CHECKED: Groups = [
  ['Check', Object.keys(CHECK_SETTINGS).join(' ')],
  ...SERVE_GROUPS.filter(([heading]) => heading === 'Adapters' || heading === 'Model and device'),
  ['Others', 'max-batch-tokens max-sequences chat-template config'],
]
const checked = new Set(CHECKED.flatMap(([, names]) => names.split(' ')))

export const COMMANDS: readonly Command[] = [
  {
    name: 'serve',
    usage: 'serve [MODEL_DIR] [flags]',
    summary: 'serve a model with its adapters over HTTP',
    about:
      'Serves a Hugging Face model folder with its adapters; without MODEL_DIR, the embedded demo model with its nine adapters.',
    flags: SERVE,
    groups: SERVE_GROUPS,
    notes: ENVIRONMENT,
    positional: 'folder',
  },
  {
    name: 'check',
    usage: 'check [MODEL_DIR] [flags]',
    summary: 'say whether they would be served, and how much memory it would take',
    about:
      'Says whether `lorikeet serve` with the same flags would serve the model and each of its adapters, or why not, and about how much memory it would take. Reads configs and headers; loads and writes nothing. ' +
      'Exit status 0: all would be served; 1: something would be refused, or memory does not reach; 2: wrong usage.',
    flags: Object.fromEntries(Object.entries({ ...CHECK_SETTINGS, ...SERVE }).filter(([name]) => checked.has(name))),
    more: SERVE,
    groups: CHECKED,
    notes: `All other flags of lorikeet serve are taken too. ${ENVIRONMENT}`,
    positional: 'folder',
  },
  {
    name: 'bench',
    usage: 'bench URL [flags]',
    summary: 'load a server with requests, as vllm bench serve does',
    about:
      'Sends streamed requests with random prompts to a server with an OpenAI-compatible API, and prints the table that `vllm bench serve` prints; flags have its names. ' +
      'Exit status 0: requests succeeded; 1: none did; 2: wrong usage.',
    flags: BENCH_SETTINGS,
    groups: [
      ['What is asked', 'base-url endpoint model lora-modules lora-assignment adapters adapter-distribution adapter-skew'],
      ['How much, and when', 'num-prompts num-warmups request-rate burstiness max-concurrency seed'],
      [
        'Requests',
        'random-input-len random-output-len random-range-ratio ignore-eos temperature extra-body header api-key insecure',
      ],
      ['Results', ''],
    ],
  },
  {
    name: 'key',
    usage: 'key [flags] >> keys.jsonl',
    summary: 'make an API key',
    about:
      'Makes an API key. Its entry is written to stdout, to be added to the file of --api-key-file, and the key to stderr: it is shown this once.',
    flags: KEY_SETTINGS,
  },
  {
    name: 'completion',
    usage: `completion ${SHELLS.join('|')}`,
    summary: "print a shell's completion of commands, flags and values",
    about:
      'Prints a script that completes commands, flags and their values. bash: source <(lorikeet completion bash). zsh: lorikeet completion zsh > a folder of $fpath, as _lorikeet. fish: lorikeet completion fish > ~/.config/fish/completions/lorikeet.fish.',
    flags: {},
    groups: [],
    positional: SHELLS,
  },
]

export const commandNamed = (name: string) => COMMANDS.find((command) => command.name === name)

/** `lorikeet --help`. */
export function usage(): string {
  const rows = COMMANDS.map(({ name, usage, summary }) => [
    `lorikeet ${name === 'serve' || name === 'check' ? usage : usage.replace(' >> keys.jsonl', '')}`,
    summary,
  ])
  const width = Math.max(...rows.map(([left]) => left.length))
  return `lorikeet: one base model, thousands of adapters, one process

${rows.map(([left, right]) => `  ${left.padEnd(width)}  ${right}`).join('\n')}
  ${'lorikeet --version'.padEnd(width)}  print the version

lorikeet COMMAND --help tells a command's flags.
`
}

/** `columns`: of the terminal. */
export const serveHelp = (columns?: number) => helpText(commandNamed('serve') as Command, columns)
