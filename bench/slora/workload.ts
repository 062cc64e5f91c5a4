/** What S-LoRA's evaluation asks of a server: its traces, adapters of its ranks, and the shapes of model that this machine can serve. */
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { demoModel, repoRoot } from '../../test/support/repo.ts'
import { model135m, writeRandom } from '../model135m.ts'
import type { TraceRequest } from '../open-loop.ts'

/** Of its settings S2: adapters have these in turn. */
export const RANKS = [8, 16, 32, 64]

export interface Shape {
  name: 'demo' | '135m'
  /** Folder of the base model. */
  base: string
  vocabulary: number
  /** Tokens of prompts and of answers: from the first to below the second. */
  lengths: [number, number]
  /** As `--pool` and `--host-memory`. */
  pool: string
  hostMemory: string
  /** Requests at once that the capacity is measured with. */
  atOnce: number
  /** A first token within so many milliseconds counts as good: some forty steps, as the paper's 6 s are on its GPUs. */
  sloMs: number
}

/** The shape of a name, with its model made where it is missing. Throws for a name that is neither. */
export function shapeOf(name: string): Shape {
  if (name !== 'demo' && name !== '135m') throw new Error(`--model is demo or 135m, not ${name}`)
  const base = name === 'demo' ? demoModel('base') : model135m(1).directory
  const vocabulary = configOf(base).vocab_size
  if (name === 'demo')
    return { name, base, vocabulary, lengths: [8, 128], pool: '256MiB', hostMemory: '8GiB', atOnce: 200, sloMs: 500 }
  return { name, base, vocabulary, lengths: [8, 64], pool: '768MiB', hostMemory: '4GiB', atOnce: 60, sloMs: 3000 }
}

const configOf = (folder: string) => JSON.parse(readFileSync(path.join(folder, 'config.json'), 'utf8'))

/** A folder with a random adapter of a rank on q, k, v and o, made once. */
export function adapterOf({ name: shape, base }: Shape, rank: number): string {
  const folder = path.join(repoRoot(), 'build/bench/slora', `${shape}-r${rank}`)
  if (existsSync(path.join(folder, 'adapter_config.json'))) return folder
  mkdirSync(folder, { recursive: true })
  const config = configOf(base)
  const { hidden_size: hidden, num_attention_heads: heads, num_key_value_heads: kvHeads, num_hidden_layers: layers } = config
  const headDim = config.head_dim ?? hidden / heads
  const shapes: [string, number, number][] = [
    ['q_proj', hidden, heads * headDim],
    ['k_proj', hidden, kvHeads * headDim],
    ['v_proj', hidden, kvHeads * headDim],
    ['o_proj', heads * headDim, hidden],
  ]
  const tensors = Array.from({ length: layers }, (_, layer) =>
    shapes.flatMap(([name, inputs, outputs]) => {
      const module = `base_model.model.model.layers.${layer}.self_attn.${name}`
      return [
        { name: `${module}.lora_A.weight`, shape: [rank, inputs], deviation: inputs ** -0.5 },
        { name: `${module}.lora_B.weight`, shape: [outputs, rank], deviation: 0.02 },
      ]
    }),
  ).flat()
  writeRandom(path.join(folder, 'adapter_model.safetensors'), tensors, 'F16', 7000 + rank)
  const target_modules = shapes.map(([name]) => name)
  const adapter = {
    peft_type: 'LORA',
    task_type: 'CAUSAL_LM',
    r: rank,
    lora_alpha: rank,
    lora_dropout: 0,
    bias: 'none',
    target_modules,
  }
  // Last: the folder is whole once this is there.
  writeFileSync(path.join(folder, 'adapter_config.json'), JSON.stringify(adapter))
  return folder
}

export interface TraceOptions {
  adapters: number
  /** Requests a second, and seconds. */
  rate: number
  duration: number
  /** Of the power law: 1 is uniform, 0.1 very skewed. */
  alpha: number
  cv: number
  lengths: [number, number]
}

/** Drawn by the paper's own generator (python3 with numpy). */
export function traceOf({ lengths, ...options }: TraceOptions): TraceRequest[] {
  const file = path.join(repoRoot(), `build/bench/slora/trace-${process.pid}.json`)
  mkdirSync(path.dirname(file), { recursive: true })
  const flags = Object.entries({ ...options, lengths: lengths.join(',') }).flatMap(([name, value]) => [`--${name}`, `${value}`])
  const made = spawnSync('python3', [path.join(repoRoot(), 'bench/slora_trace.py'), file, ...flags], { encoding: 'utf8' })
  if (made.status !== 0) throw new Error(`slora_trace.py: ${made.stderr}`)
  const { requests } = JSON.parse(readFileSync(file, 'utf8'))
  rmSync(file)
  return requests
}
