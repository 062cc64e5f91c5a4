/** What the engine is started with, by device. */
import { existsSync } from 'node:fs'
import path from 'node:path'
import t from 'tap'
import { configOf } from '../../../server/config/config.ts'
import { engineSettings } from '../../../server/config/engine-settings.ts'
import { temporaryFolder } from '../../support/repo.ts'

type Settings = Parameters<typeof configOf>[0]

const settingsOn = (device: 'cpu' | 'cuda', settings: Settings = {}) => engineSettings(configOf(settings), device, '/m')

t.test('defaults on the CPU', async (t) => {
  const { threads, ...settings } = settingsOn('cpu')
  t.ok(threads >= 1)
  t.same(settings, {
    modelDir: '/m',
    device: 'cpu',
    dtype: 'auto',
    adapterDtype: 'auto',
    cacheDtype: 'auto',
    quantization: undefined,
    weightCache: undefined,
    poolBytes: 512 * 2 ** 20,
    memoryFraction: undefined,
    blockSize: 16,
    leastFrameBytes: 65536,
    maxBatchTokens: 256,
    longPrefillTokens: 0,
    maxStepMs: 120,
    fair: false,
    adapterCluster: 0,
    maxSequences: 128,
    maxModelLen: undefined,
    extraTokens: 256,
    prefixCache: true,
    asyncScheduling: undefined,
    captureGraphs: undefined,
  })
})

t.test('defaults on CUDA: the pool and its blocks are left to the engine', async (t) => {
  t.match(settingsOn('cuda'), {
    device: 'cuda',
    dtype: 'auto',
    poolBytes: undefined,
    memoryFraction: 0.9,
    blockSize: undefined,
    maxBatchTokens: 2048,
    maxSequences: 256,
    captureGraphs: true,
  })
})

t.test("the weight cache's folder is made, and refused where it cannot be", async (t) => {
  const folder = path.join(temporaryFolder(t), 'a/b')
  t.same(settingsOn('cpu', { 'weight-cache': folder, 'weight-cache-size': '1GiB' }).weightCache, {
    directory: folder,
    maxBytes: 2 ** 30,
  })
  t.ok(existsSync(folder))
  t.throws(() => settingsOn('cpu', { 'weight-cache': '/proc/none' }), /^the weight cache cannot be used: /)
})

t.test('what is given holds on either device', async (t) => {
  const given = {
    pool: '1GiB',
    'block-size': 64,
    'adapter-frame-size': '8KiB',
    'max-batch-tokens': 33,
    'max-sequences': 4,
    'max-model-len': 99,
    'max-extra-tokens': 3,
    threads: 3,
    'long-prefill-token-threshold': 5,
    'async-scheduling': 'on',
  }
  const expected = {
    poolBytes: 2 ** 30,
    blockSize: 64,
    leastFrameBytes: 8192,
    maxBatchTokens: 33,
    maxSequences: 4,
    maxModelLen: 99,
    extraTokens: 3,
    threads: 3,
    longPrefillTokens: 5,
    asyncScheduling: true,
  }
  for (const device of ['cpu', 'cuda'] as const) {
    t.match(settingsOn(device, given), expected)
    t.match(settingsOn(device, { quantization: 'int4', 'prefix-cache': false }), { quantization: 'int4', prefixCache: false })
  }
})

t.test("vLLM's names for what CUDA does", async (t) => {
  t.match(settingsOn('cuda', { dtype: 'half', 'kv-cache-dtype': 'fp8', 'gpu-memory-utilization': 0.5, 'enforce-eager': true }), {
    dtype: 'float16',
    cacheDtype: 'float8',
    memoryFraction: 0.5,
    captureGraphs: false,
  })
  t.equal(settingsOn('cuda', { 'kv-cache-dtype': 'int8' }).cacheDtype, 'int8')
})
