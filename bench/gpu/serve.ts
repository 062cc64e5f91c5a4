/**
 * Tokens a second of the whole server over HTTP: `--rows` clients on as many adapters at once, streaming, for each set of adapters (make_model.py's prefixes), and
 * the same on the base alone; bench/gpu/targets.py sets it against what hf_peft.py measured with the same numbers.
 * `node dist/bench/gpu/serve.js --model DIR/base --adapters DIR/adapters --sets attention-r16,all-r16 [--rows 32] [--prompt 64] [--new 64] [--rounds 3]
 * [--device cpu]`
 */
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { streamAll, type Timed } from '../clients.ts'
import { median, quantile } from '../report.ts'
import { readArgs } from './args.ts'
import { promptOf } from './engine.ts'
import { startServer } from './server.ts'
import { adaptersNamed, MODULES, type Modules } from './variants.ts'

const { device, results, values } = readArgs({
  model: '',
  adapters: '',
  sets: 'attention-r16,all-r16',
  rows: '32',
  prompt: '64',
  new: '64',
  rounds: '3',
  dtype: 'bfloat16',
})
const rows = Number(values.rows)
const newTokens = Number(values.new)
const sets = values.sets.split(',').map((set) => {
  const names = adaptersNamed(values.adapters, set).slice(0, rows)
  if (names.length < rows) throw new Error(`${values.adapters} holds ${names.length} adapters ${set}; ${rows} are needed`)
  return { set, modules: set.split('-')[0] as Modules, names, speeds: [] as number[], answers: [] as Timed[] }
})
const vocabulary = (JSON.parse(readFileSync(path.join(values.model, 'config.json'), 'utf8')) as { vocab_size: number }).vocab_size

const server = await startServer(values.model, device, {
  adapters: values.adapters,
  'max-model-len': Number(values.prompt) + newTokens + 8,
  ...(device === 'cuda' && { dtype: values.dtype, 'max-batch-tokens': 2048 }),
})
const base = { set: 'base', names: Array.from({ length: rows }, () => 'base'), speeds: [] as number[], answers: [] as Timed[] }
const kinds = [...sets, base]
try {
  for (let round = -1; round < Number(values.rounds); round++)
    for (const [k, kind] of kinds.entries()) {
      // New prompts every time, so that no prefix cache answers for anybody.
      const asks = kind.names.map((model, i) => ({
        model,
        prompt: promptOf(((round + 2) * kinds.length + k) * 1000 + i, Number(values.prompt), vocabulary),
        maxTokens: newTokens,
      }))
      const done = await streamAll(server.url, asks)
      if (round < 0) continue // adapters come into the pool, graphs are captured
      kind.speeds.push((rows * newTokens) / done.seconds)
      kind.answers.push(...done.answers)
    }
} finally {
  await server.close()
}
const alone = median(base.speeds)
results.number('work', { device, rows, prompt: Number(values.prompt), new: newTokens, loadSeconds: server.loadSeconds })
for (const { modules, speeds, answers } of sets) {
  const mixed = median(speeds)
  const first = answers.map((one) => one.firstToken)
  const between = answers.flatMap((one) => one.between)
  const at = (times: number[]) => [0.5, 0.99].map((q) => quantile(times, q))
  results.number(`tokens_per_s ${modules}`, { mixed, base: alone, firstTokenMs: at(first), betweenMs: at(between) })
  const latency = `first token ${at(first)[0].toFixed(0)} ms (p99 ${at(first)[1].toFixed(0)}), between ${at(between)[0].toFixed(1)} ms (p99 ${at(between)[1].toFixed(1)})`
  results.row(
    `server, ${rows} clients and adapters, ${MODULES[modules]}`,
    'ok',
    `${mixed.toFixed(0)} tokens/s, ${(mixed / alone).toFixed(2)} × base alone; ${latency}`,
  )
}
