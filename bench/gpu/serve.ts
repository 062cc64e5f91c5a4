/**
 * Tokens a second of the whole server over HTTP: `--rows` clients on as many adapters at once, streaming, and the same on the base alone; bench/gpu/ratio.py sets it
 * against what hf_peft.py measured with the same numbers.
 * `node dist/bench/gpu/serve.js --model DIR/base --adapters DIR/r16 [--rows 32] [--prompt 64] [--new 64] [--rounds 3] [--device cpu]`
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { streamAll, type Timed } from '../clients.ts'
import { median, quantile } from '../report.ts'
import { readArgs } from './args.ts'
import { promptOf } from './engine.ts'
import { startServer } from './server.ts'

const { device, results, values } = readArgs({
  model: '',
  adapters: '',
  rows: '32',
  prompt: '64',
  new: '64',
  rounds: '3',
  dtype: 'bfloat16',
})
const rows = Number(values.rows)
const newTokens = Number(values.new)
const names = readdirSync(values.adapters)
  .filter((name) => existsSync(path.join(values.adapters, name, 'adapter_config.json')))
  .sort()
  .slice(0, rows)
if (names.length < rows) throw new Error(`${values.adapters} holds ${names.length} adapters; ${rows} are needed`)
const vocabulary = (JSON.parse(readFileSync(path.join(values.model, 'config.json'), 'utf8')) as { vocab_size: number }).vocab_size

const server = await startServer(values.model, device, {
  adapters: values.adapters,
  'max-model-len': Number(values.prompt) + newTokens + 8,
  ...(device === 'cuda' && { dtype: values.dtype, 'max-batch-tokens': 2048 }),
})
const speeds: Record<'mixed' | 'base', number[]> = { mixed: [], base: [] }
const answers: Timed[] = []
try {
  for (let round = -1; round < Number(values.rounds); round++)
    for (const kind of ['mixed', 'base'] as const) {
      // New prompts every time, so that no prefix cache answers for anybody.
      const asks = names.map((name, i) => ({
        model: kind === 'mixed' ? name : 'base',
        prompt: promptOf((round + 2) * 1000 + i + (kind === 'base' ? 500 : 0), Number(values.prompt), vocabulary),
        maxTokens: newTokens,
      }))
      const done = await streamAll(server.url, asks)
      if (round < 0) continue // adapters come into the pool, graphs are captured
      speeds[kind].push((rows * newTokens) / done.seconds)
      if (kind === 'mixed') answers.push(...done.answers)
    }
} finally {
  await server.close()
}
const mixed = median(speeds.mixed)
const base = median(speeds.base)
const first = answers.map((one) => one.firstToken)
const between = answers.flatMap((one) => one.between)
results.number('tokens_per_s', {
  device,
  mixed,
  base,
  rows,
  prompt: Number(values.prompt),
  new: newTokens,
  loadSeconds: server.loadSeconds,
})
results.number('ms', {
  firstToken: [0.5, 0.99].map((q) => quantile(first, q)),
  between: [0.5, 0.99].map((q) => quantile(between, q)),
})
const latency = `first token ${quantile(first, 0.5).toFixed(0)} ms (p99 ${quantile(first, 0.99).toFixed(0)}), between ${quantile(between, 0.5).toFixed(1)} ms (p99 ${quantile(between, 0.99).toFixed(1)})`
results.row(
  `server, ${rows} clients on ${rows} adapters`,
  'ok',
  `${mixed.toFixed(0)} tokens/s, ${(mixed / base).toFixed(2)} × base alone; ${latency}`,
)
