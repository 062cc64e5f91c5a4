/** What people give instead of a folder of adapter folders, and what they are told. */
import { execFileSync } from 'node:child_process'
import { cpSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { loadAdapter } from '../../adapters-store/index.ts'
import { readFor, testRegistry } from '../support/registry.ts'
import { fixture, temporaryFolder } from '../support/repo.ts'
import { baseModelOf } from './base-model.ts'

const base = baseModelOf(fixture('peft/biased/base'))
const options = { dtype: 'float16', blockBytes: 1024 } as const
const LORA = fixture('peft/biased/adapters/lora')

/** A folder with adapters at these paths, what a scan of it serves, and what it warns of. */
async function scanned(
  t: Parameters<typeof temporaryFolder>[0],
  paths: string[],
  change: (folder: string) => void = () => {},
  at = '',
) {
  const folder = temporaryFolder(t)
  for (const path of paths) cpSync(LORA, join(folder, path), { recursive: true })
  change(folder)
  const warnings: string[] = []
  const records = await testRegistry(readFor(base, options)).readAll(join(folder, at), (warning) => warnings.push(warning))
  return { folder, warnings, served: records.filter(({ image }) => image).map(({ name }) => name), records }
}

t.test('a folder of adapters, whatever else is in it, is no reason for a warning', async (t) => {
  const { served, warnings } = await scanned(t, ['a', 'b', 'b/checkpoint-500', '.cache/x', '.hidden'], (folder) => {
    mkdirSync(join(folder, 'notes'))
    writeFileSync(join(folder, 'README.md'), '')
    symlinkSync(join(folder, 'a'), join(folder, 'linked'))
  })
  t.strictSame(served, ['a', 'b', 'linked'], 'hidden folders are passed over, checkpoints within an adapter too')
  t.strictSame(warnings, [])
})

t.test('a slash at the end, a link to the folder, and a path with dots are the folder', async (t) => {
  for (const at of ['x/', 'x//', 'link', 'link/', './x/../x'])
    t.match(
      await scanned(t, ['x/a'], (folder) => symlinkSync(join(folder, 'x'), join(folder, 'link')), at),
      { served: ['a'], warnings: { length: 0 } },
      at,
    )
})

t.test('the adapter itself', async (t) => {
  const alone = await scanned(t, ['pirate'], () => {}, 'pirate')
  t.strictSame(alone.served, [])
  t.equal(alone.warnings.length, 1, 'and none about the files in it')
  t.match(alone.warnings[0], `${join(alone.folder, 'pirate')} holds an adapter_config.json: it is an adapter itself`)
  t.match(alone.warnings[0], `Nothing of it is served. Give --adapter NAME=${join(alone.folder, 'pirate')}, or --adapters with`)
  t.ok(alone.warnings[0].endsWith(` ${alone.folder}`), 'the folder above it')

  const checkpoints = await scanned(t, ['run', 'run/checkpoint-500', 'run/checkpoint-1000'], () => {}, 'run/')
  t.strictSame(checkpoints.served, ['checkpoint-1000', 'checkpoint-500'])
  t.match(checkpoints.warnings, [/it is an adapter itself.* Served are the folders in it: checkpoint-1000, checkpoint-500/])
})

t.test('adapters a folder too deep are named', async (t) => {
  const one = await scanned(t, ['good', 'run/checkpoint-500'])
  t.strictSame(one.served, ['good'])
  const run = join(one.folder, 'run')
  t.match(one.warnings, [
    `${run} has no adapter_config.json, but ${run}/checkpoint-500 has one: give --adapter run=${run}/checkpoint-500`,
  ])
  t.match(one.warnings[0], `(or --adapters ${run} for all that are beside it)`)

  const last = await scanned(t, ['run/checkpoint-500', 'run/checkpoint-1000', 'run/checkpoint-90', 'run/checkpoint-7'])
  t.match(last.warnings, [
    /checkpoint-7, .*checkpoint-90, .*checkpoint-500 and 1 more have one: give --adapter run=.*checkpoint-1000 /,
  ])

  const hub = await scanned(t, ['models--org--pirate/snapshots/0a1b'])
  t.match(hub.warnings, [/--adapter models--org--pirate=.*models--org--pirate\/snapshots\/0a1b/])
  const tooDeep = await scanned(t, ['a/b/c/d/e'])
  t.match(tooDeep.warnings, [/holds no adapter: no folder in it has an adapter_config.json/])
})

t.test('what looks like an adapter and is none', async (t) => {
  const { served, warnings } = await scanned(t, ['good'], (folder) => {
    symlinkSync(join(folder, 'nowhere'), join(folder, 'dangling'))
    symlinkSync('circle', join(folder, 'circle'))
    cpSync(join(LORA, 'adapter_model.safetensors'), join(folder, 'loose.safetensors'))
    writeFileSync(join(folder, 'packed.zip'), '')
    mkdirSync(join(folder, 'no-config'))
    cpSync(join(LORA, 'adapter_model.safetensors'), join(folder, 'no-config', 'adapter_model.safetensors'))
  })
  t.strictSame(served, ['good'])
  t.match(warnings, [
    /circle is a link that leads nowhere$/,
    /dangling is a link that leads nowhere$/,
    /loose.safetensors is a file: an adapter is a folder with adapter_config.json and adapter_model.safetensors$/,
    /no-config has adapter_model.safetensors but no adapter_config.json$/,
    /packed.zip is a file/,
  ])
  t.equal(warnings.length, 5)
})

t.test('nothing at all', async (t) => {
  t.match(await scanned(t, []), { served: [], warnings: [/holds no adapter/] })
  const nothing = async (at: string, change = (_: string) => {}) => scanned(t, ['a'], change, at)
  await t.rejects(nothing('b'), { code: 'adapter_not_found', detail: /b cannot be read: ENOENT/ })
  await t.rejects(nothing('a/adapter_config.json'), { code: 'adapter_not_found', detail: /is a file; a folder is expected/ })
})

t.test('a folder with a config and no weights, or only a pickle, is listed with its reason', async (t) => {
  const only =
    (name: string, ...files: string[]) =>
    (folder: string) => {
      mkdirSync(join(folder, name))
      cpSync(join(LORA, 'adapter_config.json'), join(folder, name, 'adapter_config.json'))
      for (const file of files) writeFileSync(join(folder, name, file), '')
    }
  const { records } = await scanned(t, [], (folder) => {
    only('1', 'adapter_model.bin')(folder)
    only('2')(folder)
    only('3', 'training_args.bin', 'optimizer.pt')(folder)
    only('4', 'model.safetensors')(folder)
    only('5')(folder)
    mkdirSync(join(folder, '5', 'adapter_model.safetensors'))
  })
  t.match(records, [
    { name: '1', refusal: /adapter_model.bin is a Python pickle/ },
    { name: '2', refusal: /^the folder has no adapter_model.safetensors$/ },
    { name: '3', refusal: /^the folder has no adapter_model.safetensors$/ },
    { name: '4', refusal: /no adapter_model.safetensors; it has model.safetensors, but PEFT's file has that name/ },
    { name: '5', refusal: /adapter_model.safetensors is not a file/ },
  ])
})

t.test(
  'a pipe in place of a file stops nothing',
  { skip: process.platform === 'win32' && 'no named pipes in folders' },
  async (t) => {
    const { records, served } = await scanned(t, ['a', 'b', 'c'], (folder) => {
      for (const file of ['a/adapter_model.safetensors', 'b/adapter_config.json']) {
        rmSync(join(folder, file))
        execFileSync('mkfifo', [join(folder, file)])
      }
    })
    t.strictSame(served, ['c'])
    t.match(records, [{ refusal: /^adapter_model.safetensors is not a file/ }, { refusal: /^adapter_config.json is not a file/ }])
  },
)

t.test('--adapter with something else than an adapter', async (t) => {
  const folder = temporaryFolder(t)
  cpSync(LORA, join(folder, 'run/checkpoint-500'), { recursive: true })
  mkdirSync(join(folder, 'empty'))
  const load = (path: string) => () => loadAdapter('x', join(folder, path), base, options)
  const says = (detail: RegExp) => ({ code: 'adapter_not_found', detail })
  t.throws(load('gone'), says(/gone does not exist$/))
  t.throws(load('run/checkpoint-500/adapter_model.safetensors'), says(/is a file; the folder that holds adapter_config.json/))
  t.throws(load('run'), says(/run has no adapter_config.json, but .*checkpoint-500 has one: give --adapter run=/))
  t.throws(load('empty'), says(/empty has no adapter_config.json: it is no PEFT adapter folder/))
  t.equal(load('run/checkpoint-500/')().method, 'lora')
})
