/** A model folder's weights: one file, or shards by their index. */
import { cpSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { readCheckpoint, readTensor } from '../../../adapters-store/checkpoint/index.ts'
import { fixture, repoRoot, temporaryFolder } from '../../support/repo.ts'
import { floats, safetensorsBytes } from '../write-adapter.ts'

const write = (folder: string, name: string, ...tensors: string[]) =>
  writeFileSync(join(folder, name), safetensorsBytes(Object.fromEntries(tensors.map((tensor) => [tensor, floats([2, 3])]))))
const writeIndex = (folder: string, map: unknown) =>
  writeFileSync(join(folder, 'model.safetensors.index.json'), typeof map === 'string' ? map : JSON.stringify({ weight_map: map }))

t.test('one file', async (t) => {
  const tensors = readCheckpoint(fixture('peft/biased/base'))
  t.match(tensors['model.embed_tokens.weight'], { dtype: 'float32', shape: [40, 16], file: /model\.safetensors$/ })
  t.equal(readTensor(tensors['model.norm.weight']).length, 16 * 4)
})

t.test('shards: each tensor where the index says', async (t) => {
  const folder = temporaryFolder(t)
  write(folder, '1.safetensors', 'a', 'b')
  write(folder, '2.safetensors', 'b', 'c')
  writeIndex(folder, { a: '1.safetensors', b: '2.safetensors' })
  const tensors = readCheckpoint(folder)
  t.strictSame(Object.keys(tensors), ['a', 'b'], 'c is in a shard but not in the checkpoint')
  t.match(tensors, { a: { file: /1\.safetensors/ }, b: { file: /2\.safetensors/ } })
  write(folder, 'model.safetensors', 'z')
  t.strictSame(Object.keys(readCheckpoint(folder)), ['z'], 'a single file goes before an index, as in transformers')
})

t.test('what is missing or cannot be is named', async (t) => {
  const refused = (change: (folder: string) => void, code: string, message: RegExp) => {
    const folder = temporaryFolder(t)
    write(folder, '1.safetensors', 'a')
    change(folder)
    t.throws(() => readCheckpoint(folder), { code, message }, String(message))
  }
  refused(() => {}, 'checkpoint_missing', /neither model.safetensors nor model.safetensors.index.json$/)
  refused((folder) => writeFileSync(join(folder, 'pytorch_model.bin'), ''), 'checkpoint_missing', /pickle file.*convert it/)
  refused(
    (folder) => writeIndex(folder, { b: '1.safetensors' }),
    'tensor_missing',
    /b lies in 1.safetensors, which does not hold it/,
  )
  refused((folder) => writeIndex(folder, { a: '2.safetensors' }), 'checkpoint_unreadable', /2.safetensors.*ENOENT/)
  for (const shard of ['../1.safetensors', '/etc/passwd', 'sub/1.safetensors', '', 7, null])
    refused((folder) => writeIndex(folder, { a: shard }), 'checkpoint_invalid', /a lies in .*, which is not a file name/)
  for (const map of [null, [], 'x', 3].map((weight_map) => JSON.stringify({ weight_map })))
    refused((folder) => writeIndex(folder, map), 'checkpoint_invalid', /has no weight_map/)
  for (const text of ['null', '[]', '3']) refused((folder) => writeIndex(folder, text), 'checkpoint_invalid', /has no weight_map/)
  refused((folder) => writeIndex(folder, '{'), 'checkpoint_invalid', /index.json is not JSON/)
})

t.test('a file that was cut off since its header was read', async (t) => {
  const folder = temporaryFolder(t)
  cpSync(fixture('peft/biased/base'), folder, { recursive: true })
  const { 'model.norm.weight': norm } = readCheckpoint(folder)
  write(folder, 'model.safetensors', 'a')
  t.throws(() => readTensor(norm), { code: 'checkpoint_unreadable', message: /it shrank/ })
  rmSync(join(folder, 'model.safetensors'))
  t.throws(() => readTensor(norm), { code: 'checkpoint_unreadable', message: /ENOENT/ })
})

t.test('the room knows nothing of adapters or of models', async (t) => {
  const room = join(repoRoot(), 'adapters-store/checkpoint')
  for (const file of readdirSync(room))
    for (const [, from] of readFileSync(join(room, file), 'utf8').matchAll(/from '(\.[^']+)'/g))
      t.match(from, /^\.\/[a-z]+\.ts$|^\.\.\/\.\.\/native\/types\.ts$/, `${file} imports ${from}`)
})
