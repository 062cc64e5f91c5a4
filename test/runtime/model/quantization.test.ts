/**
 * Quantized projections on the CPU. A checkpoint whose weights already lie on the quantizer's grid loses nothing, so its quantized graph must give the float32
 * graph's logits; one that does not loses what its bits say.
 */
import path from 'node:path'
import t from 'tap'
import { loadAdapter } from '../../../adapters-store/index.ts'
import { decodeFloats } from '../../../native/floats.ts'
import { buildModel } from '../../../runtime/model/index.ts'
import { BLOCK } from '../../../runtime/model/quantized.ts'
import type { TensorSource } from '../../adapters-store/write-adapter.ts'
import { changedModel, type Test } from '../../support/model-folder.ts'
import { blockBytesOf, logitsOfRows } from '../../support/native-step.ts'
import { fixture } from '../../support/repo.ts'

const ROWS = 6
const DTYPES = { F32: 'float32', F16: 'float16', BF16: 'bfloat16' } as const

/** The tensor with each block of a row on the grid of `bits`: extreme / −2^(bits−1), rounded to a float16, times integers. */
function onGrid({ dtype, shape, bytes }: TensorSource, bits: number): TensorSource {
  const [rows, columns] = shape
  const values = new Float32Array(rows * columns)
  decodeFloats(DTYPES[dtype as keyof typeof DTYPES], bytes, values)
  const middle = 2 ** (bits - 1)
  for (let row = 0; row < rows; row++)
    for (let first = 0; first < columns; first += BLOCK) {
      const block = values.subarray(row * columns + first, row * columns + Math.min(first + BLOCK, columns))
      const extreme = block.reduce((best, x) => (Math.abs(x) > Math.abs(best) ? x : best), 0)
      const unit = 2 ** (Math.floor(Math.log2(Math.abs(extreme) / middle)) - 8)
      const scale = Math.round(extreme / -middle / unit) * unit
      for (let i = 0; i < block.length; i++)
        block[i] = scale * Math.max(-middle, Math.min(middle - 1, Math.round(block[i] / scale)))
    }
  return { dtype: 'F32', shape, bytes: new Uint8Array(values.buffer) }
}

function griddedModel(t: Test, family: string, bits: number): string {
  return changedModel(
    t,
    family,
    () => {},
    (tensors) => {
      for (const [name, tensor] of Object.entries(tensors)) if (name.endsWith('proj.weight')) tensors[name] = onGrid(tensor, bits)
    },
  )
}

const apart = (a: Float32Array, b: Float32Array) => a.reduce((worst, x, i) => Math.max(worst, Math.abs(x - b[i])), 0)

// Biases, fused projections, norms after the blocks; inputs 32 wide (one block) and 80 (the last block is cut short).
for (const family of ['llama', 'llama-bias', 'phi3', 'gemma2'])
  for (const quantization of ['int4', 'int8'] as const)
    t.test(`${family}, ${quantization}: nothing is lost of weights that lie on the grid`, async (t) => {
      const folder = griddedModel(t, family, quantization === 'int4' ? 4 : 8)
      const exact = await logitsOfRows(buildModel(folder), ROWS)
      const quantized = buildModel(folder, { quantization, quantizedCompute: 'float32' })
      t.ok(quantized.graph.byteLength > 0 && quantized.initializers.some((tensor) => tensor.quantize), 'is quantized')
      t.notOk(
        quantized.initializers.some(({ name, quantize }) => quantize && !name.endsWith('proj.weight')),
        'projections alone',
      )
      const worst = apart(await logitsOfRows(quantized, ROWS), exact)
      t.ok(worst < 2e-4, `float32 activations: off by ${worst}`)
      const fast = apart(await logitsOfRows(buildModel(folder, { quantization }), ROWS), exact)
      t.ok(fast > 0 && fast < 0.25, `activations in 8 bits: off by ${fast}`)
    })

t.test('adapters act on a quantized base as on any', async (t) => {
  const folder = griddedModel(t, 'llama', 4)
  const results: Float32Array[] = []
  for (const options of [{}, { quantization: 'int4', quantizedCompute: 'float32' }] as const) {
    const model = buildModel(folder, options)
    const images = ['lora-r16-all', 'ia3', 'hira'].map((name) =>
      loadAdapter(name, path.join(fixture('oracle/llama/adapters'), name), model.base, {
        dtype: 'float32',
        blockBytes: blockBytesOf(model),
      }),
    )
    results.push(await logitsOfRows(model, ROWS, images))
    if (!('quantization' in options))
      t.ok(apart(results[0], await logitsOfRows(model, ROWS)) > 1e-2, 'adapters change the logits')
  }
  const worst = apart(results[0], results[1])
  t.ok(worst < 2e-4, `off by ${worst}`)
})

t.test('what any checkpoint loses', async (t) => {
  const folder = fixture('oracle/qwen2/base')
  const exact = await logitsOfRows(buildModel(folder), ROWS)
  const spread = Math.max(...exact) - Math.min(...exact)
  const loss = async (quantization: 'int4' | 'int8') =>
    apart(await logitsOfRows(buildModel(folder, { quantization, quantizedCompute: 'float32' }), ROWS), exact) / spread
  const [four, eight] = [await loss('int4'), await loss('int8')]
  t.ok(eight > 0 && eight < 0.01, `int8: ${eight} of the logits' spread`)
  t.ok(four > eight && four < 0.2, `int4: ${four} of the logits' spread`)
})
