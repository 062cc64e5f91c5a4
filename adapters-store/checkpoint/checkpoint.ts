/** A model folder's weights: one file, or shards and the index that says which tensor lies in which (transformers, `save_pretrained`). */
import { existsSync, readdirSync } from 'node:fs'
import path from 'node:path'
import type { TensorRef } from '../../native/types.ts'
import { CheckpointError } from './errors.ts'
import { withFile } from './file.ts'
import { readSafetensorsHeader } from './safetensors.ts'

const SINGLE = 'model.safetensors'
const INDEX = 'model.safetensors.index.json'

/** Headers of all the folder's weight files. Reads no weight. Throws CheckpointError, naming the file and what would be right. */
export function readCheckpoint(directory: string): Record<string, TensorRef> {
  const single = path.join(directory, SINGLE)
  if (existsSync(single)) return Object.fromEntries(readSafetensorsHeader(single))
  const index = path.join(directory, INDEX)
  if (existsSync(index)) return readShards(directory, index)
  const pickled = existsSync(path.join(directory, 'pytorch_model.bin'))
    ? '; pytorch_model.bin is a pickle file, which is not read: convert it'
    : ''
  const gguf = pickled === '' ? ggufIn(directory) : ''
  throw new CheckpointError('checkpoint_missing', `${directory} has neither ${SINGLE} nor ${INDEX}${pickled}${gguf}`)
}

function ggufIn(directory: string): string {
  let names: string[] = []
  try {
    names = readdirSync(directory)
  } catch {
    // Then there is none to tell of.
  }
  return names.some((name) => name.endsWith('.gguf'))
    ? '; GGUF files are not read: serve the safetensors folder that they were made from'
    : ''
}

/** A tensor that is in a shard but not in the index does not belong to the checkpoint. */
function readShards(directory: string, index: string): Record<string, TensorRef> {
  const tensors = new Map<string, TensorRef>()
  const shards = new Map<string, Map<string, TensorRef>>()
  for (const [name, shard] of Object.entries(weightMap(index))) {
    // An index comes with the model from anywhere: it must not lead out of the folder.
    if (typeof shard !== 'string' || shard === '' || path.basename(shard) !== shard)
      throw new CheckpointError(
        'checkpoint_invalid',
        `${index}: ${name} lies in ${JSON.stringify(shard)}, which is not a file name`,
      )
    if (!shards.has(shard)) shards.set(shard, readSafetensorsHeader(path.join(directory, shard)))
    const tensor = shards.get(shard)?.get(name)
    if (!tensor)
      throw new CheckpointError('tensor_missing', `${index} says that ${name} lies in ${shard}, which does not hold it`)
    tensors.set(name, tensor)
  }
  return Object.fromEntries(tensors)
}

function weightMap(file: string): Record<string, unknown> {
  const text = withFile(file, (open) => new TextDecoder().decode(open.read(new Uint8Array(open.size), 0)))
  let map: unknown
  try {
    map = (JSON.parse(text) as { weight_map?: unknown } | null)?.weight_map
  } catch (error) {
    throw new CheckpointError('checkpoint_invalid', `${file} is not JSON: ${(error as Error).message}`)
  }
  if (typeof map === 'object' && map !== null && !Array.isArray(map)) return map as Record<string, unknown>
  throw new CheckpointError('checkpoint_invalid', `${file} has no weight_map`)
}
