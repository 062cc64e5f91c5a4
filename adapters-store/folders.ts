/** Where adapters lie: PEFT's folders, and what people give instead of them. */
import { existsSync, readdirSync, statSync } from 'node:fs'
import { basename, dirname, join, resolve } from 'node:path'
import { systemReason } from './checkpoint/index.ts'
import { AdapterError } from './errors.ts'

export const CONFIG_FILE = 'adapter_config.json'
/** Of the model in which an adapter was trained, where that was saved beside it. */
export const MODEL_CONFIG = 'config.json'
export const WEIGHTS_FILE = 'adapter_model.safetensors'

/** So far adapters are looked for in folders that hold none themselves: `run/checkpoint-500`, or a hub cache's `models--x/snapshots/abc`. */
const DEPTH = 3
/** Folders that are opened for it, in a scan or for one name: a tree of a million files must not hold up the start. */
const MOST_OPENED = 2_000
/** Of nested adapters as many are named. */
const SHOWN = 3

export interface AdapterFolders {
  /** In order of name. */
  found: { name: string; directory: string }[]
  /** What an operator should know: each names a path and what would be right. */
  warnings: string[]
}

/**
 * The adapter folders in `given`. Hidden ones (`.cache`, `.ipynb_checkpoints`, the `..data` of a mounted volume) are passed over.
 * Throws adapter_not_found if it cannot be read or is a file.
 */
export function adapterFolders(given: string): AdapterFolders {
  const folder = resolve(given)
  const names = namesIn(folder)
  const found = names
    .map((name) => ({ name, directory: join(folder, name) }))
    .filter(({ directory }) => existsSync(join(directory, CONFIG_FILE)))
  if (names.includes(CONFIG_FILE)) return { found, warnings: [adapterItself(folder, found)] }
  const adapters = new Set(found.map(({ name }) => name))
  const search = { left: MOST_OPENED }
  const warnings = names.flatMap((name) => (adapters.has(name) ? [] : (strange(join(folder, name), search) ?? [])))
  if (found.length === 0 && warnings.length === 0)
    warnings.push(`${folder} holds no adapter: no folder in it has an ${CONFIG_FILE}`)
  return { found, warnings }
}

/** As with a trainer's output, which holds the adapter and checkpoint-500, checkpoint-1000, … beside it. */
function adapterItself(folder: string, found: AdapterFolders['found']): string {
  const served =
    found.length === 0 ? 'Nothing of it is served' : `Served are the folders in it: ${shown(found.map(({ name }) => name))}`
  return (
    `${folder} holds an ${CONFIG_FILE}: it is an adapter itself and not a folder of adapters. ${served}. ` +
    `Give --adapter NAME=${folder}, or --adapters with the folder above it, ${dirname(folder)}`
  )
}

/** Why `directory`, which is meant to be an adapter, has no config: what it is, or (for the operator) where the adapters are. */
export function notAnAdapter(directory: string): AdapterError {
  const kind = kindOf(directory)
  const [message, detail] =
    kind === 'missing'
      ? ['the folder does not exist', `${directory} does not exist`]
      : kind === 'file'
        ? [`a file is there; ${EXPECTED}`, `${directory} is a file; ${EXPECTED}`]
        : [NO_CONFIG, `${strange(directory, { left: MOST_OPENED }) ?? `${directory} has no ${CONFIG_FILE}`}: ${NO_ADAPTER}`]
  return new AdapterError('adapter_not_found', message, { detail })
}

const EXPECTED = `the folder that holds ${CONFIG_FILE} and ${WEIGHTS_FILE} is expected`
const NO_ADAPTER = 'it is no PEFT adapter folder'
const NO_CONFIG = `the folder has no ${CONFIG_FILE}: ${NO_ADAPTER}`

function namesIn(folder: string): string[] {
  if (kindOf(folder) === 'file') throw notFound('is a file; a folder is expected whose subfolders are adapters', folder)
  try {
    return readdirSync(folder)
      .filter((name) => !name.startsWith('.'))
      .sort()
  } catch (error) {
    throw notFound(`cannot be read: ${systemReason(error)}`, folder)
  }
}

function notFound(what: string, folder: string): AdapterError {
  return new AdapterError('adapter_not_found', `the folder of adapters ${what}`, {
    detail: `the adapter folder ${folder} ${what}`,
  })
}

/** What is odd about something without an adapter_config.json; undefined for what nobody takes for an adapter. */
function strange(path: string, search: { left: number }): string | undefined {
  const kind = kindOf(path)
  if (kind === 'missing') return `${path} is a link that leads nowhere`
  if (kind === 'file')
    return /\.(safetensors|bin|pt|pth|zip|tar|tgz|gz|gguf)$/.test(path)
      ? `${path} is a file: an adapter is a folder with ${CONFIG_FILE} and ${WEIGHTS_FILE}`
      : undefined
  let names: string[]
  try {
    names = readdirSync(path)
  } catch (error) {
    return `${path} cannot be read: ${systemReason(error)}`
  }
  const weights = names.find((name) => /^adapter_model\b/.test(name))
  if (weights) return `${path} has ${weights} but no ${CONFIG_FILE}`
  const nested = nestedAdapters(path, names, DEPTH, search)
  if (nested.length === 0) return undefined
  const parents = new Set(nested.map((directory) => dirname(directory)))
  const several = parents.size === 1 ? ` (or --adapters ${[...parents][0]} for all that are beside it)` : ''
  return `${path} has no ${CONFIG_FILE}, but ${shown(nested)} ${nested.length === 1 ? 'has' : 'have'} one: give --adapter ${basename(path)}=${nested.at(-1)}${several}`
}

/** In order of their numbers, so that checkpoint-1000 is the last. */
function nestedAdapters(folder: string, names: string[], depth: number, search: { left: number }): string[] {
  const found: string[] = []
  for (const name of names.sort(new Intl.Collator('en', { numeric: true }).compare)) {
    const directory = join(folder, name)
    if (name.startsWith('.') || search.left === 0 || kindOf(directory) !== 'folder') continue
    search.left--
    if (existsSync(join(directory, CONFIG_FILE))) found.push(directory)
    else if (depth > 1) found.push(...nestedAdapters(directory, readable(directory), depth - 1, search))
  }
  return found
}

function readable(folder: string): string[] {
  try {
    return readdirSync(folder)
  } catch {
    return [] // it is only looked into for a hint
  }
}

function kindOf(path: string): 'folder' | 'file' | 'missing' {
  try {
    return statSync(path).isDirectory() ? 'folder' : 'file'
  } catch {
    return 'missing' // gone, or links that lead nowhere or in a circle
  }
}

function shown(names: string[]): string {
  const more = names.length - SHOWN
  return names.slice(0, SHOWN).join(', ') + (more > 0 ? ` and ${more} more` : '')
}
