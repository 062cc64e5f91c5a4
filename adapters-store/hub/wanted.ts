/** Which files of a repository are fetched: those that this server reads. Never a pickle, whose reading runs code. */
import { existsSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { AdapterError } from '../errors.ts'
import { CONFIG_FILE, MODEL_CONFIG, WEIGHTS_FILE } from '../folders.ts'
import type { HubFile } from './client.ts'

export type HubKind = 'model' | 'adapter'

const TOKENIZER = [
  'tokenizer.json',
  'tokenizer_config.json',
  'special_tokens_map.json',
  'added_tokens.json',
  'chat_template.jinja',
]
/** How sentence-transformers embeds with a model: its modules, some of which have files of their own, in the folders that its `save` writes, and what is put before texts. */
const MODULES = 'modules.json'
const POOLING_FOLDER = '1_Pooling'
const DENSE_FOLDERS = ['2_Dense', '3_Dense']
export const MODULE_FOLDERS = [POOLING_FOLDER, ...DENSE_FOLDERS]
const EMBEDDING = [
  MODULES,
  'config_sentence_transformers.json',
  `${POOLING_FOLDER}/config.json`,
  ...DENSE_FOLDERS.flatMap((folder) => [`${folder}/config.json`, `${folder}/model.safetensors`]),
]
const INDEX = 'model.safetensors.index.json'
const MODEL = 'model.safetensors'
const KINDS = {
  model: { config: 'config.json', texts: ['config.json', 'generation_config.json', INDEX, ...TOKENIZER, ...EMBEDDING] },
  adapter: { config: CONFIG_FILE, texts: [CONFIG_FILE, MODEL_CONFIG, ...TOKENIZER] },
} as const
const PICKLE = /\.(bin|pt|pth|ckpt)$/
/** Bytes of an index that is read. */
const LARGEST_INDEX = 64 << 20

/** Whether the model says how it embeds. */
export const embeds = (files: readonly HubFile[]) => files.some(({ path }) => path === MODULES)

/** Of `files` by their names in the folder those to fetch before it is known which hold weights. Throws AdapterError if there is no such thing in the repository. */
export function textsOf(kind: HubKind, files: ReadonlyMap<string, HubFile>, what: string): HubFile[] {
  const { config, texts } = KINDS[kind]
  if (!files.has(config)) {
    const other = KINDS[kind === 'model' ? 'adapter' : 'model']
    const instead = !files.has(other.config)
      ? ''
      : kind === 'model'
        ? ': it is an adapter and not a model (--adapter NAME=ORG/NAME)'
        : ': it is a model and not an adapter'
    throw new AdapterError('adapter_not_found', `${what} has no ${config} on the hub${instead}`)
  }
  return texts.flatMap((name) => files.get(name) ?? [])
}

/** Of `files` those with the weights. `read`: gives what was fetched before. Throws AdapterError. */
export function weightsOf(
  kind: HubKind,
  files: ReadonlyMap<string, HubFile>,
  what: string,
  read: (file: HubFile) => Uint8Array,
): HubFile[] {
  const index = kind === 'model' ? files.get(INDEX) : undefined
  const names = index ? shards(index, read) : [kind === 'model' ? MODEL : WEIGHTS_FILE]
  return names.map((name) => {
    const file = files.get(name)
    if (file) return file
    const pickle = [...files.keys()].find((other) => PICKLE.test(other))
    if (pickle === undefined) throw new AdapterError('adapter_not_found', `${what} has no ${name} on the hub`)
    throw new AdapterError(
      'adapter_pickle',
      `${what} has no ${name} on the hub, but ${pickle}: a Python pickle, which runs code when it is read, so it is not fetched. Save it with safe_serialization=True`,
    )
  })
}

/** Whether a folder of the cache has the files without which nothing can be served. */
export function isWhole(kind: HubKind, directory: string): boolean {
  const has = (name: string) => existsSync(path.join(directory, name))
  if (!has(KINDS[kind].config)) return false
  if (kind === 'adapter') return has(WEIGHTS_FILE)
  if (!has(INDEX)) return has(MODEL)
  try {
    return shardsIn(readFileSync(path.join(directory, INDEX))).every(has)
  } catch {
    return false
  }
}

function shards(index: HubFile, read: (file: HubFile) => Uint8Array): string[] {
  try {
    if (index.bytes > LARGEST_INDEX) throw new Error(`it has ${index.bytes} bytes`)
    return shardsIn(read(index))
  } catch (error) {
    throw new AdapterError('hub_file_invalid', `${INDEX} on the hub says nothing of shards: ${(error as Error).message}`)
  }
}

/** Names without folders. */
function shardsIn(index: Uint8Array): string[] {
  const { weight_map: map } = JSON.parse(Buffer.from(index).toString()) as { weight_map?: unknown }
  const names = [...new Set(Object.values(map as object))]
  if (names.length === 0 || !names.every((name) => typeof name === 'string' && /^[\w.-]+\.safetensors$/.test(name)))
    throw new Error('weight_map names no files')
  return names as string[]
}
