import { readFileSync } from 'node:fs'
import path from 'node:path'
import t from 'tap'
import type { Engine, EngineSnapshot } from '../../../runtime/index.ts'
import { ServerMetrics } from '../../../server/metrics/metrics.ts'
import { VERSION } from '../../../server/version.ts'
import { notLoaded, testRegistry } from '../../support/registry.ts'
import { repoRoot } from '../../support/repo.ts'

/** An engine as the metrics see it: sizes, and a snapshot that the test changes. */
function engine() {
  const snapshot: EngineSnapshot = {
    step: 9,
    running: 3,
    waiting: 4,
    blocks: { total: 100, free: 50, sequences: 20, adapters: 20, idleAdapters: 5, cachedPrefixes: 10 },
    frames: { used: 30, free: 16 },
    residentAdapters: 2,
    counters: {
      promptTokens: 11,
      generationTokens: 12,
      cachedTokens: 13,
      prefixQueries: 14,
      prefixHits: 15,
      preemptions: 16,
      adapterLoads: 17,
      prefetchedLoads: 7,
      adapterEvictions: 18,
      repackedEvictions: 5,
      removedEvictions: 3,
      prefixEvictions: 19,
      steps: 20,
      failedSteps: 21,
      lateMasks: 22,
      lateForRoom: 23,
      lateForTime: 24,
      drafts: 25,
      draftTokens: 26,
      acceptedTokens: 27,
    },
    acceptedAt: [18, 7],
    lastStep: { tokens: 40, sequences: 3, scheduleMs: 0.3, runMs: 30, sampleMs: 3 },
  }
  const sizes = { blockSize: 16, blockCount: 100, blockBytes: 4096, frameBytes: 512 }
  const device = { device: 'cuda', deviceName: 'NVIDIA "A"', dtype: 'bfloat16', cacheDtype: 'float8', adapterDtype: 'bfloat16' }
  const residents = new Map(
    ['pirate', 'json'].map((name) => [`digest of ${name}`, { names: [name], digest: `digest of ${name}`, bytes: 8 * 4096 }]),
  )
  const waiting = ['quiz', 'robot']
  const running = { info: { ...sizes, ...device }, snapshot, residents, waitingAdapters: () => waiting } as unknown as Engine
  return { engine: running, residents, waiting }
}

interface Sample {
  name: string
  labels: Record<string, string>
  value: number
}

function samples(page: string): Sample[] {
  return [...page.matchAll(/^([a-zA-Z0-9_:]+)(?:\{(.*)\})? (\S+)$/gm)].map(([, name, labels, value]) => ({
    name,
    labels: Object.fromEntries([...(labels ?? '').matchAll(/(\w+)="([^"]*)"/g)].map(([, key, text]) => [key, text])),
    value: Number(value),
  }))
}

const types = (page: string) =>
  Object.fromEntries([...page.matchAll(/^# TYPE (\S+) (\S+)$/gm)].map(([, name, type]) => [name, type]))

/** The only sample of that name with these labels. */
function one(all: Sample[], name: string, labels: Record<string, string> = {}): number | undefined {
  const found = all.filter((s) => s.name === name && Object.entries(labels).every(([key, value]) => s.labels[key] === value))
  return found.length === 1 ? found[0].value : undefined
}

t.test("vLLM's gauges and counters are read off the snapshot", async (t) => {
  const all = samples(await new ServerMetrics(engine().engine, 'demo', testRegistry(notLoaded)).render(true))
  const labels = { model_name: 'demo', engine: '0' }
  t.equal(one(all, 'vllm:num_requests_running', labels), 3)
  t.equal(one(all, 'vllm:num_requests_waiting', labels), 4)
  t.equal(one(all, 'vllm:kv_cache_usage_perc', labels), 0.35, 'what is idle can be had back at once')
  t.equal(one(all, 'vllm:cache_config_info', { ...labels, block_size: '16', num_gpu_blocks: '100' }), 1)
  const counters = {
    prompt_tokens: 11,
    generation_tokens: 12,
    prompt_tokens_cached: 13,
    prefix_cache_queries: 14,
    prefix_cache_hits: 15,
  }
  for (const [name, value] of Object.entries(counters)) t.equal(one(all, `vllm:${name}_total`, labels), value, name)
  t.equal(one(all, 'vllm:num_preemptions_total', labels), 16)
  const drafts = { num_drafts: 25, num_draft_tokens: 26, num_accepted_tokens: 27 }
  for (const [name, value] of Object.entries(drafts)) t.equal(one(all, `vllm:spec_decode_${name}_total`, labels), value, name)
  const at = 'vllm:spec_decode_num_accepted_tokens_per_pos_total'
  t.equal(one(all, at, { ...labels, position: '0' }), 18)
  t.equal(one(all, at, { ...labels, position: '1' }), 7)
})

t.test('gateways see exactly one series of adapters, with the resident ones as running', async (t) => {
  const { engine: running, residents, waiting } = engine()
  const metrics = new ServerMetrics(running, 'demo', testRegistry(notLoaded))
  const series = async () => samples(await metrics.render(true)).filter(({ name }) => name === 'vllm:lora_requests_info')
  const before = Date.now() / 1000
  const [first, ...others] = await series()
  t.equal(others.length, 0)
  // The two take 20 of 100 blocks, but for 16 frames, which are two blocks.
  t.match(first.labels, { max_lora: '11', running_lora_adapters: 'json,pirate', waiting_lora_adapters: 'quiz,robot' })
  t.ok(first.value >= before && first.value <= Date.now() / 1000)
  residents.clear()
  waiting.length = 0
  const later = await series()
  t.equal(later.length, 1, 'the old series is gone')
  t.match(later[0].labels, { running_lora_adapters: '', waiting_lora_adapters: '' })
})

t.test('what the model runs on and in', async (t) => {
  const page = await new ServerMetrics(engine().engine, 'demo', testRegistry(notLoaded), { quantization: 'int4' }).render(true)
  const line = page.split('\n').find((text) => text.startsWith('lorikeet_engine_info{'))
  t.equal(
    line,
    'lorikeet_engine_info{model_name="demo",engine="0",device="cuda",device_name="NVIDIA \\"A\\"",dtype="bfloat16",cache_dtype="float8",' +
      `adapter_dtype="bfloat16",quantization="int4",version="${VERSION}"} 1`,
  )
})

t.test('the pool by what its blocks hold', async (t) => {
  const all = samples(await new ServerMetrics(engine().engine, 'demo', testRegistry(notLoaded)).render(true))
  const states = { free: 50, sequences: 20, adapters: 15, idle_adapters: 5, cached_prefixes: 10 }
  for (const [state, blocks] of Object.entries(states)) t.equal(one(all, 'lorikeet_pool_blocks', { state }), blocks, state)
  t.equal(one(all, 'lorikeet_pool_block_bytes'), 4096)
  t.equal(one(all, 'lorikeet_resident_adapters'), 2)
  t.equal(one(all, 'lorikeet_adapter_loads_total', { reason: 'request' }), 10)
  t.equal(one(all, 'lorikeet_adapter_loads_total', { reason: 'prefetch' }), 7)
  for (const [reason, count] of Object.entries({ room: 13, shared_frames: 5, removed: 3 }))
    t.equal(one(all, 'lorikeet_adapter_evictions_total', { reason }), count, reason)
  t.equal(one(all, 'lorikeet_prefix_evictions_total'), 19)
  t.equal(one(all, 'lorikeet_failed_steps_total'), 21)
  t.equal(one(all, 'lorikeet_early_aborts_total', { reason: 'room' }), 23)
  t.equal(one(all, 'lorikeet_early_aborts_total', { reason: 'time' }), 24)
})

t.test('requests fill the histograms', async (t) => {
  const metrics = new ServerMetrics(engine().engine, 'demo', testRegistry(notLoaded))
  metrics.firstToken(0.03)
  metrics.interToken(0.02)
  const counts = { promptTokens: 7, generationTokens: 5, maxTokens: 16 }
  metrics.finished({
    finishReason: 'stop',
    ...counts,
    e2e: 0.5,
    queue: 0.1,
    prefill: 0.1,
    decode: 0.3,
    inference: 0.4,
    timePerOutputToken: 0.075,
  })
  metrics.finished({ finishReason: 'abort', ...counts, e2e: 0.1 })
  const all = samples(await metrics.render(true))
  t.equal(one(all, 'vllm:request_success_total', { finished_reason: 'stop' }), 1)
  t.equal(one(all, 'vllm:request_success_total', { finished_reason: 'abort' }), 1)
  t.equal(one(all, 'vllm:request_success_total', { finished_reason: 'length' }), 0, 'series are there from the start')
  t.equal(one(all, 'vllm:time_to_first_token_seconds_bucket', { le: '0.02' }), 0)
  t.equal(one(all, 'vllm:time_to_first_token_seconds_bucket', { le: '0.04' }), 1)
  t.equal(one(all, 'vllm:e2e_request_latency_seconds_count'), 2)
  t.equal(one(all, 'vllm:request_queue_time_seconds_count'), 1, 'a request that never ran has no queue time')
  t.equal(one(all, 'vllm:request_prompt_tokens_sum'), 14)
})

t.test('every step is counted', async (t) => {
  const { engine: running } = engine()
  const metrics = new ServerMetrics(running, 'demo', testRegistry(notLoaded))
  metrics.stepped(running.snapshot.lastStep)
  metrics.stepped(running.snapshot.lastStep)
  const all = samples(await metrics.render(true))
  t.equal(one(all, 'vllm:iteration_tokens_total_count'), 2)
  t.equal(one(all, 'vllm:iteration_tokens_total_sum'), 80)
  t.equal(one(all, 'lorikeet_step_seconds_count', { part: 'run' }), 2)
  t.equal(one(all, 'lorikeet_step_seconds_sum', { part: 'run' }), 0.06)
})

t.test('the page names those that were used last, of more adapters than it may tell', async (t) => {
  const { engine: running } = engine()
  const { registry, memory } = testRegistry(notLoaded)
  const names = Array.from({ length: 2000 }, (_, i) => `tenant-${String(i).padStart(4, '0')}`)
  ;(running as { residents: unknown }).residents = new Map(names.map((name) => [name, { names: [name] }]))
  ;(running as { waitingAdapters: unknown }).waitingAdapters = () => names
  for (const [i, name] of names.entries()) registry.enter(name, `/adapters/${name}`).lastUse = i === 7 ? 5000 : i
  const label = async (most: number, which = 'running') => {
    const page = await new ServerMetrics(running, 'demo', { registry, memory }, { metricsAdapters: most }).render(true)
    const value = new RegExp(`${which}_lora_adapters="([^"]*)"`).exec(page)?.[1] ?? 'none'
    return { value, bytes: Buffer.byteLength(page) }
  }
  t.equal((await label(3)).value, 'tenant-0007,tenant-1998,tenant-1999')
  t.equal((await label(3, 'waiting')).value, 'tenant-0007,tenant-1998,tenant-1999')
  t.equal((await label(0)).value, '')
  t.equal((await label(2000)).value.split(',').length, 2000)
  // Names of the longest kind: three bytes a character.
  const long = names.map((_, i) => `${'漢'.repeat(252)}${String(i).padStart(4, '0')}`)
  ;(running as { residents: unknown }).residents = new Map(long.map((name) => [name, { names: [name] }]))
  const longest = await label(2000)
  t.ok(longest.value.split(',').length > 20)
  t.ok(longest.bytes < 100_000, `${longest.bytes} bytes`)
})

t.test('docs/metrics.md lists exactly the metrics of the page, with their types', async (t) => {
  const page = types(await new ServerMetrics(engine().engine, 'demo', testRegistry(notLoaded)).render(true))
  const documented = readFileSync(path.join(repoRoot(), 'docs/metrics.md'), 'utf8')
  const rows = [...documented.matchAll(/^\| `(\S+?)(?:\{[^`]*)?` \| (gauge|counter|histogram) \|/gm)].map(([, name, type]) => [
    name,
    type,
  ])
  const ours = Object.entries(page).filter(([name]) => /^(vllm:|lorikeet_)/.test(name))
  t.same(Object.fromEntries(rows), Object.fromEntries(ours))
  t.ok(page.process_resident_memory_bytes, "the process's own are there too")
  t.same(
    Object.keys(page).filter((name) => name.startsWith('nodejs_active_')),
    [],
    'none that walks every handle: watched folders and connections are thousands',
  )
})
