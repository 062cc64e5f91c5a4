/** Settings from flags, environment, config file and defaults, the first that has one winning. */
import { readFileSync } from 'node:fs'
import { nearest } from '../nearest.ts'
import { readFlags } from './flags.ts'
import { type Config, keyOf, SETTINGS, type Setting, type SettingName } from './settings.ts'
import { ConfigError, readValue } from './values.ts'
import { fromVllm, VLLM_ADVICE, VLLM_NEEDLESS } from './vllm.ts'

/** A flag that is no setting: it cannot stand in the file itself. */
export const CONFIG_FILE = {
  config: { kind: 'text', value: 'FILE', help: 'JSON file with the same names as keys' },
} as const satisfies Record<string, Setting>

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

type Environment = Record<string, string | undefined>

/** Arguments after `serve`. Throws ConfigError. */
export const readConfig = (args: string[], environment: Environment): Config => readConfigAnd({}, args, environment).config

/** The same of a command with flags of its own, `more`, of which `others` has what was given. Throws ConfigError. */
export function readConfigAnd(
  more: Readonly<Record<string, Setting>>,
  args: string[],
  environment: Environment,
): { config: Config; others: Record<string, unknown> } {
  const { values: flags, others } = fromFlags(args, more)
  const configFile = (others.config as string | undefined) ?? environment.LORIKEET_CONFIG
  const sources = [flags, fromEnvironment(environment), configFile === undefined ? {} : fromFile(configFile)]
  return { config: settle((name) => sources.find((source) => source[name] !== undefined)?.[name]), others }
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

function fromFlags(args: string[], more: Readonly<Record<string, Setting>>): { values: Values; others: Record<string, unknown> } {
  const { values, positionals } = readFlags(fromVllm(args, VLLM_NAMES), { ...CONFIG_FILE, ...more, ...SETTINGS }, (flag, known) =>
    unknown('flag', flag, known),
  )
  const others: Record<string, unknown> = {}
  for (const name of ['config', ...Object.keys(more)]) {
    if (Object.hasOwn(values, name)) others[name] = values[name]
    delete values[name]
  }
  const models = [...positionals, ...(values.model === undefined ? [] : [values.model])]
  if (models.length > 1) throw new ConfigError(`one model folder is served, not ${models.length}: ${models.join(' ')}`)
  if (models.length === 1) values.model = models[0]
  return { values, others }
}

function fromEnvironment(environment: Environment): Values {
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
