/** Which device a configuration gets on machines with and without what CUDA needs. */
import t from 'tap'
import { configOf } from '../../../server/config/config.ts'
import { chooseDevice, describeDevice, type Machine } from '../../../server/config/device.ts'
import { ConfigError } from '../../../server/config/values.ts'

type Settings = Parameters<typeof configOf>[0]

const without = (...obstacles: string[]): Machine => ({ cudaObstacles: () => obstacles, hasGpu: () => false })
const plain = without('there is no NVIDIA driver', 'libcublas.so.13 is not found')
const gpu: Machine = { cudaObstacles: () => [], hasGpu: () => true }
const gpuNotSetUp: Machine = { cudaObstacles: () => ['the provider is not set up'], hasGpu: () => true }
const untouched: Machine = {
  cudaObstacles: () => {
    throw new Error('the machine was asked')
  },
  hasGpu: () => {
    throw new Error('the machine was asked')
  },
}

const choose = (settings: Settings, machine: Machine) => chooseDevice(configOf(settings), machine)

function complaint(settings: Settings, machine: Machine): string {
  try {
    choose(settings, machine)
  } catch (error) {
    if (error instanceof ConfigError) return error.message
    throw error
  }
  return 'none'
}

t.test('auto takes CUDA where nothing stands against it', async (t) => {
  t.same(choose({}, gpu), { device: 'cuda', obstacles: [], warnings: [] })
  t.same(choose({ dtype: 'bfloat16', 'kv-cache-dtype': 'fp8', 'enforce-eager': true }, gpu).device, 'cuda')
})

t.test('auto takes the CPU otherwise, quietly where there is no GPU', async (t) => {
  t.same(choose({}, plain), { device: 'cpu', obstacles: plain.cudaObstacles(), warnings: [] })
})

t.test('a GPU that cannot be used is warned about with the reasons', async (t) => {
  const { device, warnings } = choose({}, gpuNotSetUp)
  t.equal(device, 'cpu')
  t.equal(warnings.length, 1)
  t.match(warnings[0], /an NVIDIA GPU.*--device cpu if that is meant.*the provider is not set up/)
})

t.test('--device cpu asks nothing of the machine', async (t) => {
  t.same(choose({ device: 'cpu', quantization: 'int4' }, untouched), { device: 'cpu', obstacles: [], warnings: [] })
})

t.test('--device cuda lists everything that is missing, a line each', async (t) => {
  t.equal(choose({ device: 'cuda' }, gpu).device, 'cuda')
  t.equal(
    complaint({ device: 'cuda' }, plain),
    '--device cuda cannot be used here\n  - there is no NVIDIA driver\n  - libcublas.so.13 is not found',
  )
})

t.test('rank rows in int8 are the CPU alone', async (t) => {
  const { device, obstacles } = choose({ 'adapter-dtype': 'int8' }, gpu)
  t.equal(device, 'cpu')
  t.match(obstacles, [/--adapter-dtype int8/])
  t.match(
    complaint({ device: 'cuda', 'adapter-dtype': 'int8' }, gpu),
    /--device cuda cannot be used here\n.*--adapter-dtype int8/,
  )
  t.equal(choose({ device: 'cpu', 'adapter-dtype': 'int8' }, untouched).device, 'cpu')
})

t.test('float32 is the CPU alone', async (t) => {
  const { device, obstacles } = choose({ dtype: 'float32' }, gpu)
  t.equal(device, 'cpu')
  t.match(obstacles, [/--dtype float32/])
  t.match(complaint({ device: 'cuda', dtype: 'float32' }, gpu), /--dtype float32.*float16 or bfloat16/)
  t.match(
    complaint({ dtype: 'float32', 'kv-cache-dtype': 'fp8' }, gpu),
    /--kv-cache-dtype fp8: only on CUDA.*\n.*--dtype float32/,
  )
})

t.test('what only CUDA computes is refused on the CPU, whoever chose it', async (t) => {
  const settings = { 'kv-cache-dtype': 'fp8' } as const
  t.match(complaint(settings, plain), /^--kv-cache-dtype fp8: only on CUDA.*\n {2}- there is no NVIDIA driver/)
  t.match(complaint({ device: 'cpu', ...settings }, untouched), '--kv-cache-dtype fp8: only with --device cuda')
})

t.test('16-bit weights are had on either', async (t) => {
  for (const dtype of ['float16', 'bfloat16'] as const) {
    t.equal(choose({ dtype }, gpu).device, 'cuda')
    t.equal(choose({ dtype }, plain).device, 'cpu')
    t.same(choose({ device: 'cpu', dtype }, untouched), { device: 'cpu', obstacles: [], warnings: [] })
  }
})

t.test('what only sizes or speeds CUDA is refused with --device cpu, and has no effect where auto took the CPU', async (t) => {
  for (const [name, value] of Object.entries({ 'gpu-memory-utilization': 0.5, 'enforce-eager': true })) {
    t.match(complaint({ device: 'cpu', [name]: value }, untouched), `--${name}: only with --device cuda`)
    t.same(choose({ [name]: value }, plain).warnings, [`--${name} has no effect: it is for CUDA, and this is the CPU`])
    t.same(choose({ [name]: value }, gpu).warnings, [])
  }
  t.same(choose({ device: 'cpu', 'enforce-eager': false }, untouched).device, 'cpu', 'not asked for')
})

t.test('a pool size and a share of the memory are not both used', async (t) => {
  t.match(choose({ pool: '8GiB', 'gpu-memory-utilization': 0.5 }, gpu).warnings, [
    /--gpu-memory-utilization has no effect: --pool/,
  ])
  t.same(choose({ pool: '8GiB' }, gpu).warnings, [])
  t.match(choose({ 'weight-cache': '/w' }, gpu).warnings, [/--weight-cache has no effect/])
  t.same(choose({ 'weight-cache': '/w' }, plain).warnings, [])
})

t.test('the device in one line', async (t) => {
  const h100 = { device: 'cuda', deviceName: 'NVIDIA H100 80GB HBM3', dtype: 'bfloat16' } as const
  t.equal(describeDevice({ ...h100, cacheDtype: 'bfloat16' }, 'none'), 'cuda (NVIDIA H100 80GB HBM3), bfloat16')
  t.equal(
    describeDevice({ ...h100, cacheDtype: 'float8' }, 'int4'),
    'cuda (NVIDIA H100 80GB HBM3), bfloat16, int4 weights, fp8 KV cache',
  )
  const cpu = { device: 'cpu', deviceName: 'avx512', dtype: 'float32', cacheDtype: 'float32' } as const
  t.equal(describeDevice(cpu, 'int8'), 'cpu (avx512), float32, int8 weights')
  t.equal(describeDevice({ ...cpu, dtype: 'bfloat16' }, 'none'), 'cpu (avx512), bfloat16, float32 KV cache')
})
