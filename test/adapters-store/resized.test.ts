/** Adapters saved after resize_token_embeddings: what of their tables is kept, and which are refused. That they compute what PEFT does, the oracle says (test/oracle). */
import path from 'node:path'
import t, { type Test } from 'tap'
import { loadAdapter } from '../../adapters-store/index.ts'
import { type AdapterImage, type BaseModel, ENTRY, ENTRY_FIELDS } from '../../adapters-store/types.ts'
import { readBaseModel } from '../../runtime/model/index.ts'
import { fixture, readJson, temporaryFolder } from '../support/repo.ts'
import { options, refusal } from './refusal.ts'
import { type Config, floats, readTensors, type Tensors, writeAdapter } from './write-adapter.ts'

const untied = readBaseModel(fixture('oracle/added-heads16/base'))
const tied = readBaseModel(fixture('oracle/added-tied-heads16/base'))
const [TABLE, HEAD] = ['base_model.model.model.embed_tokens', 'base_model.model.lm_head']

function folderOf(base: BaseModel, name: string): string {
  return fixture(base === tied ? 'oracle/added-tied-heads16' : 'oracle/added-heads16', 'adapters', name)
}

/** Rows of A or of a dense delta at each site, by module; added ones as `module+`. */
function ranks({ entries }: AdapterImage, { sites, added }: BaseModel): Record<string, number> {
  const found: Record<string, number> = {}
  for (let at = 0; at < entries.length; at += ENTRY_FIELDS) {
    const index = entries[at + ENTRY.site]
    const site = sites[index] ?? (index === added?.table.index ? added.table : added?.head)
    if (!/layers/.test(site.module)) found[site.module + (sites[index] ? '' : '+')] = entries[at + ENTRY.rank]
  }
  return found
}

const load = (base: BaseModel, name: string) =>
  loadAdapter(name, folderOf(base, name), base, { dtype: 'float32', blockBytes: 1 << 16 })

t.test('only rows that differ are kept', async (t) => {
  for (const base of [untied, tied]) {
    const image = load(base, 'untrained')
    t.equal(image.vocabSize, 323)
    t.same(ranks(image, base), { 'model.embed_tokens+': 3, 'lm_head+': 3 }, 'the whole table and head are in the file')
  }
  t.same(ranks(load(untied, 'saved'), untied), {
    'model.embed_tokens': 20,
    lm_head: 20,
    'model.embed_tokens+': 5,
    'lm_head+': 5,
  })
  t.same(ranks(load(untied, 'tokens'), untied), { 'model.embed_tokens': 1, 'model.embed_tokens+': 3, 'lm_head+': 3 })
  t.same(ranks(load(tied, 'tokens-alone'), tied), { 'model.embed_tokens+': 3, 'lm_head+': 3 })
  t.same(ranks(load(untied, 'lora-embed-head'), untied), {
    'model.embed_tokens': 4,
    lm_head: 4,
    'model.embed_tokens+': 3,
    'lm_head+': 3,
  })
  const shrunk = load(untied, 'shrunk')
  t.equal(shrunk.vocabSize, 311)
  t.same(ranks(shrunk, untied), {})
  t.equal(load(untied, 'lora-r4-qv').vocabSize, undefined, 'of the base')
})

/** A copy of a fixture after a change, removed with the test. */
function changed(t: Test, base: BaseModel, name: string, change: (config: Config, tensors: Tensors) => void): string {
  const folder = folderOf(base, name)
  const config = readJson<Config>(path.join(folder, 'adapter_config.json'))
  const tensors = readTensors(path.join(folder, 'adapter_model.safetensors'))
  change(config, tensors)
  return writeAdapter(temporaryFolder(t), config, tensors)
}

t.test('of a tied base one of table and head is enough, where the base is meant', async (t) => {
  const packing = { dtype: 'float32', blockBytes: 1 << 16 } as const
  const whole = load(tied, 'untrained')
  for (const module of [TABLE, HEAD]) {
    const folder = changed(t, tied, 'untrained', (_, tensors) => {
      delete tensors[`${module}.weight`]
    })
    const image = loadAdapter('one', folder, tied, packing)
    t.equal(image.vocabSize, 323)
    t.same(ranks(image, tied), ranks(whole, tied))
    t.same(Buffer.from(image.image), Buffer.from(whole.image))
  }
})

t.test('refused, with the reason', async (t) => {
  const without =
    (...keys: string[]) =>
    (_: Config, tensors: Tensors) => {
      for (const key of keys) {
        t.ok(tensors[key], key)
        delete tensors[key]
      }
    }
  const loading = { ...options, blockBytes: 1 << 16 }
  const lacks = (base: BaseModel, name: string, change: (config: Config, tensors: Tensors) => void, module: string) =>
    refusal(
      t,
      changed(t, base, name, change),
      'adapter_tensor_invalid',
      [`lacks ${module}.weight with their rows`, 'save_embedding_layers'],
      base,
      loading,
    )
  lacks(untied, 'untrained', without(`${HEAD}.weight`), 'lm_head')
  lacks(untied, 'untrained', without(`${TABLE}.weight`), 'model.embed_tokens')
  lacks(untied, 'tokens', without(`${TABLE}.token_adapter.base_layer.weight`, `${HEAD}.weight`), 'lm_head')
  lacks(untied, 'lora-embed-head', without(`${HEAD}.base_layer.weight`), 'lm_head')
  lacks(tied, 'saved-table', without(`${HEAD}.weight`), 'lm_head')
  lacks(
    tied,
    'tokens-alone',
    (config, tensors) => {
      config.trainable_token_indices = [321, 322]
      const key = `${TABLE}.token_adapter.trainable_tokens_delta`
      tensors[key] = { ...tensors[key], shape: [2, 32], bytes: tensors[key].bytes.subarray(0, 2 * 32 * 2) }
    },
    'model.embed_tokens',
  )

  const tooMany = (base: BaseModel, names: string[]) =>
    refusal(t, folderOf(untied, 'untrained'), 'adapter_too_large', names, base, loading)
  tooMany(readBaseModel(untied.directory, 0), ['at most 0 may be added', '--max-extra-tokens 3'])
  const far = changed(t, untied, 'untrained', (_, tensors) => {
    for (const module of [TABLE, HEAD]) tensors[`${module}.weight`] = floats([320 + 257, 32])
  })
  refusal(t, far, 'adapter_too_large', ['577 tokens, 257 more', '--max-extra-tokens 257'], untied, loading)
  const apart = changed(t, untied, 'untrained', (_, tensors) => {
    tensors[`${HEAD}.weight`] = floats([322, 32])
  })
  refusal(t, apart, 'adapter_tensor_invalid', ['322', '323', 'lm_head.weight'], untied, loading)
  const dora = changed(t, untied, 'lora-embed-head', (config, tensors) => {
    config.use_dora = true
    for (const key of Object.keys(tensors).filter((key) => /lora(_embedding)?_B/.test(key))) {
      const { shape } = tensors[key]
      tensors[key.replace(/lora(_embedding)?_B(\.weight)?/, 'lora_magnitude_vector')] = floats([shape[0]], () => 1)
    }
  })
  refusal(t, dora, 'adapter_option_unsupported', ['model.embed_tokens', 'plain LoRA'], untied, loading)
  const trained = changed(t, untied, 'lora-embed-head', (_, tensors) => {
    tensors[`${TABLE}.base_layer.weight`] = floats([323, 32])
  })
  refusal(t, trained, 'adapter_option_unsupported', ['base_layer.weight'], untied, loading)
  const wrapped = changed(t, untied, 'tokens', (_, tensors) => {
    tensors[`${TABLE}.token_adapter.base_layer.weight`] = floats([323, 32])
  })
  refusal(t, wrapped, 'adapter_option_unsupported', ['changes model.embed_tokens.weight'], untied, loading)
})

t.test('more than 256 may be added where the setting says so', async (t) => {
  const wide = readBaseModel(untied.directory, 257)
  t.equal(wide.added?.count, 320)
  const far = changed(t, untied, 'untrained', (_, tensors) => {
    for (const module of [TABLE, HEAD]) {
      const { dtype, bytes } = tensors[`${module}.weight`]
      tensors[`${module}.weight`] = { dtype, shape: [577, 32], bytes: Buffer.concat([bytes, Buffer.alloc((577 - 323) * 64)]) }
    }
  })
  const image = loadAdapter('far', far, wide, { dtype: 'float32', blockBytes: 1 << 16 })
  t.equal(image.vocabSize, 577)
  t.same(ranks(image, wide), { 'model.embed_tokens+': 257, 'lm_head+': 257 }, 'rows of zeros are rows')
})
