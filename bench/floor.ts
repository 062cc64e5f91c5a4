/**
 * The floor that a step is measured against: the base model's matrix products alone, on the same weights, in the same ONNX Runtime with as many threads.
 * Every product takes a graph input directly, so nothing but the products runs.
 */
import { writeFileSync } from 'node:fs'
import path from 'node:path'
import { InferenceSession, Tensor } from 'onnxruntime-node'
import { readSafetensorsHeader } from '../adapters-store/index.ts'
import { Message } from '../runtime/model/protobuf.ts'
import { type BenchModel, PROJECTIONS, SHAPE } from './model135m.ts'

const FLOAT = 1

function value(name: string, columns: number): Message {
  const shape = new Message().message(1, new Message().string(2, 'rows')).message(1, new Message().int(1, columns))
  return new Message().string(1, name).message(2, new Message().message(1, new Message().int(1, FLOAT).message(2, shape)))
}

/** A weight [outputs, inputs] that stays in the safetensors file. */
function weight(name: string, outputs: number, inputs: number, place: { offset: number; length: number }): Message {
  const tensor = new Message().int(1, outputs).int(1, inputs).int(2, FLOAT).string(8, name)
  for (const [key, text] of [
    ['location', 'model.safetensors'],
    ['offset', String(place.offset)],
    ['length', String(place.length)],
  ])
    tensor.message(13, new Message().string(1, key).string(2, text))
  return tensor.int(14, 1)
}

/** y = x Wᵀ, written as the model's own graph writes it. */
function product(input: string, weightName: string, output: string): Message {
  const transB = new Message().string(1, 'transB').int(3, 1).int(20, 2)
  return new Message()
    .string(1, input)
    .string(1, weightName)
    .string(2, output)
    .string(3, output)
    .string(4, 'Gemm')
    .message(5, transB)
}

export interface Floor {
  /** Bytes of weights that one run reads. */
  weightBytes: number
  /** Milliseconds of one run over `rows` rows. */
  run(rows: number): Promise<number>
  close(): Promise<void>
}

/** `head`: with the language-model head's product, which texts that are embedded have none of. */
export async function openFloor(model: BenchModel, threads: number, head = true): Promise<Floor> {
  const file = path.join(model.directory, 'model.safetensors')
  const tensors = readSafetensorsHeader(file)
  const graph = new Message()
  let weightBytes = 0
  const add = (module: string, inputs: number, outputs: number) => {
    const place = tensors.get(`${module}.weight`)!
    weightBytes += place.length
    graph.message(5, weight(module, outputs, inputs, place))
    graph.message(1, product(inputs === SHAPE.hidden ? 'hidden' : 'gated', module, `${module}.out`))
    graph.message(12, value(`${module}.out`, outputs))
  }
  for (let i = 0; i < SHAPE.layers; i++)
    for (const [name, inputs, outputs] of PROJECTIONS) add(`model.layers.${i}.${name}`, inputs, outputs)
  if (head) add('model.embed_tokens', SHAPE.hidden, SHAPE.vocabulary) // the tied one
  graph.string(2, 'floor').message(11, value('hidden', SHAPE.hidden)).message(11, value('gated', SHAPE.feedForward))
  const onnx = new Message().int(1, 10).message(7, graph).message(8, new Message().string(1, '').int(2, 20))
  const floorFile = path.join(model.directory, head ? 'floor.onnx' : 'floor-headless.onnx')
  writeFileSync(floorFile, onnx.bytes())

  const session = await InferenceSession.create(floorFile, {
    intraOpNumThreads: threads,
    graphOptimizationLevel: 'all',
    extra: { session: { force_spinning_stop: '1' } }, // as the engine's session, and so that it leaves the cores to what is measured next
  })
  const filled = (rows: number, columns: number) =>
    new Tensor(
      'float32',
      Float32Array.from({ length: rows * columns }, (_, i) => ((i % 17) - 8) / 8),
      [rows, columns],
    )
  const feeds = new Map<number, Record<string, Tensor>>()
  return {
    weightBytes,
    async run(rows) {
      if (!feeds.has(rows)) feeds.set(rows, { hidden: filled(rows, SHAPE.hidden), gated: filled(rows, SHAPE.feedForward) })
      const started = performance.now()
      // Every node runs whatever is fetched; one small output is, so that copying results to JavaScript costs nothing.
      await session.run(feeds.get(rows)!, ['model.layers.0.self_attn.k_proj.out'])
      return performance.now() - started
    },
    close: () => session.release(),
  }
}
