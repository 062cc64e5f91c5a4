/** `lorikeet key`: makes a key. The key goes to stderr, for the tenant; its entry, which holds no key, to stdout, for the key file. */
import { randomBytes } from 'node:crypto'
import { readFlags } from '../config/flags.ts'
import type { Setting } from '../config/setting.ts'
import { ConfigError } from '../config/values.ts'
import { nearest } from '../nearest.ts'
import { DEFAULT_TENANT, type KeyEntry, sha256, TENANT } from './key.ts'
import { entryLine } from './key-file.ts'

const NAME = 'a name of letters, digits, dots, dashes and underscores, 64 at most'

/** Flags of `lorikeet key`. */
export const KEY_SETTINGS = {
  tenant: { kind: 'text', value: 'NAME', fallback: DEFAULT_TENANT, pattern: [TENANT, NAME], help: 'whose it is' },
  adapters: {
    kind: 'texts',
    value: 'PATTERN',
    help: 'names of adapters that it may use, * standing for any text; may be repeated; all if absent',
  },
  'max-concurrent-requests': { kind: 'integer', value: 'N', minimum: 1, help: 'requests that it may have in flight' },
  'max-sequences-in-flight': { kind: 'integer', value: 'N', minimum: 1, help: 'sequences (prompts times n) that these may be' },
  'max-queued-requests': { kind: 'integer', value: 'N', minimum: 1, help: 'requests of these that may wait' },
  'tokens-per-minute': { kind: 'integer', value: 'N', minimum: 1, help: 'prompt and output tokens that it may use in a minute' },
  admin: { kind: 'flag', fallback: false, help: 'it sees what operators see, and may change adapters' },
} as const satisfies Record<string, Setting>

const COUNTS = {
  'max-concurrent-requests': 'maxRequests',
  'max-sequences-in-flight': 'maxSequences',
  'max-queued-requests': 'maxQueued',
  'tokens-per-minute': 'tokensPerMinute',
} as const

/** 256 random bits; its prefix lets scanners of leaked secrets find it. */
const randomKey = () => `lk-${randomBytes(32).toString('base64url')}`

/** Throws ConfigError. `key` is for tests. */
export function makeKey(args: string[], key = randomKey()): { key: string; line: string } {
  const { values, positionals } = readFlags(args, KEY_SETTINGS, (flag, known) => {
    const [near] = nearest(flag, known, 1)
    return new ConfigError(`unknown flag ${flag}; ${near ? `did you mean ${near}?` : 'see lorikeet key --help'}`)
  })
  if (positionals.length > 0) throw new ConfigError(`${positionals[0]} is no flag; see lorikeet key --help`)
  const entry: KeyEntry = {
    sha256: sha256(key),
    tenant: (values.tenant as string | undefined) ?? DEFAULT_TENANT,
    adapters: values.adapters as string[] | undefined,
    admin: values.admin === true,
  }
  for (const [flag, field] of Object.entries(COUNTS)) if (values[flag] !== undefined) entry[field] = values[flag] as number
  return { key, line: entryLine(entry) }
}
