/** Checkpoints whose weights are quantized already (test/fixtures/stored): how each weight is packed, and what is refused of their tensors. */
import { cpSync, existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import t, { type Test } from 'tap'
import { buildModel, readBaseModel } from '../../../runtime/model/index.ts'
import { fixture } from '../../support/repo.ts'

const Q = 'model.layers.0.self_attn.q_proj.weight'
const MLP = 'model.layers.0.mlp.down_proj.weight'
const stored = (name: string) => fixture(`stored/${name}`)
const named = (name: string, options = {}) => {
  const { initializers } = buildModel(stored(name), options)
  return (weight: string) => initializers.find((one) => one.name === weight)
}

t.test('integers keep their form where products have it', async (t) => {
  for (const [name, form] of [
    ['awq', 'uint4'],
    ['gptq4', 'uint4'],
    ['gptq4-ordered', 'uint4'],
    ['gptq8', 'uint8'],
    ['packed4', 'uint4'],
    ['int8', 'int8'],
  ])
    for (const options of [{}, { quantization: 'int8' }, { dtype: 'bfloat16' }]) {
      const find = named(name, options)
      t.match(find(Q), { pack: form, stored: { form: { in: 64, out: 64 } } }, name)
      t.match(find(MLP), { pack: form, shape: [64, 32] }, name)
    }
  t.match(named('packed4-16')(Q), { as: 'float32', pack: undefined }, "groups of 16 are no product's")
  t.match(named('packed4-16', { quantization: 'int4' })(Q), { pack: 'int4' })
  t.match(named('packed4', { quantization: 'int8' })('model.embed_tokens.weight'), { pack: 'int8', stored: undefined })
})

t.test('on CUDA they become floats, and are not rounded anew', async (t) => {
  const cuda = { device: 'cuda' } as const
  const joined = buildModel(stored('awq'), cuda).initializers.filter(({ name }) => name.endsWith('qkv_proj.weight'))
  t.match(
    joined.map(({ shape, stored }) => [shape[0], stored?.form.layout]),
    [
      [64, 'awq'],
      [16, 'awq'],
      [16, 'awq'],
    ],
  )
  t.match(named('packed4', { ...cuda, dtype: 'float16' })(MLP), { dtype: 'bfloat16', as: 'float16' })
  t.throws(() => buildModel(stored('awq'), { ...cuda, quantization: 'int4' }), {
    code: 'invalid_config',
    message: /--quantization int4: the checkpoint's weights are quantized already/,
  })
})

t.test('the KV cache beside them has 16 bits unless float32 is asked for', async (t) => {
  t.equal(buildModel(stored('awq')).cacheDtype, 'float16')
  t.equal(buildModel(stored('awq'), { dtype: 'float32' }).cacheDtype, 'float32')
})

/** The checkpoint with config.json and the file's header changed. */
function changed(t: Test, name: string, change: (config: Json, header: Json) => void): string {
  const folder = path.join(t.testdir({}), 'model')
  cpSync(stored(name), folder, { recursive: true })
  const [config, weights] = ['config.json', 'model.safetensors'].map((file) => path.join(folder, file))
  const bytes = readFileSync(weights)
  const end = 8 + Number(bytes.readBigUInt64LE())
  const json = JSON.parse(readFileSync(config, 'utf8'))
  const header = JSON.parse(bytes.subarray(8, end).toString())
  change(json, header)
  const text = Buffer.from(JSON.stringify(header))
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(BigInt(text.length))
  writeFileSync(config, JSON.stringify(json))
  writeFileSync(weights, Buffer.concat([length, text, bytes.subarray(end)]))
  return folder
}

// biome-ignore lint/suspicious/noExplicitAny: what a file holds
type Json = Record<string, any>

t.test('tensors that do not fit are refused by their name', async (t) => {
  const module = Q.replace('.weight', '')
  const swap = (header: Json, a: string, b: string) => {
    const [one, other] = [header[a], header[b]]
    delete header[a]
    Object.assign(header, { [b]: one, ...(other && { [a]: other }) })
  }
  const refused = (name: string, message: RegExp, change: (config: Json, header: Json) => void) =>
    t.throws(() => buildModel(changed(t, name, change)), { message }, String(message))
  refused('awq', /no tensor .*q_proj\.qzeros/, (_, header) => {
    swap(header, `${module}.qzeros`, 'left.over')
  })
  refused('awq', /q_proj\.qzeros has shape \[2,8\], but config\.json makes it \[1,8\]/, (config) => {
    config.quantization_config.group_size = 64
  })
  refused('gptq8', /q_proj\.qweight has shape \[16,64\], but config\.json makes it \[8,64\]/, (config) => {
    config.quantization_config.bits = 4
  })
  refused('gptq4', /q_proj\.qzeros is float16; int32 is expected/, (_, header) => {
    swap(header, `${module}.scales`, `${module}.qzeros`)
  })
  refused('packed4', /weight_packed has shape \[64,4\], but config\.json makes it \[64,8\] or \[64,16\]/, (_, header) => {
    swap(header, `${module}.weight_packed`, `${MLP}_packed`)
  })
  refused('int8', /weight_scale has shape/, (_, header) => {
    header[`${module}.weight_scale`].shape = [32, 2]
  })
})

t.test('what a checkpoint leaves in floats stays so; a file of its own may say how the rest is quantized', async (t) => {
  const folder = changed(t, 'gptq4', (config) => {
    writeFileSync(path.join(t.testdirName, 'config'), JSON.stringify(config.quantization_config))
    delete config.quantization_config
  })
  t.throws(() => buildModel(folder), { message: /qweight in the place of/ })
  const { quant_method: _, ...rest } = JSON.parse(readFileSync(path.join(t.testdirName, 'config'), 'utf8'))
  writeFileSync(path.join(folder, 'quantize_config.json'), JSON.stringify(rest))
  t.ok(existsSync(path.join(folder, 'quantize_config.json')))
  t.match(
    buildModel(folder).initializers.find(({ name }) => name === Q),
    { pack: 'uint4' },
  )
  renameSync(path.join(folder, 'quantize_config.json'), path.join(folder, 'quant_config.json'))
  t.throws(() => buildModel(folder), { message: /q_proj\.qweight has shape \[8,64\], but config\.json makes it \[64,8\]/ })
  t.match(readBaseModel(stored('awq')).tensors['model.embed_tokens.weight'], { dtype: 'float16', stored: undefined })
})
