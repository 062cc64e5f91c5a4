/** What a config and a header say of an adapter is what loading makes of it. Refusals are compared in refusal.ts, case by case. */
import { readdirSync, truncateSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import t from 'tap'
import { type AdapterDtype, hostBytes, loadAdapter, planAdapter } from '../../adapters-store/index.ts'
import { readBaseModel } from '../../runtime/model/index.ts'
import { demoModel, fixture, temporaryFolder } from '../support/repo.ts'
import { floats, type Tensors, withHeader, writeAdapter } from './write-adapter.ts'

const FOLDERS = ['llama', 'llama-tied', 'llama-bias', 'qwen3', 'phi3', 'added-tied-heads16', 'alora-qwen3-heads16'].map((name) =>
  fixture(`oracle/${name}`),
)

t.test('of every method and of adapters that bring tokens, modules or invocations, both say the same', async (t) => {
  let seen = 0
  const methods = new Set<string>()
  for (const folder of FOLDERS) {
    const base = readBaseModel(path.join(folder, 'base'))
    const adapters = path.join(folder, 'adapters')
    for (const name of readdirSync(adapters))
      for (const dtype of ['float16', 'int8'] as AdapterDtype[]) {
        const options = { dtype, blockBytes: 1 << 16, frameBytes: 1 << 12 }
        const directory = path.join(adapters, name)
        const image = loadAdapter(name, directory, base, options)
        const whole = planAdapter(name, directory, base, options, { values: true })
        const plan = planAdapter(name, directory, base, options)
        const { valuesRead, ...told } = plan
        for (const [key, value] of Object.entries(told))
          t.same(value, (whole as unknown as Record<string, unknown>)[key], `${folder} ${name} ${key}`)
        t.equal(plan.bytes, hostBytes(image))
        t.same([plan.method, plan.maxRank, plan.blocks, plan.frames], [image.method, image.maxRank, image.blocks, image.frames])
        t.ok(plan.modules.length > 0)
        methods.add(plan.method)
        if (!valuesRead) seen++
      }
  }
  t.ok(methods.size >= 14, [...methods].join(' '))
  t.ok(seen > 60, `${seen} by their headers alone`)
})

t.test('a file of gigabytes costs nothing where its values need not be read', async (t) => {
  const base = readBaseModel(demoModel('base'))
  const site = base.sites.find(({ kind }) => kind === 'linear')!
  const rank = 1 << 20
  const header: Record<string, unknown> = {}
  let end = 0
  for (const [key, shape] of [
    ['lora_A', [rank, site.inFeatures]],
    ['lora_B', [site.outFeatures, rank]],
  ] as const) {
    const bytes = 4 * shape[0] * shape[1]
    header[`base_model.model.${site.module}.${key}.weight`] = { dtype: 'F32', shape, data_offsets: [end, end + bytes] }
    end += bytes
  }
  const folder = temporaryFolder(t)
  writeAdapter(folder, { peft_type: 'LORA', r: rank, lora_alpha: 1, target_modules: ['q_proj'] }, {} as Tensors)
  const file = path.join(folder, 'adapter_model.safetensors')
  const bytes = withHeader(JSON.stringify(header))
  writeFileSync(file, bytes)
  truncateSync(file, bytes.length + end)
  t.ok(end > 1 << 30, `${end} bytes`)
  const before = process.memoryUsage().rss
  const plan = planAdapter('large', folder, base, { dtype: 'float16', blockBytes: 1 << 16 })
  t.ok(process.memoryUsage().rss - before < 256 << 20)
  t.equal(plan.maxRank, 0, 'rows of the product take less')
  t.equal(plan.valuesRead, false)
  t.throws(() => planAdapter('large', folder, base, { dtype: 'float16', blockBytes: 1 << 16, limits: { bytes: 1 << 10 } }), {
    code: 'adapter_too_large',
  })
})

t.test('where values say how much there is they are read', async (t) => {
  const base = readBaseModel(demoModel('base'))
  const table = base.sites[0]
  const folder = temporaryFolder(t)
  const weight = floats([table.inFeatures, table.outFeatures])
  writeAdapter(
    folder,
    { peft_type: 'LORA', r: 8, target_modules: [], modules_to_save: ['embed_tokens'] },
    { 'base_model.model.model.embed_tokens.weight': weight },
  )
  const plan = planAdapter('saved', folder, base, { dtype: 'float32', blockBytes: 1 << 16 })
  t.equal(plan.valuesRead, true)
  t.ok(plan.modules.includes('model.embed_tokens'))
})
