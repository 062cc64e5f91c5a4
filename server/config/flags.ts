/** Flags read by a table of settings: the same way for every command. */
import { parseArgs } from 'node:util'
import { repeatable, type Setting } from './setting.ts'
import { ConfigError, readValue } from './values.ts'

export interface Flags {
  /** By the setting's name; read and checked. */
  values: Record<string, unknown>
  positionals: string[]
}

/** `unknown`: what to say of a flag that the table lacks, `known` being all that it has. Throws ConfigError. */
export function readFlags(
  args: string[],
  table: Readonly<Record<string, Setting>>,
  unknown: (flag: string, known: string[]) => Error,
): Flags {
  const names = Object.keys(table)
  const options: Record<string, { type: 'string' | 'boolean'; multiple?: boolean }> = {}
  for (const name of names)
    options[name] = table[name].kind === 'flag' ? { type: 'boolean' } : { type: 'string', multiple: repeatable(table[name]) }
  const { tokens, positionals } = parseArgs({
    args,
    options,
    strict: false,
    allowPositionals: true,
    allowNegative: true,
    tokens: true,
  })
  const values: Record<string, unknown> = {}
  const lists: Record<string, string[]> = {}
  for (const token of tokens) {
    if (token.kind !== 'option') continue
    // parseArgs takes the `no-` away itself from the Node on that knows allowNegative (20.17), and of what it knows alone.
    const negated = token.rawName.startsWith('--no-')
    const name = negated ? token.name.replace(/^no-/, '') : token.name
    if (!Object.hasOwn(options, name))
      throw unknown(
        token.rawName,
        names.map((known) => `--${known}`),
      )
    const setting = table[name]
    // `--adapters --port 80`: the next flag is no value, but `--adapters=--odd` is one.
    const missing = token.value === undefined || negated || (!token.inlineValue && token.value.startsWith('--'))
    if (setting.kind !== 'flag' && missing) throw new ConfigError(`--${name} needs a value`)
    if (repeatable(setting)) lists[name] = [...(lists[name] ?? []), token.value as string]
    else if (setting.kind === 'flag') values[name] = negated ? false : readValue(`--${name}`, setting, token.value ?? true)
    else {
      const value = readValue(`--${name}`, setting, token.value)
      // The first would be dropped in silence: a folder of adapters, say.
      if (Object.hasOwn(values, name) && values[name] !== value)
        throw new ConfigError(`--${name} is given twice, with different values`)
      values[name] = value
    }
  }
  for (const [name, list] of Object.entries(lists)) values[name] = readValue(`--${name}`, table[name], list)
  return { values, positionals }
}
