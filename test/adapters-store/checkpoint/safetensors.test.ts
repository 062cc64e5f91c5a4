import { execFileSync } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { readSafetensorsHeader } from '../../../adapters-store/checkpoint/index.ts'
import { fixture, temporaryFolder } from '../../support/repo.ts'
import { withHeader } from '../write-adapter.ts'

const entry = (dtype: unknown, shape: unknown, offsets: unknown) => JSON.stringify({ w: { dtype, shape, data_offsets: offsets } })
const eight = new Uint8Array(8)

t.test('reads names, types, shapes and places, counted from the start of the file', async (t) => {
  const file = join(temporaryFolder(t), 'a.safetensors')
  const header =
    '{"__metadata__":{"format":"pt"},"w":{"dtype":"BF16","shape":[2,2],"data_offsets":[0,8]},"none":{"dtype":"F32","shape":[0,4],"data_offsets":[8,8]}}'
  writeFileSync(file, withHeader(header, eight))
  t.strictSame(Object.fromEntries(readSafetensorsHeader(file)), {
    w: { file, dtype: 'bfloat16', shape: [2, 2], offset: 8 + header.length, length: 8 },
    none: { file, dtype: 'float32', shape: [0, 4], offset: 16 + header.length, length: 0 },
  })
})

t.test('reads what the safetensors library writes', async (t) => {
  const tensors = readSafetensorsHeader(fixture('peft/biased/base/model.safetensors'))
  t.match(tensors.get('model.layers.0.mlp.down_proj.weight'), { dtype: 'float32', shape: [16, 24], length: 16 * 24 * 4 })
})

const BROKEN: [string, Uint8Array, RegExp][] = [
  ['an empty file', new Uint8Array(0), /0 bytes/],
  ['a file shorter than the length field', eight.subarray(0, 5), /5 bytes/],
  [
    'a header beyond the file',
    Buffer.concat([Buffer.from([200, 0, 0, 0, 0, 0, 0, 0]), Buffer.from('{}')]),
    /200 bytes, but only 2 follow/,
  ],
  ['a header beyond all reason', Buffer.from([0, 0, 0, 0, 0, 0, 0, 255]), /at most/],
  ['a header that is no JSON', withHeader('{"w":'), /not JSON/],
  ['a header that is no UTF-8', Buffer.concat([Buffer.from([2, 0, 0, 0, 0, 0, 0, 0]), Buffer.from([0xff, 0xfe])]), /not JSON/],
  ['a header that is a list', withHeader('[]'), /not a JSON object/],
  ['an entry that is no object', withHeader('{"w":3}'), /tensor w is not an object/],
  ['an unknown dtype', withHeader(entry('F3', [2], [0, 8]), eight), /"F3"; known are F64/],
  ['a dtype named like a property of every object', withHeader(entry('constructor', [2], [0, 8]), eight), /"constructor"/],
  ['a negative dimension', withHeader(entry('F32', [-2], [0, 8]), eight), /shape \[-2\]/],
  ['a dimension that is no integer', withHeader(entry('F32', [0.5, 4], [0, 8]), eight), /shape \[0.5,4\]/],
  ['offsets the wrong way round', withHeader(entry('F32', [2], [8, 0]), eight), /data_offsets \[8,0\]/],
  ['offsets that are missing', withHeader('{"w":{"dtype":"F32","shape":[2]}}', eight), /data_offsets undefined/],
  ['a tensor beyond the end of the file', withHeader(entry('F32', [4], [0, 16]), eight), /ends at byte 16 .* only 8/],
  [
    'a shape that does not fill its bytes',
    withHeader(entry('F32', [3], [0, 8]), eight),
    /takes 12 bytes, its data_offsets span 8/,
  ],
  ['a shape that overflows', withHeader(entry('F32', [2 ** 40, 2 ** 40], [0, 8]), eight), /takes .* bytes/],
  [
    'tensors that overlap',
    withHeader(
      '{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"F16","shape":[2],"data_offsets":[2,6]}}',
      eight,
    ),
    /a and b overlap/,
  ],
  ['bytes after the last tensor', withHeader(entry('F32', [1], [0, 4]), eight), /its tensors take 4 bytes, but 8 follow/],
  ['a gap between tensors', withHeader(entry('F32', [1], [4, 8]), eight), /its tensors take 4 bytes, but 8 follow/],
  ['bytes behind no tensor at all', withHeader('{}', eight), /its tensors take 0 bytes, but 8 follow/],
]

for (const [what, bytes, says] of BROKEN) {
  t.test(`refuses ${what}`, async (t) => {
    const file = join(temporaryFolder(t), 'broken.safetensors')
    writeFileSync(file, bytes)
    const read = () => readSafetensorsHeader(file)
    t.throws(read, { code: 'checkpoint_invalid', message: says })
    t.throws(read, { message: file })
  })
}

const tensor = (begin: number, end: number) => ({ dtype: 'U8', shape: [end - begin], data_offsets: [begin, end] })

t.test('an overlap shows however many empty tensors lie between', async (t) => {
  const header = (tensors: object) => withHeader(JSON.stringify(tensors), eight)
  const file = join(temporaryFolder(t), 'x.safetensors')
  const read = (tensors: object) => {
    writeFileSync(file, header(tensors))
    return readSafetensorsHeader(file)
  }
  const overlapping: object[] = [
    { a: tensor(0, 6), empty: tensor(4, 4), b: tensor(4, 8) },
    { b: tensor(4, 8), empty: tensor(4, 4), a: tensor(0, 6) },
    { a: tensor(0, 6), none: tensor(1, 1), empty: tensor(3, 3), nothing: tensor(4, 4), b: tensor(4, 8) },
    { a: tensor(0, 8), empty: tensor(2, 2), b: tensor(2, 3), c: tensor(5, 6) },
    { a: tensor(0, 4), b: tensor(0, 4), empty: tensor(0, 0) },
  ]
  for (const tensors of overlapping)
    t.throws(() => read(tensors), { code: 'checkpoint_invalid', message: /tensors [abc] and [abc] overlap/ })
  const apart = read({ empty: tensor(4, 4), a: tensor(0, 4), none: tensor(4, 4), b: tensor(4, 8), end: tensor(8, 8) })
  t.equal(apart.size, 5, 'empty tensors at the seams take nothing from anybody')
})

t.test('says why a file cannot be read', async (t) => {
  const folder = temporaryFolder(t)
  t.throws(() => readSafetensorsHeader(join(folder, 'gone')), { code: 'checkpoint_unreadable', message: /gone.*ENOENT/ })
  mkdirSync(join(folder, 'folder'))
  t.throws(() => readSafetensorsHeader(join(folder, 'folder')), {
    code: 'checkpoint_unreadable',
    message: /folder is not a file/,
  })
})

t.test(
  'a named pipe is refused at once, not waited for',
  { skip: process.platform === 'win32' && 'no named pipes in folders' },
  async (t) => {
    const pipe = join(temporaryFolder(t), 'pipe')
    execFileSync('mkfifo', [pipe])
    t.throws(() => readSafetensorsHeader(pipe), { code: 'checkpoint_unreadable', message: /pipe is not a file/ })
  },
)
