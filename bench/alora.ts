/**
 * A chat of eight turns on the 135M-parameter shape in which the base answers and an adapter checks every turn, once as an activated LoRA and once as the LoRA of the same weights:
 * prompt tokens that the checks compute, and how long they take. `node dist/bench/alora.js [--turns 8] [--user 60] [--answer 40] [--rounds 3]`
 */
import { linkSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { parseArgs } from 'node:util'
import { loadAdapter } from '../adapters-store/index.ts'
import { startEngine } from '../runtime/index.ts'
import { buildModel } from '../runtime/model/index.ts'
import { ask } from '../test/support/ask.ts'
import { model135m } from './model135m.ts'
import { against, heading, median, table } from './report.ts'

const { values } = parseArgs({
  options: {
    turns: { type: 'string', default: '8' },
    system: { type: 'string', default: '120' },
    user: { type: 'string', default: '60' },
    answer: { type: 'string', default: '40' },
    rounds: { type: 'string', default: '3' },
  },
})
const number = (name: keyof typeof values) => Number(values[name])
const [turns, system, user] = [number('turns'), number('system'), number('user')]
const [answer, rounds] = [number('answer'), number('rounds')]
/** As long as IBM's `<|start_of_role|>check_requirement<|end_of_role|>` is in tokens. */
const INVOCATION = [901, 902, 903, 904, 905]
const VERDICT = 4
const BLOCK_SIZE = 16

/** The adapter at `from`, under another name and with other settings. */
function variant(folder: string, name: string, from: string, settings: object): string {
  const made = path.join(folder, name)
  mkdirSync(made)
  const config = JSON.parse(readFileSync(path.join(from, 'adapter_config.json'), 'utf8'))
  writeFileSync(path.join(made, 'adapter_config.json'), JSON.stringify({ ...config, ...settings }))
  const weights = 'adapter_model.safetensors'
  try {
    linkSync(path.join(from, weights), path.join(made, weights))
  } catch {
    // Another file system.
    writeFileSync(path.join(made, weights), readFileSync(path.join(from, weights)))
  }
  return made
}

interface Run {
  /** Of the checks: prompt tokens, and those of them that were computed, as the engine counts them. */
  prompt: number
  computed: number
  /** Of the checks' answers. */
  ms: number
}

async function chat(adapterFolder: string): Promise<Run> {
  const model = model135m(1)
  const engine = await startEngine({
    modelDir: model.directory,
    device: 'cpu',
    dtype: 'float32',
    adapterDtype: 'float16',
    poolBytes: 1 << 30,
    blockSize: BLOCK_SIZE,
    maxBatchTokens: 512,
    maxSequences: 4,
    threads: 2,
    prefixCache: true,
  })
  try {
    const { blockBytes, frameBytes } = engine.info
    const image = loadAdapter('check', adapterFolder, buildModel(model.directory).base, {
      dtype: 'float16',
      blockBytes,
      frameBytes,
    })
    engine.addAdapter(image)
    const adapters = [{ name: 'check', digest: image.digest, weight: 1 }]
    let next = 1000
    const word = () => {
      next = (next * 7919 + 13) % 40_000
      return next + 1000
    }
    const words = (n: number) => Array.from({ length: n }, word)
    const conversation = words(system)
    const run = { prompt: 0, computed: 0, ms: 0 }
    for (let turn = 0; turn < turns; turn++) {
      conversation.push(...words(user))
      conversation.push(...(await ask(engine, [...conversation], { maxTokens: answer })).tokens)
      await engine.idle()
      const before = engine.snapshot.counters.promptTokens
      const started = performance.now()
      const prompt = [...conversation, ...INVOCATION]
      await ask(engine, prompt, { maxTokens: VERDICT }, adapters)
      run.ms += performance.now() - started
      await engine.idle()
      run.prompt += prompt.length
      run.computed += engine.snapshot.counters.promptTokens - before
    }
    return run
  } finally {
    await engine.close()
  }
}

const folder = mkdtempSync(path.join(tmpdir(), 'lorikeet-alora-'))
try {
  const model = model135m(1)
  const from = path.join(model.adapters, model.names[0])
  const kinds = {
    LoRA: variant(folder, 'lora', from, {}),
    aLoRA: variant(folder, 'alora', from, { alora_invocation_tokens: INVOCATION }),
  }
  const runs: Record<string, Run[]> = { LoRA: [], aLoRA: [] }
  for (let round = 0; round < rounds; round++)
    for (const [kind, adapter] of Object.entries(kinds)) runs[kind].push(await chat(adapter))
  console.log(heading(`Checks in a chat of ${turns} turns: ${system} tokens first, ${user} + ${answer} a turn`))
  const rows = Object.entries(runs).map(([kind, of]) => {
    const [{ prompt, computed }] = of
    return [kind, prompt, computed, Math.round(median(of.map(({ ms }) => ms)) / turns)]
  })
  console.log(table(['check', 'prompt tokens', 'computed', 'ms a check'], rows))
  const ratio = runs.aLoRA[0].computed / runs.LoRA[0].computed
  console.log(`\n${against(`prompt tokens computed ≤ 15 % of what LoRA computes: ${(100 * ratio).toFixed(1)} %`, ratio <= 0.15)}`)
  if (ratio > 0.15) process.exitCode = 1
} finally {
  rmSync(folder, { recursive: true, force: true })
}
