/** A BaseModel from a Hugging Face folder by the names of its tensors: enough for these tests, without the model builder. */
import { readdirSync, readFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { readSafetensorsHeader } from '../../adapters-store/checkpoint/index.ts'
import type { BaseModel, Site, TensorRef } from '../../adapters-store/types.ts'

export function baseModelOf(directory: string): BaseModel {
  const config = JSON.parse(readFileSync(join(directory, 'config.json'), 'utf8'))
  const tensors: Record<string, TensorRef> = {}
  for (const file of readdirSync(directory).filter((name) => name.endsWith('.safetensors'))) {
    for (const [name, reference] of readSafetensorsHeader(join(directory, file))) tensors[name] = reference
  }
  const sites: Site[] = []
  const add = (module: string, kind: Site['kind'], weight: string) => {
    const [rows, columns] = tensors[weight].shape
    const [inFeatures, outFeatures] = kind === 'embedding' ? [rows, columns] : [columns, rows]
    const bias = tensors[`${module}.bias`] && `${module}.bias`
    const takesInputScale = /\.(o_proj|down_proj)$/.test(module)
    sites.push({ index: sites.length, module, kind, inFeatures, outFeatures, weight, bias, takesInputScale })
  }
  const table = 'model.embed_tokens.weight'
  add('model.embed_tokens', 'embedding', table)
  for (const name of Object.keys(tensors).filter((name) => name.endsWith('_proj.weight')))
    add(name.slice(0, -'.weight'.length), 'linear', name)
  add('lm_head', 'head', tensors['lm_head.weight'] ? 'lm_head.weight' : table)
  return {
    directory,
    name: basename(directory),
    modelType: config.model_type,
    tiedEmbeddings: tensors['lm_head.weight'] === undefined,
    layers: config.num_hidden_layers,
    vocabSize: config.vocab_size,
    hiddenSize: config.hidden_size,
    sites,
    tensors,
  }
}
