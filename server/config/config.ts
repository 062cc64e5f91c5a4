/** Settings from flags, environment, config file and defaults, the first that has one winning. */
import { readFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { nearest } from '../nearest.ts'
import { repeatable } from './setting.ts'
import { type Config, keyOf, SETTINGS, type Setting, type SettingName } from './settings.ts'
import { ConfigError, readValue } from './values.ts'
import { fromVllm, VLLM_ADVICE, VLLM_NEEDLESS } from './vllm.ts'

const ENVIRONMENT = 'LORIKEET_'
/** Variables of ours that are no settings. */
const OTHER_VARIABLES = ['LORIKEET_ADDON', 'LORIKEET_SIMD', 'LORIKEET_CONFIG', 'LORIKEET_ORACLE']
/** Kubernetes sets these for a service named lorikeet, in every pod; its LORIKEET_PORT is an address. */
const KUBERNETES = /^LORIKEET_(SERVICE_|PORT_)|^LORIKEET_PORT=\w+:/
const names = Object.keys(SETTINGS) as SettingName[]
const variableOf = (name: string) => ENVIRONMENT + name.toUpperCase().replaceAll('-', '_')

/** vLLM's names of settings, with ours. */
const VLLM_NAMES = new Map(
  names.flatMap((name) => ((SETTINGS[name] as Setting).vllm ? [[(SETTINGS[name] as Setting).vllm as string, name]] : [])),
)

type Values = Partial<Record<SettingName, unknown>>

/** Arguments after `serve`. Throws ConfigError. */
export function readConfig(args: string[], environment: Record<string, string | undefined>): Config {
  const { values: flags, file } = fromFlags(args)
  const configFile = file ?? environment.LORIKEET_CONFIG
  const sources = [flags, fromEnvironment(environment), configFile === undefined ? {} : fromFile(configFile)]
  return settle((name) => sources.find((source) => source[name] !== undefined)?.[name])
}

/** The same from values by name (tests, and servers inside another program). */
export function configOf(values: Values): Config {
  return settle((name) => (values[name] === undefined ? undefined : readValue(name, SETTINGS[name], values[name])))
}

function settle(find: (name: SettingName) => unknown): Config {
  const config: Record<string, unknown> = { adapter: {} }
  for (const name of names) {
    const setting: Setting = SETTINGS[name]
    // What only one device has stays open: whether it was given must be told apart.
    const fallback = setting.only === undefined ? setting.fallback : undefined
    const value = find(name) ?? (fallback === undefined ? undefined : readValue(name, setting, fallback))
    if (value !== undefined) config[keyOf(name)] = value
  }
  return config as unknown as Config
}

function unknown(what: string, name: string, known: string[]): ConfigError {
  const plain = name
    .replace(/^--(no-)?|^LORIKEET_/, '')
    .toLowerCase()
    .replaceAll('_', '-')
  const ours = names.find((candidate) => (SETTINGS[candidate] as Setting).vllm === plain)
  if (ours) return new ConfigError(`unknown ${what} ${name}; vLLM's ${plain} is ${ours} here`)
  if (Object.hasOwn(VLLM_NEEDLESS, plain))
    return new ConfigError(`unknown ${what} ${name}, which is vLLM's: ${VLLM_NEEDLESS[plain].because}; leave it out`)
  if (Object.hasOwn(VLLM_ADVICE, plain)) return new ConfigError(`unknown ${what} ${name}, which is vLLM's: ${VLLM_ADVICE[plain]}`)
  const near = nearest(name, known, 1)
  return new ConfigError(
    `unknown ${what} ${name}${near.length > 0 ? `; did you mean ${near[0]}?` : '; see lorikeet serve --help'}`,
  )
}

function fromFlags(args: string[]): { values: Values; file?: string } {
  const options: Record<string, { type: 'string' | 'boolean'; multiple?: boolean }> = { config: { type: 'string' } }
  for (const name of names) {
    const setting: Setting = SETTINGS[name]
    options[name] = setting.kind === 'flag' ? { type: 'boolean' } : { type: 'string', multiple: repeatable(setting) }
  }
  const { tokens, positionals } = parseArgs({
    args: fromVllm(args, VLLM_NAMES),
    options,
    strict: false,
    allowPositionals: true,
    allowNegative: true,
    tokens: true,
  })
  const values: Values = {}
  const lists: Partial<Record<SettingName, string[]>> = {}
  let file: string | undefined
  for (const token of tokens) {
    if (token.kind !== 'option') continue
    // parseArgs takes the `no-` away itself from the Node on that knows allowNegative (20.17), and of what it knows alone.
    const negated = token.rawName.startsWith('--no-')
    const name = (negated ? token.name.replace(/^no-/, '') : token.name) as SettingName | 'config'
    if (!Object.hasOwn(options, name))
      throw unknown(
        'flag',
        token.rawName,
        ['config', ...names].map((known) => `--${known}`),
      )
    const setting: Setting | undefined = name === 'config' ? undefined : SETTINGS[name]
    // `--adapters --port 80`: the next flag is no value, but `--adapters=--odd` is one.
    const missing = token.value === undefined || negated || (!token.inlineValue && token.value.startsWith('--'))
    if (setting?.kind !== 'flag' && missing) throw new ConfigError(`--${name} needs a value`)
    if (name === 'config') file = token.value
    else if (setting && repeatable(setting)) lists[name] = [...(lists[name] ?? []), token.value as string]
    else if (setting?.kind === 'flag') values[name] = negated ? false : readValue(`--${name}`, setting, token.value ?? true)
    else if (setting) {
      const value = readValue(`--${name}`, setting, token.value)
      // The first would be dropped in silence: a folder of adapters, say.
      if (Object.hasOwn(values, name) && values[name] !== value)
        throw new ConfigError(`--${name} is given twice, with different values`)
      values[name] = value
    }
  }
  for (const [name, list] of Object.entries(lists) as [SettingName, string[]][])
    values[name] = readValue(`--${name}`, SETTINGS[name], list)
  const models = [...positionals, ...(values.model === undefined ? [] : [values.model])]
  if (models.length > 1) throw new ConfigError(`one model folder is served, not ${models.length}: ${models.join(' ')}`)
  if (models.length === 1) values.model = models[0]
  return { values, file }
}

function fromEnvironment(environment: Record<string, string | undefined>): Values {
  const known = new Map(names.map((name) => [variableOf(name), name]))
  const values: Values = {}
  for (const [variable, value] of Object.entries(environment)) {
    if (!variable.startsWith(ENVIRONMENT) || value === undefined || OTHER_VARIABLES.includes(variable)) continue
    if (KUBERNETES.test(`${variable}=${value}`)) continue
    const name = known.get(variable)
    if (!name) throw unknown('environment variable', variable, [...known.keys()])
    values[name] = readValue(variable, SETTINGS[name], value)
  }
  return values
}

function fromFile(file: string): Values {
  let json: unknown
  try {
    json = JSON.parse(readFileSync(file, 'utf8'))
  } catch (error) {
    throw new ConfigError(`the config file ${file} cannot be read: ${(error as Error).message}`)
  }
  if (typeof json !== 'object' || json === null || Array.isArray(json))
    throw new ConfigError(`the config file ${file} must hold a JSON object`)
  const values: Values = {}
  for (const [name, value] of Object.entries(json)) {
    if (!Object.hasOwn(SETTINGS, name)) throw unknown(`setting in ${file}:`, name, names)
    values[name as SettingName] = readValue(`${name} in ${file}`, SETTINGS[name as SettingName], value)
  }
  return values
}
