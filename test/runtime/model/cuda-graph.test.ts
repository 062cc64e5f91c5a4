/** The CUDA graph without a GPU: ONNX Runtime checks it against its schemas, and its nodes, inputs and constants are what docs/graph.md says. */
import { spawnSync } from 'node:child_process'
import { existsSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import t from 'tap'
import { decodeFloats } from '../../../native/floats.ts'
import { onnxRuntimeLibrary } from '../../../native/index.ts'
import type { TensorType } from '../../../native/types.ts'
import { type BuildOptions, type BuiltModel, buildModel, defaultBlockSize } from '../../../runtime/model/index.ts'
import { floats, type Tensors } from '../../adapters-store/write-adapter.ts'
import { type Json, withHeadsOf16 } from '../../support/model-folder.ts'
import { type Graph, readGraph } from '../../support/onnx-reader.ts'
import { oracleFamilies } from '../../support/oracle.ts'
import { fixture, repoRoot, temporaryFolder } from '../../support/repo.ts'

const baseOf = (family: string) => bases.get(family) as string
const DATA_TYPE = { float32: 1, int8: 3, int32: 6, float16: 10, bfloat16: 16, float8: 17 }
const families = oracleFamilies(fixture('oracle'))
const bases = new Map(families.map((family) => [family, withHeadsOf16(t, family)]))
const cuda = (folder: string, options: BuildOptions = {}) => buildModel(folder, { device: 'cuda', ...options })

/** Adds the scales of an 8-bit cache to a three-layer model. */
const withScales = (tensors: Tensors) => {
  for (let layer = 0; layer < 3; layer++) {
    tensors[`model.layers.${layer}.self_attn.k_scale`] = floats([1], () => 0.25)
    tensors[`model.layers.${layer}.self_attn.v_scale`] = floats([], () => 0.5)
  }
}

/**
 * Ops with a CUDA kernel for float16 and bfloat16 in ONNX Runtime 1.29 (docs/OperatorKernels.md, and the kernel classes named in the provider library), none of
 * which works on shapes or on the CPU.
 */
const KERNELS = new Set(
  ['Add', 'Mul', 'Div', 'Tanh', 'Gather', 'Gemm', 'SimplifiedLayerNormalization']
    .concat(['SkipSimplifiedLayerNormalization', 'MatMulNBits', 'PagedAttention'].map((op) => `com.microsoft.${op}`))
    .concat(
      ['BatchedLora', 'ScaleInput', 'BatchedEmbedding', 'GatedActivation', 'Sample', 'SumRows'].map((op) => `lorikeet.${op}`),
    ),
)
const nameOf = ({ op, domain }: Graph['nodes'][number]) => (domain ? `${domain}.${op}` : op)

t.test('ONNX Runtime finds nothing wrong with any graph but that the CPU lacks its kernels', async (t) => {
  const folder = temporaryFolder(t)
  const program = path.join(folder, 'graph-check')
  const source = path.join(repoRoot(), 'test/native/graph/graph_check.cc')
  const headers = path.join(repoRoot(), 'native/third_party/onnxruntime')
  const made = spawnSync(process.env.CXX ?? 'c++', ['-std=c++20', '-isystem', headers, source, '-o', program, '-ldl'])
  t.equal(made.status, 0, String(made.stderr))
  /** What ONNX Runtime says of each graph, as a session of `dtype`. */
  const check = (models: BuiltModel[], dtype: TensorType): string[] => {
    const list = models.map((model, i) => {
      const file = path.join(folder, `${i}.onnx`)
      writeFileSync(file, model.graph)
      writeFileSync(`${file}.txt`, externalsOf(model))
      return `${file} ${file}.txt\n`
    })
    const run = spawnSync(program, [onnxRuntimeLibrary(), dtype], { input: list.join(''), encoding: 'utf8' })
    t.equal(run.status, 0, run.stderr)
    return run.stdout.trim().split('\n')
  }
  // A graph that passed is prepared for the CPU. There bfloat16 has hardly a kernel, and inputs of the one op without a float16 kernel are cast in vain.
  const fine =
    /^9 Could not find an implementation|^10 .*input parameter \(InsertedPrecisionFreeCast_[^)]*\) of operator \(PagedAttention\)/

  for (const dtype of ['float16', 'bfloat16'] as const) {
    const models = families.flatMap((family) => {
      const folder = withHeadsOf16(t, family, undefined, withScales)
      return [cuda(folder, { dtype }), cuda(folder, { dtype, cacheDtype: 'float8', quantization: 'int8' })].concat(
        // A sharded checkpoint got no scales.
        existsSync(path.join(folder, 'model.safetensors'))
          ? cuda(folder, { dtype, cacheDtype: 'int8', quantization: 'int4' })
          : [],
      )
    })
    const said = check(models, dtype)
    t.equal(said.length, models.length)
    t.same(
      said.filter((line) => !fine.test(line)),
      [],
      dtype,
    )
  }
  const [mixed] = check([cuda(baseOf('llama'), { dtype: 'bfloat16' })], 'float16')
  t.notMatch(mixed, fine, 'what is wrong is seen')
  t.match(mixed, /Type Error/)
})

/** Name, type and shape of the tensors that the addon adds, a line each. */
function externalsOf({ initializers }: BuiltModel): string {
  const firsts = initializers.filter(({ name }, i) => name !== initializers[i - 1]?.name)
  const lines = firsts.flatMap(({ name, dtype, as = dtype, shape, quantize }) => {
    const parts = initializers.filter((part) => part.name === name)
    const rows = parts.reduce((sum, part) => sum + part.shape[0], 0)
    if (!quantize) return [[name, DATA_TYPE[as], rows, ...shape.slice(1)]]
    const blocks = Math.ceil(shape[1] / quantize.block)
    return [
      [name, 2, rows, blocks, (quantize.block * quantize.bits) / 8],
      [quantize.scales, DATA_TYPE[as], rows * blocks],
    ]
  })
  return lines.map((line) => `${line.join(' ')}\n`).join('')
}

t.test('every node has a CUDA kernel', async (t) => {
  for (const family of families)
    for (const quantization of [undefined, 'int4'] as const) {
      const { nodes } = readGraph(cuda(baseOf(family), { dtype: 'float16', quantization }).graph)
      t.same(
        nodes.map(nameOf).filter((name) => !KERNELS.has(name)),
        [],
        family,
      )
    }
})

t.test('inputs: no adapters, caches in their own type, as many views of values as of keys', async (t) => {
  const { inputs, nodes } = readGraph(cuda(baseOf('llama'), { dtype: 'bfloat16', cacheDtype: 'float8' }).graph)
  const caches = inputs.filter(({ name }) => name.includes('cache.'))
  t.same(
    inputs.filter((input) => !caches.includes(input)).map(({ name, type, shape }) => [name, type, ...shape]),
    [
      ['input_ids', DATA_TYPE.int32, 'T'],
      ['cumulative_sequence_length', DATA_TYPE.int32, 'B1'],
      ['past_seqlens', DATA_TYPE.int32, 'B'],
      ['block_table', DATA_TYPE.int32, 'B', 'M'],
      ['slot_mapping', DATA_TYPE.int32, 'T'],
      ['logits_indices', DATA_TYPE.int32, 'R'],
      ['attention_metadata', DATA_TYPE.int32, 2],
    ],
  )
  t.same(caches[0], { name: 'key_cache.0', type: DATA_TYPE.float8, shape: ['N_0', 'block_size', 1, 16] })
  t.same(caches[1], { name: 'value_cache.0', type: DATA_TYPE.float8, shape: ['N_0', 'block_size', 1, 16] })
  const ours = nodes.filter(({ op }) => /^Batched|^ScaleInput/.test(op))
  t.same(
    ours.filter(({ attributes }) => attributes.logits_rows === 1).map(({ outputs }) => outputs),
    [['lm_head.out']],
    'the head alone has logits rows',
  )
  t.ok(
    ours.every(({ attributes }) => 'logits_rows' in attributes),
    'each op says which rows it has',
  )
  const attention = nodes.find(({ op }) => op === 'PagedAttention')
  t.equal(attention?.inputs.length, 17)
  t.equal(attention?.inputs[16], 'attention_metadata')
  t.equal(attention?.inputs[10], 'slot_mapping')
  t.match(attention?.attributes, { k_quant_type: 'PER_TENSOR', v_quant_type: 'PER_TENSOR', local_window_size: -1, do_rotary: 1 })
})

t.test('a residual addition and the norm after it are one node, and a packed projection stays packed', async (t) => {
  const count = (family: string, op: string) =>
    readGraph(cuda(baseOf(family), { dtype: 'float16' }).graph).nodes.filter((node) => node.op === op).length
  t.equal(count('llama', 'Add'), 1, 'before the head')
  t.equal(count('llama', 'SkipSimplifiedLayerNormalization'), 5)
  t.equal(count('olmo2', 'SkipSimplifiedLayerNormalization'), 0, 'norms after the blocks only')
  const { nodes } = readGraph(cuda(baseOf('phi3'), { dtype: 'float16' }).graph)
  const inputs = (op: string) => nodes.find((node) => node.op === op)?.inputs
  t.same(inputs('PagedAttention')?.slice(0, 3), ['model.layers.0.self_attn.qkv_proj.out', '', ''])
  t.same(inputs('GatedActivation'), ['model.layers.0.mlp.gate_up_proj.out'])
})

t.test('projections that share their input are one product', async (t) => {
  const layer = (family: string, options: BuildOptions = {}) => {
    const { graph, initializers } = cuda(baseOf(family), { dtype: 'bfloat16', ...options })
    const nodes = readGraph(graph).nodes.filter(({ outputs }) => outputs[0].startsWith('model.layers.0.'))
    const of = (op: string) => nodes.filter((node) => node.op === op)
    return { of, parts: (name: string) => initializers.filter((one) => one.name === `model.layers.0.${name}`), initializers }
  }
  const llama = layer('llama')
  const inputs = (products: Graph['nodes']) => products.map((node) => node.inputs.slice(1))
  t.same(inputs(llama.of('Gemm')), [
    ['model.layers.0.self_attn.qkv_proj.weight'],
    ['model.layers.0.self_attn.o_proj.weight'],
    ['model.layers.0.mlp.gate_up_proj.weight'],
    ['model.layers.0.mlp.down_proj.weight'],
  ])
  const [qkv, , gateUp] = llama.of('BatchedLora')
  t.match(qkv, { inputs: { length: 2 }, attributes: { sites: [1, 2, 3], widths: [32, 16, 16] } })
  t.match(gateUp, { inputs: { length: 2 }, attributes: { sites: [5, 6], widths: { length: 2 } } })
  t.same(llama.of('PagedAttention')[0].inputs.slice(0, 3), ['model.layers.0.self_attn.qkv_proj.out', '', ''])
  t.same(llama.of('GatedActivation')[0].inputs, ['model.layers.0.mlp.gate_up_proj.out'])
  const parts = llama.parts('self_attn.qkv_proj.weight')
  t.same(
    parts.map(({ shape }) => shape[0]),
    [32, 16, 16],
    'its weight is put together from those of the checkpoint',
  )
  t.same(
    parts.map((part) => llama.initializers.indexOf(part) - llama.initializers.indexOf(parts[0])),
    [0, 1, 2],
    'which follow each other',
  )

  const biased = layer('qwen2', { quantization: 'int4' })
  t.same(inputs(biased.of('MatMulNBits'))[0], [
    'model.layers.0.self_attn.qkv_proj.weight',
    'model.layers.0.self_attn.qkv_proj.weight.scales',
    '',
    '',
    'model.layers.0.self_attn.qkv_proj.bias',
  ])
  t.equal(biased.of('MatMulNBits')[0].attributes.N, 64)
  t.equal(biased.parts('self_attn.qkv_proj.bias').length, 3)

  t.equal(layer('olmo2').of('Gemm').length, 6, 'norms of whole projections need q and k apart')
  t.same(layer('qwen3').of('PagedAttention')[0].inputs[2], '', "norms of heads are the op's")
  const { nodes } = readGraph(buildModel(baseOf('llama')).graph)
  t.equal(
    nodes.filter(({ op, outputs }) => op === 'Gemm' && outputs[0].startsWith('model.layers.0.')).length,
    7,
    'on the CPU none is',
  )
})

/** A constant's values. */
function constant({ initializers }: Graph, name: string | RegExp, dtype: TensorType): Float32Array {
  const tensor = initializers.find((one) => (typeof name === 'string' ? one.name === name : name.test(one.name)))
  if (!tensor) throw new Error(`no constant ${name}`)
  const values = new Float32Array(tensor.data.length / (dtype === 'float32' ? 4 : 2))
  decodeFloats(dtype, tensor.data, values)
  return values
}

t.test('factors in 16 bits', async (t) => {
  const gemma = readGraph(cuda(baseOf('gemma2'), { dtype: 'bfloat16' }).graph)
  const [ratio] = gemma.nodes.filter(({ outputs }) => outputs[0] === 'head.cap.ratio')
  t.equal(ratio.op, 'Div', 'the cap is a 16-bit number, its inverse is none')
  t.same([...constant(gemma, ratio.inputs[1], 'bfloat16')], [20])
  const scaled = gemma.nodes.find(({ outputs }) => outputs[0] === 'embedding.scaled')
  t.ok(Math.abs(constant(gemma, scaled!.inputs[1], 'bfloat16')[0] - Math.sqrt(32)) < 0.02, 'rounded, as transformers rounds it')

  const granite = readGraph(cuda(baseOf('granite'), { dtype: 'bfloat16' }).graph)
  t.same(
    granite.nodes.filter(({ outputs }) => /self_attn\.scaled|mlp\.scaled/.test(outputs[0])),
    [],
    'the residual factor is gone',
  )
  const cpu = readGraph(buildModel(baseOf('granite')).graph)
  const epsilon = (graph: Graph) =>
    Number(graph.nodes.find(({ op }) => op === 'SimplifiedLayerNormalization' || op === 'AddNorm')?.attributes.epsilon)
  const factor = (graph: Graph, dtype: TensorType) =>
    constant(graph, graph.nodes.find(({ outputs }) => outputs[0] === 'embedding.scaled')!.inputs[1], dtype)[0]
  const residual = constant(cpu, cpu.nodes.find(({ outputs }) => /self_attn\.scaled/.test(outputs[0]))!.inputs[1], 'float32')[0]
  t.ok(Math.abs((epsilon(granite) * residual ** 2) / epsilon(cpu) - 1) < 1e-5)
  t.ok(Math.abs((factor(granite, 'bfloat16') * residual) / factor(cpu, 'float32') - 1) < 2 ** -8)
})

t.test("Gemma's norm weights are w + 1, added before they are rounded", async (t) => {
  const folder = withHeadsOf16(t, 'gemma2', undefined, (tensors) => {
    tensors['model.norm.weight'] = floats([32], (i) => i / 1000)
  })
  const weights = constant(readGraph(cuda(folder, { dtype: 'float16' }).graph), 'model.norm.weight.offset', 'float16')
  t.ok(
    weights.every((w, i) => Math.abs(w - (1 + i / 1000)) <= 2 ** -11),
    String(weights),
  )
})

t.test('weights are converted to the type of the activations, and quantized ones named as such', async (t) => {
  const { initializers } = cuda(baseOf('llama'), { dtype: 'float16', quantization: 'int4' })
  const find = (name: string) => initializers.find((one) => one.name === name)
  t.match(find('lm_head.weight'), { dtype: 'float32', as: 'float16', quantize: undefined })
  t.match(find('model.layers.0.mlp.gate_up_proj.weight'), {
    as: 'float16',
    quantize: { bits: 4, block: 32, scales: 'model.layers.0.mlp.gate_up_proj.weight.scales' },
  })
  const { initializers: same } = cuda(baseOf('qwen2'), { dtype: 'bfloat16' })
  t.notOk(
    same.some((tensor) => 'as' in tensor),
    'a checkpoint of that type is taken as it lies',
  )
})

t.test('types: what is chosen and what is refused', async (t) => {
  const chosen = (family: string, options: BuildOptions = {}) => {
    const { dtype, cacheDtype } = cuda(baseOf(family), options)
    return [dtype, cacheDtype]
  }
  t.same(chosen('qwen2'), ['bfloat16', 'bfloat16'], "the checkpoint's")
  t.same(chosen('phi3'), ['float16', 'float16'])
  t.same(chosen('llama'), ['float16', 'float16'], 'of a float32 one')
  t.same(chosen('gemma2'), ['bfloat16', 'bfloat16'], 'whose activations do not fit float16')
  t.same(chosen('phi3', { cacheDtype: 'float8' }), ['float16', 'float8'])
  const refused = (options: BuildOptions, message: RegExp) =>
    t.throws(() => buildModel(baseOf('phi3'), options), { code: 'invalid_config', message })
  refused({ cacheDtype: 'float8' }, /--kv-cache-dtype fp8 needs --device cuda/)
  refused({ device: 'cuda', dtype: 'float32' }, /--dtype float32 needs --device cpu/)
  refused({ device: 'cuda', dtype: 'float16', cacheDtype: 'bfloat16' }, /kv-cache-dtype must be auto .float16, .* not bfloat16/)
})

t.test('scales of an 8-bit cache', async (t) => {
  const scales = (folder: string, cacheDtype: 'int8' | 'float8') => {
    const graph = readGraph(cuda(folder, { dtype: 'float16', cacheDtype }).graph)
    return ['k', 'v'].map((one) => constant(graph, `model.layers.1.self_attn.cache.${one}_scale`, 'float32')[0])
  }
  t.same(scales(baseOf('llama'), 'float8'), [1, 1], 'float8 without any')
  t.throws(() => scales(baseOf('llama'), 'int8'), {
    code: 'tensor_missing',
    message: /int8 KV cache needs .* model\.layers\.0\.self_attn\.k_scale/,
  })
  const made = (config: (json: Json) => void, tensors = withScales) => withHeadsOf16(t, 'llama', config, tensors)
  t.same(
    scales(
      made(() => {}),
      'float8',
    ),
    [0.25, 0.5],
  )
  t.same(
    scales(
      made(() => {}),
      'int8',
    ).map(Math.fround),
    [(0.25 * 448) / 127, (0.5 * 448) / 127].map(Math.fround),
    'made for float8',
  )
  const scheme = (type: string) => (json: Json) =>
    Object.assign(json, {
      quantization_config: { config_groups: {}, kv_cache_scheme: { num_bits: 8, type, symmetric: true } },
    })
  t.same(scales(made(scheme('int')), 'int8'), [0.25, 0.5], 'made for int8')
  const named = made(
    () => {},
    (tensors) => {
      for (let i = 0; i < 3; i++) {
        tensors[`model.layers.${i}.self_attn.k_proj.k_scale`] = floats([1], () => 2)
        tensors[`model.layers.${i}.self_attn.v_proj.output_scale`] = floats([1], () => 3)
      }
    },
  )
  t.same(scales(named, 'float8'), [2, 3], 'other names')
  const refused = (message: RegExp, tensors: (all: Tensors) => void, config: (json: Json) => void = () => {}) =>
    t.throws(() => scales(made(config, tensors), 'float8'), { message })
  refused(/k_scale is 0; a scale must be positive/, (all) => {
    all['model.layers.0.self_attn.k_scale'] = floats([1], () => 0)
  })
  refused(/k_scale has shape \[2\]; supported is one scale/, (all) => {
    all['model.layers.0.self_attn.k_scale'] = floats([2])
  })
  refused(/kv_cache_scheme is not supported: it must have 8 bits/, withScales, (json) =>
    Object.assign(json, { quantization_config: { kv_cache_scheme: { num_bits: 4, type: 'int' } } }),
  )
  refused(/quantization_config says that the weights are quantized: is not supported: of weights/, withScales, (json) =>
    Object.assign(json, {
      quantization_config: { config_groups: { group_0: {} }, kv_cache_scheme: { num_bits: 8, type: 'float' } },
    }),
  )
})

t.test('shapes that attention over pages does not take, and the block size it wants', async (t) => {
  t.throws(() => cuda(fixture('oracle/llama/base')), {
    code: 'unsupported_config',
    message: /head_dim is 8; on CUDA it must be a multiple of 16, 256 at most/,
  })
  const partial = (json: Json) =>
    Object.assign(json, { partial_rotary_factor: 0.5, rope_parameters: { partial_rotary_factor: 0.5 } })
  t.throws(() => cuda(withHeadsOf16(t, 'phi3', partial)), {
    message: /partial_rotary_factor rotates 8 channels; on CUDA it must be a multiple of 16/,
  })
  t.same([64, 96, 128, 256].map(defaultBlockSize), [256, 128, 128, 64])
})
