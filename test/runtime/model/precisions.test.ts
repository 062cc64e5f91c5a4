/**
 * Packed weights on the CPU: 16 bits, int8, int4. Float16 keeps activations in float32, so that a checkpoint whose weights are float16 numbers must give the float32
 * graph's logits: every product, bias and lookup is where it belongs. The other forms round activations too, and lose what their bits say.
 */
import path from 'node:path'
import t from 'tap'
import { loadAdapter } from '../../../adapters-store/index.ts'
import { decodeStep, residentsOf } from '../../../bench/decode-batch.ts'
import { decodeFloats, encodeFloats } from '../../../native/floats.ts'
import type { WeightForm } from '../../../native/types.ts'
import { type BuildOptions, type BuiltModel, buildModel } from '../../../runtime/model/index.ts'
import { changedModel, type Test } from '../../support/model-folder.ts'
import { blockBytesOf, logitsOfRows, startNativeEngine } from '../../support/native-step.ts'
import { readGraph } from '../../support/onnx-reader.ts'
import { fixture } from '../../support/repo.ts'

const ROWS = 6
const DTYPES = { F32: 'float32', F16: 'float16', BF16: 'bfloat16' } as const
const FORMS: Record<WeightForm, BuildOptions> = {
  float16: { dtype: 'float16', cacheDtype: 'float32' },
  bfloat16: { dtype: 'bfloat16', cacheDtype: 'float32' },
  int8: { quantization: 'int8', cacheDtype: 'float32' },
  int4: { quantization: 'int4', cacheDtype: 'float32' },
}
const forms = Object.keys(FORMS) as WeightForm[]

/** The family's base in float32 with every weight changed. */
function withWeights(t: Test, family: string, change: (values: Float32Array) => void): string {
  return changedModel(
    t,
    family,
    () => {},
    (tensors) => {
      for (const [name, { dtype, shape, bytes }] of Object.entries(tensors)) {
        const values = new Float32Array(shape.reduce((product, d) => product * d, 1))
        decodeFloats(DTYPES[dtype as keyof typeof DTYPES], bytes, values)
        change(values)
        tensors[name] = { dtype: 'F32', shape, bytes: new Uint8Array(values.buffer) }
      }
    },
  )
}

/** Every weight is a float16 number. */
const inFloat16 = (t: Test, family: string) =>
  withWeights(t, family, (values) => decodeFloats('float16', encodeFloats('float16', values), values))

/** Hardly any weight is a 16-bit number, of either kind. */
const inFloat32 = (t: Test, family: string) =>
  withWeights(t, family, (values) => {
    for (let i = 0; i < values.length; i++) values[i] *= 1.03712
  })

const base = (family: string) => fixture(`oracle/${family}/base`)
const apart = (a: Float32Array, b: Float32Array) => a.reduce((worst, x, i) => Math.max(worst, Math.abs(x - b[i])), 0)
const spreadOf = (values: Float32Array) => Math.max(...values) - Math.min(...values)
const adaptersOf = (model: BuiltModel, names: string[]) =>
  names.map((name) =>
    loadAdapter(name, path.join(fixture('oracle/llama/adapters'), name), model.base, {
      dtype: 'float32',
      blockBytes: blockBytesOf(model),
    }),
  )

// Biases, fused projections, norms after the blocks, norms of whole projections, tied and untied heads, tokens that adapters add.
for (const family of ['llama', 'llama-tied', 'llama-bias', 'phi3', 'gemma2', 'olmo2', 'granite', 'added-granite'])
  t.test(`${family}: nothing is lost of float16 weights in float16`, async (t) => {
    const folder = inFloat16(t, family)
    const exact = await logitsOfRows(buildModel(folder), ROWS, [], 3)
    const worst = apart(await logitsOfRows(buildModel(folder, FORMS.float16), ROWS, [], 3), exact)
    t.ok(worst < 2e-5 * spreadOf(exact), `off by ${worst} of ${spreadOf(exact)}`)
  })

t.test('adapters act on packed weights as on any', async (t) => {
  const folder = inFloat16(t, 'llama')
  const names = ['lora-r16-all', 'ia3', 'hira']
  const results: Float32Array[] = []
  for (const options of [{}, FORMS.float16]) {
    const model = buildModel(folder, options)
    results.push(await logitsOfRows(model, ROWS, adaptersOf(model, names)))
    if (results.length === 1) t.ok(apart(results[0], await logitsOfRows(model, ROWS)) > 1e-2, 'adapters change the logits')
  }
  const worst = apart(results[0], results[1])
  t.ok(worst < 2e-4, `off by ${worst}`)
})

t.test('what any checkpoint loses', async (t) => {
  const losses: number[] = []
  const folders = ['qwen2', 'llama-tied', 'gemma2'].map((family) => inFloat32(t, family))
  for (const form of forms) {
    let worst = 0
    for (const folder of folders) {
      const exact = await logitsOfRows(buildModel(folder), ROWS)
      worst = Math.max(worst, apart(await logitsOfRows(buildModel(folder, FORMS[form]), ROWS), exact) / spreadOf(exact))
    }
    losses.push(worst)
    t.comment(`${form}: ${worst} of the logits' spread`)
  }
  const [float16, bfloat16, int8, int4] = losses
  t.ok(float16 > 0 && float16 < 1e-3, `float16: ${float16}`)
  t.ok(bfloat16 > float16 && bfloat16 < 0.02, `bfloat16: ${bfloat16}`)
  t.ok(int8 > float16 && int8 < 0.05, `int8: ${int8}`)
  t.ok(int4 > int8 && int4 < 0.3, `int4: ${int4}`)
})

for (const form of forms)
  t.test(`${form}: a row's logits do not depend on the rows beside it`, async (t) => {
    for (const family of ['llama', 'llama-tied']) {
      const model = buildModel(base(family), FORMS[form])
      const images = adaptersOf(model, ['lora-r16-all', 'ia3'])
      const { vocabSize } = model
      const rows = 37
      const engine = await startNativeEngine(model, {
        threads: 2,
        blockSize: 16,
        blockCount: rows + images.reduce((sum, image) => sum + image.blocks, 0),
        maxBatchTokens: rows,
        maxSequences: rows,
        maxModelLen: 16,
        headSite: model.base.sites.length - 1,
      })
      const residents = residentsOf(images, rows)
      for (const resident of residents) engine.putAdapter(resident)
      const step = (count: number, first: number) =>
        decodeStep(engine, {
          rows: count,
          context: 0,
          blockSize: 16,
          vocabSize,
          adapters: residents.map((_, i) => residents[(i + first) % residents.length]),
          token: (row) => ((row + first) * 7919 + 11) % vocabSize,
          returnLogits: true,
        })
      const together = (await step(rows, 0)).logits as Float32Array
      const width = together.length / rows
      for (const [count, first] of [
        [1, 0],
        [1, 36],
        [2, 5],
        [9, 3],
        [17, 20],
      ]) {
        const some = (await step(count, first)).logits as Float32Array
        t.same(some, together.slice(first * width, (first + count) * width), `${family}: ${count} rows from ${first} on`)
      }
      engine.close()
    }
  })

t.test('one product for projections that share their input, and no table twice', (t) => {
  const nodesOf = (family: string, form: WeightForm) => {
    const { graph, initializers } = buildModel(base(family), FORMS[form])
    const { nodes } = readGraph(graph)
    const linear = nodes.filter(({ op }) => op === 'Linear')
    return { ops: nodes.map(({ op }) => op), linear: linear.map(({ outputs }) => outputs), initializers }
  }
  for (const form of forms) {
    const { ops, linear, initializers } = nodesOf('llama-tied', form)
    t.notOk(ops.includes('Gemm') || ops.includes('MatMulNBits'), 'no other product')
    const layer = linear.slice(0, 4).map((outputs) => outputs.map((name) => name.split('.').at(-2)))
    t.same(layer, [['q_proj', 'k_proj', 'v_proj'], ['o_proj'], ['gate_proj', 'up_proj'], ['down_proj']])
    t.equal(ops.filter((op) => op === 'PackedEmbedding').length, 1)
    const table = initializers.filter(({ name }) => name === 'model.embed_tokens.weight')
    t.same(
      table.map(({ pack }) => pack),
      [form === 'int4' ? 'int8' : form],
      'the table once, not in 4 bits',
    )
  }
  const { ops, initializers } = nodesOf('llama', 'int8')
  t.notOk(ops.includes('PackedEmbedding'), 'a table of its own stays in the file')
  t.equal(initializers.find(({ name }) => name === 'model.embed_tokens.weight')?.pack, undefined)
  t.equal(initializers.find(({ name }) => name === 'lm_head.weight')?.pack, 'int8')
  const headless = buildModel(fixture('pooling/mistral-bare/base'), FORMS.int4)
  const products = readGraph(headless.graph).nodes.map(({ op }) => op)
  t.ok(products.includes('Linear') && !products.includes('Gemm'), 'without a head')
  t.notOk(
    headless.initializers.some(({ name, pack }) => pack && !name.endsWith('proj.weight')),
    'the table has no head to share',
  )
  t.end()
})
