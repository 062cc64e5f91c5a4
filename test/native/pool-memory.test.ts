/** The pool's memory on the CPU: it is the process's only where a block has been used, however large the pool. */
import { readFileSync } from 'node:fs'
import t from 'tap'
import { decodeStep } from '../../bench/decode-batch.ts'
import { buildModel } from '../../runtime/model/index.ts'
import { startNativeEngine } from '../support/native-step.ts'
import { OracleFamily } from '../support/oracle.ts'
import { fixture } from '../support/repo.ts'

const family = new OracleFamily('llama', 'float32', fixture('oracle'), 'cpu')
const model = buildModel(fixture('oracle', family.name, 'base'), { device: 'cpu', dtype: 'float32' })
const MIB = 1 << 20
const residentBytes = () => 1024 * Number(/^RssAnon:\s+(\d+) kB/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1])

t.test('a pool of 1 GiB', { skip: process.platform !== 'linux' && 'it reads /proc' }, async (t) => {
  const blockSize = family.blockSize
  const start = (blockCount: number) =>
    startNativeEngine(model, { blockSize, blockCount, maxBatchTokens: 4, maxSequences: 4, maxModelLen: 64 })
  // One before it: what a first engine loads is not the pool's.
  const small = await start(64)
  const { blockBytes } = small
  small.close()
  const before = residentBytes()
  const engine = await start(Math.ceil((1024 * MIB) / blockBytes))
  t.teardown(() => engine.close())
  const rows = { rows: 4, context: 8, blockSize, vocabSize: model.vocabSize, adapters: [] }
  await decodeStep(engine, rows)
  const grown = (residentBytes() - before) / MIB
  t.ok(engine.blockCount * blockBytes >= 1024 * MIB)
  t.ok(grown < 100, `with four blocks in use the process has grown by ${grown.toFixed(0)} MiB`)
})
