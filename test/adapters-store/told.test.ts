/** What clients are told of a refused adapter, and what only whoever runs the server is. */
import { chmodSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { systemReason } from '../../adapters-store/checkpoint/index.ts'
import { testRegistry } from '../support/registry.ts'
import { refusal } from './refusal.ts'
import { changedFixture, floats, withHeader } from './write-adapter.ts'

t.test('what a file holds that is no JSON is not repeated', async (t) => {
  const folder = changedFixture(t, 'biased/adapters/lora', () => {})
  const SECRET = 'root:x:0:0:root:/root:/bin/bash'
  writeFileSync(join(folder, 'adapter_config.json'), SECRET)
  refusal(t, folder, 'adapter_config_invalid', [/^adapter_config.json is not JSON: it begins with something else$/])
  const other = changedFixture(t, 'biased/adapters/lora', () => {})
  writeFileSync(join(other, 'adapter_model.safetensors'), withHeader(SECRET))
  refusal(t, other, 'safetensors_invalid', [/its header is not JSON \(it begins with something else\)$/])
})

t.test('a message is bounded, however long a key is', async (t) => {
  const folder = changedFixture(t, 'biased/adapters/lora', (_, tensors) => {
    tensors[`base_model.model.${'x'.repeat(1 << 20)}.weight`] = floats([4, 16])
  })
  refusal(t, folder, 'adapter_base_mismatch', [/^.{1,1001}$/])
})

t.test(
  'what the system says of a file comes without its path',
  { skip: process.getuid?.() === 0 && 'root may read everything' },
  async (t) => {
    const folder = changedFixture(t, 'biased/adapters/lora', () => {})
    chmodSync(join(folder, 'adapter_model.safetensors'), 0)
    refusal(t, folder, 'adapter_unreadable', [/^adapter_model.safetensors cannot be opened: EACCES: permission denied$/])
  },
)

t.test('the reason that the system gives is told without the path in it', async (t) => {
  for (const [file, reason] of [
    ['/no/such/file', 'ENOENT: no such file or directory'],
    ['/', 'EISDIR: illegal operation on a directory'],
  ])
    try {
      readFileSync(file)
      t.fail(`${file} was read`)
    } catch (error) {
      t.equal(systemReason(error), reason)
    }
})

t.test('an error that is no refusal names nothing to clients, and everything to the operator', async (t) => {
  const adapters = testRegistry(() => {
    throw new Error('cannot map /models/base/model.safetensors')
  })
  const { refusal, detail } = await adapters.read('a', '/adapters/a')
  t.match(refusal, /^it could not be loaded: an internal error/)
  t.equal(detail, 'it could not be loaded: cannot map /models/base/model.safetensors')
})
