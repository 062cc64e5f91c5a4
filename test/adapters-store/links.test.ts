/** Where symbolic links may lead, and what is refused in place of a file. */
import { execFileSync } from 'node:child_process'
import { cpSync, mkdirSync, renameSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { AdapterStore, loadAdapter } from '../../adapters-store/index.ts'
import { readFor, testRegistry } from '../support/registry.ts'
import { fixture, temporaryFolder } from '../support/repo.ts'
import { baseModelOf } from './base-model.ts'

const base = baseModelOf(fixture('peft/biased/base'))
const options = { dtype: 'float16', blockBytes: 1024 } as const
const LORA = fixture('peft/biased/adapters/lora')
const FILES = ['adapter_config.json', 'adapter_model.safetensors']
const read = readFor(base, options)

/** A folder `adapters` of adapters and a folder `outside` with one, and what a scan makes of what `change` did. */
async function scanned(t: Test, change: (adapters: string, outside: string) => void, at = 'adapters') {
  const folder = temporaryFolder(t)
  const [adapters, outside] = [join(folder, 'adapters'), join(folder, 'outside')]
  for (const one of [join(adapters, 'good'), outside]) cpSync(LORA, one, { recursive: true })
  change(adapters, outside)
  const records = await testRegistry(read).readAll(join(folder, at))
  for (const { refusal } of records) if (refusal?.includes(folder)) t.fail(`a path: ${refusal}`)
  return { records, served: records.filter(({ image }) => image).map(({ name }) => name), outside }
}

t.test('links inside the root are followed, of folders and of files', async (t) => {
  const { served } = await scanned(t, (adapters) => {
    symlinkSync('good', join(adapters, 'relative'))
    symlinkSync(join(adapters, 'good'), join(adapters, 'absolute'))
    symlinkSync('relative', join(adapters, 'twice'))
    // As Kubernetes mounts a volume: `..data` is a link to the folder of this version, and every file one through it.
    renameSync(join(adapters, 'good'), join(adapters, '..2026'))
    symlinkSync('..2026', join(adapters, '..data'))
    mkdirSync(join(adapters, 'good'))
    for (const file of FILES) symlinkSync(`../..data/${file}`, join(adapters, 'good', file))
  })
  t.strictSame(served, ['absolute', 'good', 'relative', 'twice'])
})

t.test('the root itself may be a link', async (t) => {
  const { served } = await scanned(t, (adapters) => symlinkSync(adapters, join(adapters, '..', 'link')), 'link')
  t.strictSame(served, ['good'])
})

t.test('links out of the root are refused, and the operator is told where they lead', async (t) => {
  const { records, outside } = await scanned(t, (adapters, outside) => {
    symlinkSync(outside, join(adapters, 'folder'))
    for (const file of FILES) {
      cpSync(LORA, join(adapters, file.slice(0, 12)), { recursive: true })
      rmSync(join(adapters, file.slice(0, 12), file))
      symlinkSync(join(outside, file), join(adapters, file.slice(0, 12), file))
    }
    symlinkSync('../outside', join(adapters, 'up'))
    symlinkSync('up', join(adapters, 'through'))
    // Its name begins as the root's does.
    cpSync(outside, join(adapters, '..', 'adapters-too'), { recursive: true })
    symlinkSync('../adapters-too', join(adapters, 'sibling'))
  })
  const refused = (what: string) => ({
    image: undefined,
    refusal: `${what} is reached through a symbolic link that leads out of the folder of adapters, so it is not read`,
  })
  t.match(Object.fromEntries(records.map((record) => [record.name, record])), {
    adapter_conf: refused('adapter_config.json'),
    adapter_mode: refused('adapter_model.safetensors'),
    folder: refused('the folder'),
    good: { refusal: undefined },
    sibling: refused('the folder'),
    through: refused('the folder'),
    up: refused('the folder'),
  })
  t.match(records.find(({ name }) => name === 'folder')?.detail, `symbolic link to ${outside}, outside`)
})

t.test('an adapter given by name has its own folder as root, through whatever link it is given', async (t) => {
  const folder = temporaryFolder(t)
  cpSync(LORA, join(folder, 'a'), { recursive: true })
  symlinkSync(LORA, join(folder, 'linked'))
  const adapters = testRegistry(read)
  t.ok((await adapters.read('linked', join(folder, 'linked'))).image)
  renameSync(join(folder, 'a', FILES[1]), join(folder, 'elsewhere'))
  symlinkSync('../elsewhere', join(folder, 'a', FILES[1]))
  t.match(await adapters.read('a', join(folder, 'a')), {
    refusal: /adapter_model.safetensors is reached through a symbolic link/,
  })
})

t.test("a hub cache's snapshots lead to its blobs, and no others", async (t) => {
  const cache = temporaryFolder(t)
  const snapshot = (repository: string, blobs = repository) => {
    const [home, there] = [join(cache, repository), join(cache, repository, 'snapshots', '0a1b', 'sub')]
    mkdirSync(there, { recursive: true })
    mkdirSync(join(home, 'blobs'))
    for (const file of FILES) {
      cpSync(join(LORA, file), join(home, 'blobs', `${file}-hash`))
      symlinkSync(`../../../../${blobs}/blobs/${file}-hash`, join(there, file))
    }
    return there
  }
  const [own, others] = [snapshot('models--org--a'), snapshot('models--org--b', 'models--org--a')]
  const adapters = testRegistry(read)
  t.ok((await adapters.read('own', own)).image, 'by name')
  t.match(await adapters.read('others', others), { refusal: /adapter_(config.json|model.safetensors) is reached through/ })
  const scan = async (root: string) => (await testRegistry(read).readAll(root)).map(({ image }) => image !== undefined)
  t.strictSame(await scan(join(own, '..')), [true], 'in a folder of adapters that lies in a snapshot')
  symlinkSync(own, join(cache, 'linked'))
  t.strictSame(await scan(cache), [true], 'or that holds the cache')
})

t.test(
  'what is no file is refused at once, and never opened',
  { skip: process.platform === 'win32' && 'no named pipes in folders' },
  async (t) => {
    const folder = temporaryFolder(t)
    const put: Record<string, (path: string) => void> = {
      pipe: (path) => execFileSync('mkfifo', [path]),
      folder: (path) => mkdirSync(path),
      ...(process.getuid?.() === 0 ? { device: (path: string) => execFileSync('mknod', [path, 'c', '1', '5']) } : {}),
    }
    for (const [kind, make] of Object.entries(put))
      for (const file of FILES) {
        const adapter = join(folder, `${kind}-${file}`)
        cpSync(LORA, adapter, { recursive: true })
        rmSync(join(adapter, file))
        make(join(adapter, file))
        t.throws(
          () => loadAdapter('x', adapter, base, options),
          { code: 'adapter_unreadable', message: `${file} is not a file` },
          kind,
        )
      }
    const adapter = join(folder, 's')
    cpSync(LORA, adapter, { recursive: true })
    rmSync(join(adapter, FILES[1]))
    const socket = createServer().listen(join(adapter, FILES[1]))
    await new Promise((resolve) => socket.once('listening', resolve))
    t.teardown(() => socket.close())
    t.throws(() => loadAdapter('x', adapter, base, options), { code: 'adapter_unreadable', message: `${FILES[1]} is not a file` })
  },
)

t.test('a file of gigabytes that its header does not describe takes no memory', async (t) => {
  const folder = temporaryFolder(t)
  cpSync(LORA, folder, { recursive: true })
  const store = new AdapterStore(base, options, { threads: 1 })
  t.teardown(() => store.close())
  const before = process.memoryUsage().rss
  const refused = async (head: (file: string) => void, says: RegExp) => {
    head(join(folder, FILES[1]))
    truncateSync(join(folder, FILES[1]), 3 << 29)
    await t.rejects(store.load('x', folder), { code: 'safetensors_invalid', message: says })
  }
  await refused((file) => writeFileSync(file, ''), /header is not JSON/)
  await refused((file) => cpSync(join(LORA, FILES[1]), file), /its tensors take \d+ bytes, but \d+ follow the header/)
  const grown = process.memoryUsage().rss - before
  t.ok(grown < 200 << 20, `${grown >> 20} MiB more`)
})
