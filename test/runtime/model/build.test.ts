/** What the model builder refuses, naming the key or the tensor; sharded and 16-bit weights; the graph's size and speed. */
import { rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import t from 'tap'
import { decodeFloats } from '../../../native/floats.ts'
import { buildModel, readBaseModel } from '../../../runtime/model/index.ts'
import { siteOptions } from '../../../runtime/model/sites.ts'
import { readTensors, safetensorsBytes, type Tensors } from '../../adapters-store/write-adapter.ts'
import { changedModel, type Json, logitsOf } from '../../support/model-folder.ts'
import { fixture } from '../../support/repo.ts'

t.test('a message shows of a value what helps: not all of a long one, and no control characters', async (t) => {
  const message = (change: Json) => {
    try {
      buildModel(changedModel(t, 'llama', (c) => Object.assign(c, change)))
    } catch (error) {
      return (error as Error).message
    }
    return 'it was built'
  }
  for (const key of ['model_type', 'hidden_act', 'hidden_size', 'rope_scaling', 'layer_types', 'architectures'])
    for (const value of ['\u001b[31m', 'x'.repeat(10_000), ['\u001b'.repeat(3000)], { rope_type: '\u001b'.repeat(3000) }]) {
      const said = message({ [key]: value })
      t.match(said, /config\.json: /, key)
      t.ok(said.length < 1000, `${key}: ${said.length} characters`)
      // biome-ignore lint/suspicious/noControlCharactersInRegex: what must not be there
      t.notMatch(said, /[\u0000-\u001f]/, key)
    }
})

t.test('a config that cannot be served rightly is refused by its key', async (t) => {
  const refused = (code: string, message: RegExp, change: (json: Json) => void, family = 'llama') =>
    t.throws(() => buildModel(changedModel(t, family, change)), { code, message }, String(message))
  refused('unsupported_model_type', /config\.json: model_type "gpt_bigcode" .* llama, mistral/, (c) =>
    Object.assign(c, { model_type: 'gpt_bigcode' }),
  )
  for (const [quantization, message] of [
    [
      { quant_method: 'awq', bits: 4, group_size: 128, version: 'gemv' },
      /quantization_config says "awq": is not supported: version is "gemv", and gemm is read\. .* made from; --quantization int4 rounds/,
    ],
    [{ quant_method: 'awq', w_bit: 3 }, /its weights have 3 bits, and 4 are read/],
    [{ quant_method: 'gptq', bits: 3 }, /says "gptq": .* have 3 bits, and 4 and 8 are read.* made from$/],
    [{ quant_method: 'gptq', bits: 8, checkpoint_format: 'marlin' }, /checkpoint_format is "marlin".*; --quantization int8/],
    [{ quant_method: 'gptq', bits: 4, group_size: 0 }, /group_size must be/],
    [{ quant_method: 'gptq', bits: 4, dynamic: { '+:.*down': { bits: 8 } } }, /dynamic gives modules bits .*\+:\.\*down/],
    [{ quant_method: 'bitsandbytes', load_in_4bit: true }, /says "bitsandbytes": .*int4/],
    [{ quant_method: 'fp8' }, /says "fp8": .*int8/],
    [
      { quant_method: 'compressed-tensors', config_groups: { group_0: { weights: { num_bits: 4 } } } },
      /says "compressed-tensors": .* format is undefined, and pack-quantized, .*int4/,
    ],
    [{ quant_method: 'compressed-tensors', config_groups: { group_0: null } }, /says "compressed-tensors": .* made from$/],
    ...(
      [
        [{ weights: { num_bits: 8, type: 'float' } }, {}, /of type "float", and int is read/],
        [{ weights: { num_bits: 4 }, format: 'marlin-24' }, {}, /format is "marlin-24"/],
        [{ weights: { num_bits: 4, strategy: 'block' } }, {}, /strategy is "block"/],
        [{ weights: { num_bits: 8 }, input_activations: { num_bits: 4, type: 'int' } }, {}, /something else than int8/],
        [{ weights: { num_bits: 4 } }, { transform_config: { config_groups: {} } }, /transform_config rotates/],
        [{ weights: { num_bits: 4 } }, { sparsity_config: { format: 'sparse-24-bitmask' } }, /sparse-24-bitmask/],
      ] as const
    ).map(
      ([group, more, message]) =>
        [
          {
            quant_method: 'compressed-tensors',
            format: 'pack-quantized',
            config_groups: { group_0: group },
            ...more,
          },
          message,
        ] as const,
    ),
    [{ quant_method: ['\u001b'] }, /says that the weights are quantized: .* made from$/],
  ] as const)
    refused('unsupported_config', message, (c) => Object.assign(c, { quantization_config: quantization }))
  refused('unsupported_config', /hidden_act "tanh" .* silu/, (c) => Object.assign(c, { hidden_act: 'tanh' }))
  refused('unsupported_config', /hidden_act "constructor" .* silu/, (c) => Object.assign(c, { hidden_act: 'constructor' }))
  refused('unsupported_config', /rope type "dynamic" .* yarn/, (c) =>
    Object.assign(c, { rope_parameters: { rope_type: 'dynamic', factor: 2 } }),
  )
  refused('invalid_config', /short_factor must be a list of 4/, (c) =>
    Object.assign(c, { rope_parameters: { rope_type: 'longrope' } }),
  )
  for (const setting of [{ beta_fast: 'q' }, { attention_factor: 0 }, { mscale: [] }, { original_max_position_embeddings: 'a' }])
    refused('invalid_config', new RegExp(`${Object.keys(setting)[0]} must be a positive number, not (?!undefined)`), (c) =>
      Object.assign(c, { rope_parameters: { rope_type: 'yarn', factor: 4, ...setting } }),
    )
  refused('invalid_config', /rope_theta must be positive/, (c) => Object.assign(c, { rope_parameters: { rope_theta: 'x' } }))
  refused('invalid_config', /max_position_embeddings must be a positive integer of at most/, (c) =>
    Object.assign(c, { max_position_embeddings: 1e30 }),
  )
  refused(
    'invalid_config',
    /context of 16777216 .* max-model-len to \d+ or less/,
    (c) => Object.assign(c, { max_position_embeddings: 2 ** 24 }),
    'gemma2',
  )
  refused('invalid_config', /rms_norm_eps must be positive/, (c) => Object.assign(c, { rms_norm_eps: 0 }))
  refused(
    'invalid_config',
    /query_pre_attn_scalar must be positive/,
    (c) => Object.assign(c, { query_pre_attn_scalar: -1 }),
    'gemma3',
  )
  refused('unsupported_config', /rope_parameters differ by layer type/, (c) =>
    Object.assign(c, { rope_parameters: { full_attention: { rope_type: 'default' } } }),
  )
  refused(
    'invalid_config',
    /rope_parameters must be an object with full_attention/,
    (c) => Object.assign(c, { rope_parameters: { rope_theta: 5 } }),
    'gemma3',
  )
  refused('unsupported_config', /partial_rotary_factor is not 1/, (c) => Object.assign(c, { partial_rotary_factor: 0.5 }))
  refused(
    'unsupported_config',
    /partial_rotary_factor rotates 1 of 8/,
    (c) => Object.assign(c, { rope_parameters: { partial_rotary_factor: 0.125 } }),
    'phi3',
  )
  refused('unsupported_config', /layer_types names sliding_attention, which model_type llama/, (c) =>
    Object.assign(c, { layer_types: Array(3).fill('sliding_attention'), sliding_window: 8 }),
  )
  refused(
    'invalid_config',
    /use_sliding_window must be true/,
    (c) => Object.assign(c, { layer_types: Array(3).fill('sliding_attention') }),
    'qwen2',
  )
  refused('unsupported_config', /architectures .*ForTokenClassification.*…ForSequenceClassification/, (c) =>
    Object.assign(c, { architectures: ['LlamaForTokenClassification'] }),
  )
  refused('unsupported_config', /is_causal .*causal/, (c) => Object.assign(c, { is_causal: false }))
  refused('tensor_missing', /score\.weight/, (c) => Object.assign(c, { architectures: ['LlamaForSequenceClassification'] }))
  refused('invalid_config', /rope_scaling.low_freq_factor/, (c) =>
    Object.assign(c, { rope_parameters: { rope_type: 'llama3', factor: 8 } }),
  )
  refused('invalid_config', /num_hidden_layers must be a positive integer/, (c) =>
    Object.assign(c, { num_hidden_layers: 'many' }),
  )
  refused('invalid_config', /num_key_value_heads must be a divisor/, (c) => Object.assign(c, { num_key_value_heads: 3 }))
  refused('unsupported_config', /layer_types .*chunked_attention/, (c) =>
    Object.assign(c, { layer_types: ['chunked_attention', 'full_attention', 'full_attention'] }),
  )
  refused(
    'unsupported_config',
    /use_bidirectional_attention/,
    (c) => Object.assign(c, { use_bidirectional_attention: true }),
    'gemma3',
  )
  for (const odd of [2, 4, 10 ** 6])
    refused('invalid_config', new RegExp(`num_hidden_layers must be 3, as many as the checkpoint has layers, not ${odd}`), (c) =>
      Object.assign(c, { num_hidden_layers: odd }),
    )
  refused('tensor_invalid', /mlp.gate_proj.weight has shape .*\[161,/, (c) => Object.assign(c, { intermediate_size: 161 }))
})

t.test('end tokens that are none name the file that says so', async (t) => {
  const folder = changedModel(t, 'llama', (c) => Object.assign(c, { eos_token_id: [2, 5] }))
  writeFileSync(path.join(folder, 'generation_config.json'), JSON.stringify({ eos_token_id: 'x' }))
  t.throws(() => buildModel(folder), {
    code: 'invalid_config',
    message: /generation_config.json: eos_token_id must be .*, not "x"/,
  })
  writeFileSync(path.join(folder, 'generation_config.json'), JSON.stringify({ temperature: 1 }))
  t.same(buildModel(folder).eosTokenIds, [2, 5])
})

t.test('a folder without its files, or with damaged ones, says which', async (t) => {
  const without = (name: string) => {
    const folder = changedModel(t, 'llama', () => {})
    rmSync(path.join(folder, name))
    return folder
  }
  t.throws(() => buildModel(without('config.json')), { code: 'model_file_missing', message: /config.json/ })
  t.throws(() => buildModel(without('model.safetensors')), { code: 'model_file_missing', message: /model.safetensors/ })
  const garbled = changedModel(t, 'llama', () => {})
  writeFileSync(path.join(garbled, 'model.safetensors'), 'not tensors at all')
  t.throws(() => buildModel(garbled), { code: 'model_file_invalid', message: /model.safetensors/ })
  writeFileSync(path.join(garbled, 'config.json'), '{')
  t.throws(() => readBaseModel(garbled), { code: 'model_file_invalid', message: /config.json/ })
  const integer = changedModel(
    t,
    'llama',
    () => {},
    (tensors) => {
      Object.assign(tensors['model.norm.weight'], {
        dtype: 'I32',
        bytes: new Uint8Array(tensors['model.norm.weight'].shape[0] * 4),
      })
    },
  )
  t.throws(() => buildModel(integer), { code: 'tensor_invalid', message: /model.norm.weight is int32/ })
})

/** Every tensor in float32, its values cut to what bfloat16 holds. */
function cutToBfloat16(tensors: Tensors): void {
  for (const tensor of Object.values(tensors)) {
    const values = new Float32Array(tensor.shape.reduce((product, size) => product * size, 1))
    decodeFloats(({ F32: 'float32', F16: 'float16', BF16: 'bfloat16' } as const)[tensor.dtype as 'F32'], tensor.bytes, values)
    const words = new Uint32Array(values.buffer).map((word) => word & 0xffff0000)
    Object.assign(tensor, { dtype: 'F32', bytes: new Uint8Array(words.buffer) })
  }
}

/** The same values, stored in 16 bits. */
function storeAsBfloat16(tensors: Tensors): void {
  cutToBfloat16(tensors)
  for (const tensor of Object.values(tensors)) {
    const words = new Uint32Array(tensor.bytes.buffer)
    Object.assign(tensor, { dtype: 'BF16', bytes: new Uint8Array(Uint16Array.from(words, (word) => word >>> 16).buffer) })
  }
}

const PROMPT = [1, 5, 9, 200, 17]

for (const family of ['llama-tied', 'gemma2', 'phi3'])
  t.test(`${family}: bfloat16 and sharded weights give what the same values in float32 give`, async (t) => {
    const want = await logitsOf(
      changedModel(t, family, () => {}, cutToBfloat16),
      PROMPT,
    )
    t.same(
      await logitsOf(
        changedModel(t, family, () => {}, storeAsBfloat16),
        PROMPT,
      ),
      want,
      'bfloat16',
    )

    const sharded = changedModel(t, family, () => {}, cutToBfloat16)
    const tensors = readTensors(path.join(sharded, 'model.safetensors'))
    const weightMap: Record<string, string> = {}
    const shards: Tensors[] = [{}, {}]
    for (const [i, [name, tensor]] of Object.entries(tensors).entries()) {
      shards[i % 2][name] = tensor
      weightMap[name] = `model-0000${(i % 2) + 1}-of-00002.safetensors`
    }
    for (const [i, shard] of shards.entries())
      writeFileSync(path.join(sharded, `model-0000${i + 1}-of-00002.safetensors`), safetensorsBytes(shard))
    writeFileSync(path.join(sharded, 'model.safetensors.index.json'), JSON.stringify({ weight_map: weightMap }))
    rmSync(path.join(sharded, 'model.safetensors'))
    t.same(await logitsOf(sharded, PROMPT), want, 'two shards')
  })

t.test('an index whose weight_map names no file is refused', async (t) => {
  const folder = changedModel(t, 'llama', () => {})
  rmSync(path.join(folder, 'model.safetensors'))
  for (const shard of [7, '../model.safetensors']) {
    writeFileSync(path.join(folder, 'model.safetensors.index.json'), JSON.stringify({ weight_map: { 'lm_head.weight': shard } }))
    t.throws(() => buildModel(folder), { code: 'model_file_invalid', message: /lm_head.weight lies in .* not a file name/ })
  }
})

t.test("the context is the model's own or a smaller one", async (t) => {
  const base = fixture('oracle/llama/base')
  t.equal(buildModel(base).maxModelLen, 512)
  t.equal(buildModel(base, { maxModelLen: 100 }).maxModelLen, 100)
  t.throws(() => buildModel(base, { maxModelLen: 513 }), { code: 'invalid_config', message: /max_position_embeddings, 512/ })
  for (const maxModelLen of [0, 1.5])
    t.throws(() => buildModel(base, { maxModelLen }), { code: 'invalid_config', message: /must be a positive integer/ })
  const longrope = { rope_type: 'longrope', short_factor: [1, 1, 1, 1], long_factor: [2, 2, 2, 2] }
  const phi3 = changedModel(t, 'phi3', (c) =>
    Object.assign(c, { original_max_position_embeddings: 128, rope_parameters: longrope }),
  )
  t.equal(buildModel(phi3).maxModelLen, 128, 'longrope: beyond its original context, other factors hold from the first token on')
  t.throws(() => buildModel(phi3, { maxModelLen: 129 }), { code: 'invalid_config', message: /original context, 128/ })
})

t.test('an older config (rope_theta, rope_scaling) means the same as a newer one', async (t) => {
  const older = changedModel(t, 'llama3-rope', (config) => {
    const { rope_theta, rope_type, ...scaling } = config.rope_parameters as Json
    delete config.rope_parameters
    Object.assign(config, { rope_theta, rope_scaling: { type: rope_type, ...scaling } })
  })
  t.same(buildModel(older).graph, buildModel(fixture('oracle/llama3-rope/base')).graph)
})

t.test('the base says where adapters can act', async (t) => {
  const { base } = buildModel(fixture('oracle/phi3/base'))
  t.equal(siteOptions(base).siteCount, base.sites.length + 2)
  const site = (module: string) => base.sites.find((one) => one.module === module)
  t.match(site('model.layers.0.self_attn.qkv_proj'), { inFeatures: 32, outFeatures: 64, kind: 'linear', takesInputScale: true })
  t.match(site('lm_head'), { kind: 'head', outFeatures: 320, weight: 'lm_head.weight' })
  const tied = readBaseModel(fixture('oracle/llama-tied/base')).sites.find((one) => one.kind === 'head')
  t.equal(tied?.weight, 'model.embed_tokens.weight')
})

t.test('quantized weights that no config speaks of are told from missing ones', async (t) => {
  const projection = 'model.layers.0.self_attn.q_proj'
  for (const instead of ['qweight', 'weight_packed']) {
    const folder = changedModel(
      t,
      'llama',
      () => {},
      (tensors) => {
        tensors[`${projection}.${instead}`] = tensors[`${projection}.weight`]
        delete tensors[`${projection}.weight`]
      },
    )
    t.throws(() => buildModel(folder), {
      code: 'unsupported_config',
      message: new RegExp(
        `has ${projection}.${instead} in the place of ${projection}.weight, and config.json has no quantization_config`,
      ),
    })
  }
  const gguf = changedModel(t, 'llama', () => {})
  rmSync(path.join(gguf, 'model.safetensors'))
  writeFileSync(path.join(gguf, 'model-Q4_K_M.gguf'), 'GGUF')
  t.throws(() => buildModel(gguf), {
    code: 'model_file_missing',
    message: /GGUF files are not read: serve the safetensors folder/,
  })
})
