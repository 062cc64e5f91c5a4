/** The file of `--api-key-file`: JSON, one key's entry a line (docs/keys.md). It holds hashes, so that who reads it has no key. */
import { readFileSync } from 'node:fs'
import { ConfigError } from '../config/values.ts'
import { nearest } from '../nearest.ts'
import { DEFAULT_TENANT, type KeyEntry, TENANT } from './key.ts'

/** By the name in the file: how its value is checked, what is right, and where it goes. */
const FIELDS: Record<string, { right: string; is: (value: unknown) => boolean; to: keyof KeyEntry }> = {
  sha256: {
    right: '64 hexadecimal digits',
    is: (value) => typeof value === 'string' && /^[0-9a-f]{64}$/i.test(value),
    to: 'sha256',
  },
  tenant: {
    right: 'a name of letters, digits, dots, dashes and underscores, 64 at most',
    is: (value) => typeof value === 'string' && TENANT.test(value),
    to: 'tenant',
  },
  adapters: {
    right: 'a list of names, in which * stands for any text',
    is: (value) => Array.isArray(value) && value.every((pattern) => typeof pattern === 'string' && pattern !== ''),
    to: 'adapters',
  },
  'max-concurrent-requests': { right: 'an integer of at least 1', is: isCount, to: 'maxRequests' },
  'max-sequences-in-flight': { right: 'an integer of at least 1', is: isCount, to: 'maxSequences' },
  'max-queued-requests': { right: 'an integer of at least 1', is: isCount, to: 'maxQueued' },
  'tokens-per-minute': { right: 'an integer of at least 1', is: isCount, to: 'tokensPerMinute' },
  admin: { right: 'true or false', is: (value) => typeof value === 'boolean', to: 'admin' },
}

function isCount(value: unknown): boolean {
  return Number.isSafeInteger(value) && (value as number) >= 1
}

/** Throws ConfigError, which names the line and never a key. */
export function readKeyFile(file: string): KeyEntry[] {
  let text: string
  try {
    text = readFileSync(file, 'utf8')
  } catch (error) {
    throw new ConfigError(`the key file cannot be read: ${(error as Error).message}`)
  }
  const lines = text.split('\n').entries()
  return [...lines].filter(([, line]) => line.trim() !== '').map(([i, line]) => parseEntry(line, `${file}:${i + 1}`))
}

function parseEntry(line: string, place: string): KeyEntry {
  let json: unknown
  try {
    json = JSON.parse(line)
  } catch {
    throw new ConfigError(`${place} is no JSON; each line holds one key's entry, as \`lorikeet key\` writes it`)
  }
  if (typeof json !== 'object' || json === null || Array.isArray(json)) throw new ConfigError(`${place} must hold a JSON object`)
  const entry: Record<string, unknown> = { tenant: DEFAULT_TENANT, admin: false }
  for (const [name, value] of Object.entries(json)) {
    if (!Object.hasOwn(FIELDS, name)) {
      const [near] = nearest(name, Object.keys(FIELDS), 1)
      throw new ConfigError(`${place}: unknown field ${name}${near ? `; did you mean ${near}?` : ''}`)
    }
    const { right, is, to } = FIELDS[name]
    if (!is(value)) throw new ConfigError(`${place}: ${name} must be ${right}`)
    entry[to] = value
  }
  if (typeof entry.sha256 !== 'string') throw new ConfigError(`${place}: sha256, the key's hash, is missing`)
  return { ...entry, sha256: entry.sha256.toLowerCase() } as unknown as KeyEntry
}

/** An entry as a line of the file. */
export function entryLine(entry: KeyEntry): string {
  const fields = Object.entries(FIELDS).map(([name, { to }]) => [name, entry[to]])
  return JSON.stringify(
    Object.fromEntries(fields.filter(([name, value]) => value !== undefined && !(name === 'admin' && !value))),
  )
}
