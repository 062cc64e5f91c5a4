/** `lorikeet key`: makes a key. The key goes to stderr, for the tenant; its entry, which holds no key, to stdout, for the key file. */
import { randomBytes } from 'node:crypto'
import { parseArgs } from 'node:util'
import { ConfigError, readValue } from '../config/values.ts'
import { nearest } from '../nearest.ts'
import { DEFAULT_TENANT, type KeyEntry, sha256, TENANT } from './key.ts'
import { entryLine } from './key-file.ts'

export const KEY_HELP = `lorikeet key [--tenant NAME] [--adapters PATTERN]… [limits] [--admin] >> keys.jsonl

Makes an API key. Its entry is written to stdout, to be added to the file of --api-key-file, and the key to stderr: it is shown this once.

  --tenant NAME                  whose it is (${DEFAULT_TENANT})
  --adapters PATTERN             names of adapters that it may use, * standing for any text; may be repeated (all)
  --max-concurrent-requests N    requests that it may have in flight
  --max-sequences-in-flight N    sequences (prompts times n) that these may be
  --max-queued-requests N        requests of these that may wait
  --tokens-per-minute N          prompt and output tokens that it may use in a minute
  --admin                        it sees what operators see, and may change adapters
`

const COUNTS = {
  'max-concurrent-requests': 'maxRequests',
  'max-sequences-in-flight': 'maxSequences',
  'max-queued-requests': 'maxQueued',
  'tokens-per-minute': 'tokensPerMinute',
} as const
const OPTIONS = {
  tenant: { type: 'string' },
  adapters: { type: 'string', multiple: true },
  'max-concurrent-requests': { type: 'string' },
  'max-sequences-in-flight': { type: 'string' },
  'max-queued-requests': { type: 'string' },
  'tokens-per-minute': { type: 'string' },
  admin: { type: 'boolean' },
} as const

/** 256 random bits; its prefix lets scanners of leaked secrets find it. */
const randomKey = () => `lk-${randomBytes(32).toString('base64url')}`

/** Throws ConfigError. `key` is for tests. */
export function makeKey(args: string[], key = randomKey()): { key: string; line: string } {
  const { values, tokens, positionals } = parseArgs({
    args,
    options: OPTIONS,
    strict: false,
    allowPositionals: true,
    tokens: true,
  })
  for (const token of tokens)
    if (token.kind === 'option' && !Object.hasOwn(OPTIONS, token.name)) {
      const [near] = nearest(token.name, Object.keys(OPTIONS), 1)
      throw new ConfigError(`unknown flag ${token.rawName}; ${near ? `did you mean --${near}?` : 'see lorikeet key --help'}`)
    }
  if (positionals.length > 0) throw new ConfigError(`${positionals[0]} is no flag; see lorikeet key --help`)
  const { tenant = DEFAULT_TENANT, adapters } = values
  if (typeof tenant !== 'string' || !TENANT.test(tenant))
    throw new ConfigError('--tenant must be a name of letters, digits, dots, dashes and underscores, 64 at most')
  if (adapters?.some((pattern) => typeof pattern !== 'string' || pattern === ''))
    throw new ConfigError('--adapters needs a value')
  if (adapters?.some((pattern) => String(pattern).includes(',')))
    throw new ConfigError('--adapters holds a comma: repeat it for each pattern')
  const entry: KeyEntry = {
    sha256: sha256(key),
    tenant,
    adapters: adapters as string[] | undefined,
    admin: values.admin === true,
  }
  for (const [flag, field] of Object.entries(COUNTS)) {
    const value = values[flag as keyof typeof COUNTS]
    if (value !== undefined) entry[field] = readValue(`--${flag}`, { kind: 'integer', minimum: 1, help: '' }, value) as number
  }
  return { key, line: entryLine(entry) }
}
