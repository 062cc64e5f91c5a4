/** `lorikeet check` beside `lorikeet serve`: it refuses the same in the same words, and says what the server then takes. */
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import t from 'tap'
import { check } from '../../../server/check/check.ts'
import { allServed, type CheckReport } from '../../../server/check/report.ts'
import { configOf } from '../../../server/config/config.ts'
import { serve } from '../../../server/serve.ts'
import type { AdapterRecord } from '../../../server/types.ts'
import { demoModel, fixture, readJson, temporaryFolder } from '../../support/repo.ts'
import { startServed } from '../../support/served.ts'
import { lorikeet, serving } from '../cli/running.ts'

const MIB = 1 << 20

type Settings = Parameters<typeof configOf>[0]

const checked = (settings: Settings = {}, hooks: Parameters<typeof check>[1] = {}) =>
  check(configOf({ device: 'cpu', ...settings }), hooks)

/** Adapters that are refused for reasons of all kinds, and two that are not. */
function brokenFolder(t: { teardown(handler: () => void): unknown }): string {
  const folder = temporaryFolder(t)
  const copy = (name: string, change: (directory: string) => void, from = 'pirate') => {
    const directory = path.join(folder, name)
    cpSync(demoModel('adapters', from), directory, { recursive: true })
    change(directory)
  }
  const config = (values: object) => (directory: string) => {
    const file = path.join(directory, 'adapter_config.json')
    writeFileSync(file, JSON.stringify({ ...readJson<object>(file), ...values }))
  }
  copy('fine', () => {})
  copy('dora', () => {}, 'headline')
  copy('hollow', (directory) => rmSync(path.join(directory, 'adapter_model.safetensors')))
  copy('method', config({ peft_type: 'OFT' }))
  copy('option', config({ use_qalora: true }))
  copy('rank', config({ r: 3 }))
  copy('cut', (directory) => {
    const file = path.join(directory, 'adapter_model.safetensors')
    writeFileSync(file, readFileSync(file).subarray(0, 5000))
  })
  copy('tokenizer', (directory) => writeFileSync(path.join(directory, 'tokenizer.json'), '{"model": {}}'))
  cpSync(fixture('oracle/llama/adapters/lora-r8-attn'), path.join(folder, 'other-base'), { recursive: true })
  return folder
}

t.test('adapters are refused by the server for the same reasons, in the same words', async (t) => {
  const folder = brokenFolder(t)
  const settings = { adapters: folder, 'max-lora-rank': 8 }
  const [whole, report] = [await checked(settings, { values: true }), await checked(settings)]
  t.equal(allServed(report), false)
  t.same(
    report.adapters.filter(({ served }) => served).map(({ name }) => name),
    ['dora', 'fine'],
  )
  t.same(
    whole.adapters.map(({ name, reason, code }) => [name, reason, code]),
    report.adapters.map(({ name, reason, code }) => [name, reason, code]),
  )
  const refused = report.adapters.filter(({ served }) => !served)
  t.equal(refused.length, 7)
  const told: string[] = []
  const onRefusal = ({ name, directory, detail }: AdapterRecord) => void told.push(`${name} ${directory} ${detail}`)
  const { preloaded } = await startServed(t, { device: 'cpu', ...settings }, { onRefusal })
  await preloaded
  t.same(told.sort(), refused.map(({ name, directory, reason }) => `${name} ${directory} ${reason}`).sort())
})

t.test('what a server takes is near what was said, and its metrics have the same sizes', async (t) => {
  const report = await checked({ pool: '96MiB', 'tokenizer-processes': 1 })
  t.equal(allServed(report), true)
  const memory = report.memory!
  // What tap loads into every process is none of the server's.
  const args = ['--device', 'cpu', '--pool', '96MiB', '--tokenizer-processes', '1']
  const { child, address } = await serving(t, args, {}, ['env', '-u', 'NODE_OPTIONS'])
  // Every block is used once: prompts that are all different stay in the prefix cache.
  const blocks = report.pool!.blocks
  const length = 1000
  const ask = async (i: number) => {
    const prompt = Array.from({ length }, (_, k) => 10 + ((i * 7919 + k * (k + i)) % 900))
    const response = await fetch(`${address}/v1/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ model: i % 10 === 0 ? 'pirate' : 'demo', prompt, max_tokens: 2 }),
    })
    t.equal(response.status, 200, await response.text())
  }
  const prompts = Math.ceil((blocks * report.pool!.blockSize) / length) + 2
  for (let first = 0; first < prompts; first += 8) await Promise.all(Array.from({ length: 8 }, (_, i) => ask(first + i)))
  const page = await (await fetch(`${address}/metrics`)).text()
  const metric = (name: string) => Number(new RegExp(`^${name}(?:\\{[^}]*\\})? (\\S+)$`, 'm').exec(page)?.[1])
  t.equal(metric('lorikeet_pool_block_bytes'), report.pool!.blockBytes)
  const host = page.split('\n').find((line) => line.startsWith('lorikeet_host_memory_bytes') && line.includes('"used"'))
  t.equal(
    Number(host?.split(' ').at(-1)),
    report.adapters.reduce((sum, { hostBytes = 0 }) => sum + hostBytes, 0),
  )
  const free = page.split('\n').find((line) => line.startsWith('lorikeet_pool_blocks') && line.includes('"free"'))
  t.ok(Number(free?.split(' ').at(-1)) < blocks / 20, 'the pool is full')
  const resident = residentBytes(child.pid!)
  const [least, most] = [0.7 * memory.total, 1.1 * memory.total]
  t.ok(resident > least && resident < most, `${resident / MIB} MiB, where ${memory.total / MIB} were said`)
})

function residentBytes(pid: number): number {
  const own = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').filter(Boolean)
  return Number(own?.[1]) * 1024 + children.reduce((sum, child) => sum + residentBytes(Number(child)), 0)
}

t.test('weights are said to the byte of what the weight cache keeps, but for its own page', async (t) => {
  for (const precision of [{ dtype: 'bfloat16' }, { dtype: 'float16' }, { quantization: 'int8' }, { quantization: 'int4' }]) {
    const cache = temporaryFolder(t)
    const report = await checked(precision)
    const { close } = await serve(configOf({ device: 'cpu', port: 0, 'weight-cache': cache, 'log-level': 'fatal', ...precision }))
    await close()
    const [file] = readdirSync(cache).filter((name) => name.endsWith('.weights'))
    const kept = statSync(path.join(cache, file)).size
    const difference = Math.abs(report.memory!.weights - kept)
    // Norms are no packed weights: the graph has them.
    t.ok(difference < 32 << 10, `${JSON.stringify(precision)}: ${report.memory!.weights} said, ${kept} kept`)
  }
})

t.test('models are refused as the server refuses them', async (t) => {
  const folder = temporaryFolder(t)
  cpSync(demoModel('base'), folder, { recursive: true })
  const config = readJson<object>(path.join(folder, 'config.json'))
  writeFileSync(path.join(folder, 'config.json'), JSON.stringify({ ...config, model_type: 'mamba' }))
  const model = demoModel('base')
  const wrong: Settings[] = [
    { model: folder },
    { model, 'max-model-len': 100_000 },
    { model, pool: '1KiB' },
    { model, 'kv-cache-dtype': 'fp8' },
  ]
  for (const settings of wrong) {
    const report = await checked(settings)
    t.equal(allServed(report), false)
    t.equal(report.model.served, false)
    t.notOk(report.memory)
    await t.rejects(serve(configOf({ device: 'cpu', port: 0, 'log-level': 'fatal', ...settings })), {
      message: report.model.reason as string,
    })
  }
})

t.test('what does not fit is not served', async (t) => {
  t.equal(allServed(await checked({ 'max-lora-rank': 4 })), false)
  t.equal(allServed(await checked({ 'host-memory': '1KiB' })), false, 'adapters that host memory cannot hold')
  const { memory } = await checked({ pool: '900GiB' })
  t.ok(memory!.total > memory!.limit)
  t.equal(memory!.fits, false)
  const { pool, adapters } = await checked({ pool: '2MiB' })
  t.equal(pool!.tokensBesideAll, null)
  t.ok(pool!.adapters > 0 && pool!.adapters < adapters.length, 'they take turns')
})

t.test('exit status: 0 all is served, 1 something is not, 2 wrong usage', async (t) => {
  const run = (...args: string[]) => lorikeet(['check', '--device', 'cpu', ...args]).ended
  t.equal((await run('--max-lora-rank', '4')).code, 1)
  t.equal((await run('--adapter', 'demo=/x')).code, 2, "the base's name")
  t.equal((await run('/no/such/folder')).code, 2)
  const { code, stderr } = await run('--jsn')
  t.equal(code, 2)
  t.match(stderr, 'unknown flag --jsn; did you mean --json?')
  const { code: fine, stdout } = await run('--json')
  t.equal(fine, 0)
  t.equal((JSON.parse(stdout) as CheckReport).adapters.length, 9)
})

t.test('it writes nothing, and people can read it', async (t) => {
  const folder = path.join(temporaryFolder(t), 'caches')
  mkdirSync(folder)
  const caches = ['--weight-cache', path.join(folder, 'weights'), '--image-cache', path.join(folder, 'images')]
  const { code, stdout } = await lorikeet(['check', '--device', 'cpu', ...caches]).ended
  t.equal(code, 0)
  t.same(readdirSync(folder), [])
  t.match(stdout, /^demo: served: llama, 3\.3 M parameters, on cpu in float32, float32 KV cache, 1,024 tokens of context\n/)
  t.match(stdout, 'adapters: 9 of 9 served')
  t.match(stdout, /headline +dora +rank 8/)
  t.match(stdout, /KV cache 4 KiB a token: 131,072 tokens without adapters/)
  t.match(stdout, /it fits/)
})
