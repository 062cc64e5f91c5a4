/** An addon that cannot be loaded says what to do, in a checkout and in a package of npm, whose install script may not have run. */
import { spawnSync } from 'node:child_process'
import { cpSync, mkdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import t from 'tap'
import { loadError } from '../../native/load-error.ts'
import { repoRoot, temporaryFolder } from '../support/repo.ts'

t.test('libraries that are too old are named', async (t) => {
  const glibc = "/lib/x86_64-linux-gnu/libc.so.6: version `GLIBC_2.34' not found (required by /app/lorikeet.node)"
  t.match(loadError('/app/lorikeet.node', glibc), /the C library \(glibc\) here is older than 2\.34, which/)
  const cxx = "/lib/libstdc++.so.6: version `GLIBCXX_3.4.30' not found (required by /app/lorikeet.node)"
  t.match(loadError('/app/lorikeet.node', cxx), /the C\+\+ library \(libstdc\+\+\) here has no GLIBCXX_3\.4\.30, which/)
})

t.test('a package whose addon does not fit names its own build, a checkout its', async (t) => {
  const folder = temporaryFolder(t)
  const carried = path.join(folder, 'prebuilt', `${process.platform}-${process.arch}`)
  const start = () => {
    const index = path.join(folder, 'dist/native/index.js')
    const script = `import(${JSON.stringify(index)}).then(({ loadNative }) => loadNative()).catch(({ message }) => console.log(message))`
    const { LORIKEET_ADDON: _, ...env } = process.env
    return spawnSync(process.execPath, ['-e', script], { encoding: 'utf8', env }).stdout
  }
  writeFileSync(path.join(folder, 'package.json'), '{"type":"module"}')
  cpSync(path.join(repoRoot(), 'dist/native'), path.join(folder, 'dist/native'), { recursive: true })
  const checkout = start()
  t.match(checkout, /cannot load the native addon .*build\/native\/lorikeet\.node\n {2}- build it: node native\/build\.mjs/)

  mkdirSync(carried, { recursive: true })
  writeFileSync(path.join(carried, 'lorikeet.node'), 'not an addon')
  const packed = start()
  t.ok(packed.startsWith(`cannot load the native addon ${path.join(carried, 'lorikeet.node')}\n`), packed)
  t.ok(packed.includes(`build one for this machine: node ${path.join(folder, 'native/install.mjs')}`), packed)
  t.notMatch(packed, /remove build/)
})
