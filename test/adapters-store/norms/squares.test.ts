/** Norms of W + s B A against float64 written out, where they are easy and where everything cancels; alone and shared. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Worker } from 'node:worker_threads'
import t from 'tap'
import { BaseWeights } from '../../../adapters-store/base.ts'
import { readSafetensorsHeader } from '../../../adapters-store/checkpoint/index.ts'
import type { FileFactors, FileMatrix } from '../../../adapters-store/factors.ts'
import { abandon, finish, normJob, workOn } from '../../../adapters-store/norms/job.ts'
import { type NormTask, normTask, squareNorms } from '../../../adapters-store/norms/squares.ts'
import type { BaseModel } from '../../../adapters-store/types.ts'
import { temporaryFolder } from '../../support/repo.ts'
import { floats, safetensorsBytes } from '../write-adapter.ts'

type Tap = Parameters<typeof temporaryFolder>[0]
type Value = (i: number) => number

/** A base of one weight. */
function baseOf(t: Tap, out: number, inputs: number, value: Value): BaseModel {
  const file = join(temporaryFolder(t), 'model.safetensors')
  writeFileSync(file, safetensorsBytes({ w: floats([out, inputs], value) }))
  const tensors = Object.fromEntries(readSafetensorsHeader(file))
  return {
    ...{ directory: '', name: 'one', modelType: 'one', tiedEmbeddings: false, layers: 1, vocabSize: 1, hiddenSize: inputs },
    ...{ sites: [], tensors },
  }
}

function matrix(count: number, value: Value): FileMatrix {
  const values = Float32Array.from({ length: count }, (_, i) => value(i))
  return { file: 'f', key: 'k', dtype: 'float32', bytes: new Uint8Array(values.buffer), transposed: false }
}

function factorsOf(out: number, inputs: number, rank: number, a: Value, b: Value, scale: number): FileFactors {
  return { rank, a: matrix(rank * inputs, a), b: { ...matrix(out * rank, b), transposed: true }, scale }
}

/** Numbers in [-1, 1) that look random, from their index. */
const noise =
  (seed: number): Value =>
  (i) => {
    const x = Math.sin((i + 1) * 12.9898 + seed * 78.233) * 43758.5453
    return 2 * (x - Math.floor(x)) - 1
  }

function expected(w: Value, { rank, a, b, scale }: FileFactors, out: number, inputs: number): number[] {
  const [valuesA, valuesB] = [a, b].map(({ bytes }) => new Float32Array(bytes.buffer))
  return Array.from({ length: out }, (_, o) => {
    let square = 0
    for (let i = 0; i < inputs; i++) {
      let x = Math.fround(w(o * inputs + i))
      for (let j = 0; j < rank; j++) x += scale * valuesB[o * rank + j] * valuesA[j * inputs + i]
      square += x * x
    }
    return square
  })
}

function worst(found: Float64Array, right: number[]): number {
  return Math.max(...right.map((value, o) => (value === 0 ? Math.abs(found[o]) : Math.abs(found[o] / value - 1))))
}

function whole(task: NormTask, base: BaseWeights): Float64Array {
  squareNorms(task, 0, task.outFeatures, base)
  return task.squares
}

for (const [out, inputs, rank] of [
  [5, 3, 1],
  [16, 24, 4],
  [33, 1030, 6],
  [130, 2048, 16],
]) {
  t.test(`[${out}, ${inputs}] at rank ${rank}`, async (t) => {
    const factors = factorsOf(out, inputs, rank, noise(2), noise(3), 0.3)
    const base = new BaseWeights(baseOf(t, out, inputs, noise(1)))
    t.teardown(() => base.close())
    const found = whole(normTask('w', inputs, out, factors), base)
    t.ok(worst(found, expected(noise(1), factors, out, inputs)) < 1e-6)
  })
}

t.test('rows of which nearly nothing or nothing is left are as exact', async (t) => {
  const [out, inputs, rank] = [6, 40, 2]
  // Row o of W is -b_o0 a_0 but for a part in 2^(4 o); the last vanishes.
  const a = noise(5)
  const w: Value = (i) => -a(i % inputs) * (Math.floor(i / inputs) === out - 1 ? 1 : 1 - 2 ** (-4 * Math.floor(i / inputs)))
  const factors = factorsOf(out, inputs, rank, a, (i) => (i % rank === 0 ? 1 : 0), 1)
  const base = new BaseWeights(baseOf(t, out, inputs, w))
  t.teardown(() => base.close())
  const found = whole(normTask('w', inputs, out, factors), base)
  // The first row of W is 0: nothing cancels there.
  t.ok(worst(found.subarray(1), expected(w, factors, out, inputs).slice(1)) < 1e-12, 'as float64 has them')
  t.equal(found[out - 1], 0)
})

t.test('weights too large or too small for float32 squares', async (t) => {
  for (const size of [1e-25, 1e25]) {
    const w: Value = (i) => size * noise(1)(i)
    const factors = factorsOf(4, 16, 2, (i) => size * noise(2)(i), noise(3), 1)
    const base = new BaseWeights(baseOf(t, 4, 16, w))
    t.teardown(() => base.close())
    t.ok(worst(whole(normTask('w', 16, 4, factors), base), expected(w, factors, 4, 16)) < 1e-6, `${size}`)
  }
})

t.test('factors that are no numbers are refused by name', async (t) => {
  const base = new BaseWeights(baseOf(t, 4, 16, noise(1)))
  t.teardown(() => base.close())
  const good = factorsOf(4, 16, 2, noise(2), noise(3), 1)
  const bad = { ...matrix(32, () => Number.NaN), key: 'bad.key' }
  t.throws(() => normTask('w', 16, 4, { ...good, a: bad }), { code: 'adapter_tensor_invalid', message: /bad.key holds NaN/ })
  const b = { ...matrix(8, () => Number.POSITIVE_INFINITY), key: 'bad.key', transposed: true }
  t.throws(() => whole(normTask('w', 16, 4, { ...good, b }), base), { code: 'adapter_tensor_invalid', message: /bad.key/ })
})

t.test('a job that two threads share is done once and is right', async (t) => {
  const [out, inputs, rank] = [1000, 64, 3]
  const model = baseOf(t, out, inputs, noise(1))
  const base = new BaseWeights(model)
  t.teardown(() => base.close())
  const factors = factorsOf(out, inputs, rank, noise(2), noise(3), 0.5)
  const shared = { ...factors, a: inSharedMemory(factors.a), b: inSharedMemory(factors.b) }
  const job = normJob([normTask('w', inputs, out, shared), normTask('w', inputs, out, shared)])
  // Pieces of a job this small are whole tasks: one for each thread.
  t.equal(job.pieces.length, 2)
  const helper = new Worker(
    `const { workerData, parentPort } = require('node:worker_threads')
     import(workerData.root + 'norms/job.js').then(async ({ workOn }) => {
       const { BaseWeights } = await import(workerData.root + 'base.js')
       parentPort.postMessage(workOn(workerData.job, new BaseWeights(workerData.model)))
     })`,
    { eval: true, workerData: { job, model, root: new URL('../../../adapters-store/', import.meta.url).href } },
  )
  t.equal(await new Promise((resolve, reject) => helper.once('message', resolve).once('error', reject)), true)
  t.equal(workOn(job, base), true)
  t.equal(workOn(job, base), false)
  finish(job, base)
  const right = expected(noise(1), factors, out, inputs)
  for (const { squares } of job.tasks) t.ok(worst(squares, right) < 1e-6)
  await helper.terminate()
})

t.test('a piece that a lost thread took is done by the one that waits; an abandoned job has none left', async (t) => {
  const base = new BaseWeights(baseOf(t, 8, 16, noise(1)))
  t.teardown(() => base.close())
  const factors = factorsOf(8, 16, 2, noise(2), noise(3), 1)
  const job = normJob([normTask('w', 16, 8, factors)])
  Atomics.add(job.state, 0, 1) // the lost thread's claim
  t.equal(workOn(job, base), false)
  finish(job, base, 10)
  t.ok(worst(job.tasks[0].squares, expected(noise(1), factors, 8, 16)) < 1e-6)
  const other = normJob([normTask('w', 16, 8, factors)])
  abandon(other)
  t.equal(workOn(other, base), false)
})

function inSharedMemory(source: FileMatrix): FileMatrix {
  const bytes = new Uint8Array(new SharedArrayBuffer(source.bytes.length))
  bytes.set(source.bytes)
  return { ...source, bytes }
}
