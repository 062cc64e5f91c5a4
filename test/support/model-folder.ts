/** Copies of the oracle's base models with something changed, and what the engine answers on them. */
import { cpSync, existsSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { startEngine } from '../../runtime/index.ts'
import { floats, readTensors, safetensorsBytes, type Tensors } from '../adapters-store/write-adapter.ts'
import { greedy } from './greedy.ts'
import { fixture, temporaryFolder } from './repo.ts'

export type Json = Record<string, unknown>
export type Test = Parameters<typeof temporaryFolder>[0]

/** A copy of a family's base after a change of its config and tensors. */
export function changedModel(
  t: Test,
  family: string,
  config: (json: Json) => void,
  tensors?: (tensors: Tensors) => void,
): string {
  const folder = temporaryFolder(t)
  cpSync(fixture(`oracle/${family}/base`), folder, { recursive: true })
  const file = path.join(folder, 'config.json')
  const json = JSON.parse(readFileSync(file, 'utf8')) as Json
  config(json)
  writeFileSync(file, JSON.stringify(json))
  const weights = path.join(folder, 'model.safetensors')
  if (tensors && existsSync(weights)) {
    const all = readTensors(weights)
    tensors(all)
    writeFileSync(weights, safetensorsBytes(all))
  }
  return folder
}

/** A copy whose heads have 16 channels, as attention on CUDA wants them, instead of 8 or 24: the projections, cut into other heads. */
export function withHeadsOf16(
  t: Test,
  family: string,
  config: (json: Json) => void = () => {},
  tensors: (tensors: Tensors) => void = () => {},
): string {
  return changedModel(
    t,
    family,
    (json) => {
      const heads = json.num_attention_heads as number
      const width = (json.head_dim as number) ?? (json.hidden_size as number) / heads
      json.num_attention_heads = (heads * width) / 16
      json.num_key_value_heads = ((json.num_key_value_heads as number) * width) / 16
      json.head_dim = 16
      config(json)
    },
    (all) => {
      for (const [name, { shape }] of Object.entries(all))
        if (/self_attn\.[qk]_norm\.weight/.test(name) && shape[0] === 24) all[name] = floats([16], (i) => 0.9 + i / 80)
      tensors(all)
    },
  )
}

/** Logits after the prompt's last token, prefilled at most `maxBatchTokens` at a time. */
export async function logitsOf(folder: string, promptIds: number[], maxBatchTokens = 64): Promise<Float32Array> {
  const engine = await startEngine({
    modelDir: folder,
    dtype: 'float32',
    device: 'cpu',
    poolBytes: 1 << 20,
    blockSize: 16,
    maxBatchTokens,
    maxSequences: 4,
    adapterDtype: 'float32',
    threads: 2,
    prefixCache: false,
  })
  try {
    return await new Promise((resolve, reject) => {
      engine.submit(
        { id: 'a', promptIds, sampling: { ...greedy(1), returnLogits: true }, adapters: [], arrival: 0 },
        (output) => {
          if (output.logits) resolve(output.logits[0])
          else if (output.error) reject(new Error(output.error.message))
        },
      )
    })
  } finally {
    await engine.close()
  }
}
