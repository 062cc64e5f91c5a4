/** deploy/prepare.mjs in a small checkout of its own, with a build script that only says that it ran. */
import { spawnSync } from 'node:child_process'
import { chmodSync, cpSync, existsSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import t from 'tap'
import { repoRoot, temporaryFolder } from '../support/repo.ts'

const BUILD = `import { mkdirSync, writeFileSync } from 'node:fs'
mkdirSync('build/native', { recursive: true })
writeFileSync('build/native/lorikeet.node', '')
console.log('built')
`

/** What tsc would make of the checkout's sources, without its two seconds. */
const COMPILE = `const { mkdirSync, writeFileSync } = require('node:fs')
for (const folder of ['dist/server', 'dist/test']) mkdirSync(folder, { recursive: true })
for (const file of ['dist/server/cli.js', 'dist/test/old.test.js']) writeFileSync(file, '')
`

/** A checkout that has its packages; no programs are found but those that the test writes. */
function checkout(t: { teardown(handler: () => void): unknown }, compiler: 'tsc' | 'stand-in') {
  const root = temporaryFolder(t)
  const file = (...parts: string[]) => path.join(root, ...parts)
  const write = (name: string, text: string) => {
    mkdirSync(path.dirname(file(name)), { recursive: true })
    writeFileSync(file(name), text)
  }
  const program = (name: string, script: string) => {
    write(`bin/${name}`, `#!/bin/sh\n${script}\n`)
    chmodSync(file('bin', name), 0o755)
  }
  for (const name of ['deploy/prepare.mjs', 'package.json', 'package-lock.json']) cpSync(path.join(repoRoot(), name), file(name))
  // Without Node's types, which take most of the compiler's time.
  write('tsconfig.json', readFileSync(path.join(repoRoot(), 'tsconfig.json'), 'utf8').replace('"types": ["node"]', '"types": []'))
  if (compiler === 'tsc') symlinkSync(path.join(repoRoot(), 'node_modules'), file('node_modules'))
  else {
    write('node_modules/typescript/bin/tsc', COMPILE)
    cpSync(path.join(repoRoot(), 'node_modules/.package-lock.json'), file('node_modules/.package-lock.json'))
  }
  write('native/build.mjs', BUILD)
  write('server/cli.ts', 'export const answer: number = 42\n')
  write('test/old.test.ts', 'export const old = true\n')
  for (const name of ['cmake', 'c++']) program(name, 'exit 0')
  const prepare = (...args: string[]) => {
    const { status, stdout, stderr } = spawnSync(process.execPath, [file('deploy/prepare.mjs'), ...args], {
      encoding: 'utf8',
      env: { PATH: file('bin') },
    })
    return { status, stdout, stderr }
  }
  return { file, write, program, prepare }
}

t.test('a fresh checkout is compiled and built, once', async (t) => {
  const { file, prepare } = checkout(t, 'stand-in')
  const first = prepare('--quiet')
  t.equal(first.status, 0, first.stderr)
  t.match(first.stderr, /compiling TypeScript …\n.*building the addon …\nbuilt\n/s)
  t.equal(first.stdout, '', 'stdout belongs to what runs after it')
  t.ok(existsSync(file('dist/server/cli.js')))
  t.same(prepare('--quiet'), { status: 0, stdout: '', stderr: '' })
  t.match(prepare(), { status: 0, stderr: 'lorikeet: everything is up to date\n' })
})

t.test('what changed is done again, and only that', async (t) => {
  const { file, write, program, prepare } = checkout(t, 'tsc')
  prepare()
  write('server/cli.ts', 'export const answer: number = 43\n')
  rmSync(file('test/old.test.ts'))
  const again = prepare()
  t.match(again.stderr, 'compiling')
  t.notMatch(again.stderr, 'building')
  t.match(readFileSync(file('dist/server/cli.js'), 'utf8'), '43')
  t.notOk(existsSync(file('dist/test/old.test.js')), 'a deleted test does not live on')
  t.notOk(existsSync(file('dist/test/old.test.js.map')))

  rmSync(file('dist/server/cli.js'))
  prepare()
  t.ok(existsSync(file('dist/server/cli.js')), 'a lost output is made again')

  write('native/kernel.cc', '// new\n')
  const native = prepare()
  t.notMatch(native.stderr, 'compiling')
  t.match(native.stderr, 'building')

  program('nvcc', 'exit 0')
  t.match(prepare().stderr, 'building', 'a CUDA compiler was installed')
  t.notMatch(prepare().stderr, 'building')
})

t.test('what fails is told, fails the command and is tried again', async (t) => {
  const { write, prepare } = checkout(t, 'tsc')
  write('server/cli.ts', 'export const answer: number = "42"\n')
  for (const _ of [1, 2]) {
    const { status, stderr } = prepare()
    t.equal(status, 1)
    t.match(stderr, /TS2322/)
    t.match(stderr, /tsc` failed\n$/)
  }
  write('server/cli.ts', 'export const answer: number = 42\n')
  write('native/build.mjs', 'process.exit(3)\n')
  t.match(prepare(), { status: 1, stderr: /`node native\/build\.mjs --target lorikeet` failed\n$/ })
})

t.test('without CMake or a compiler it says how to get them', async (t) => {
  for (const missing of ['cmake', 'c++']) {
    const { file, prepare } = checkout(t, 'stand-in')
    rmSync(file('bin', missing))
    const { status, stderr } = prepare()
    t.equal(status, 1)
    t.match(stderr, /apt install cmake g\+\+/)
  }
})

t.test('packages are installed when they are missing or others than package-lock.json names', async (t) => {
  const { file, write, program, prepare } = checkout(t, 'stand-in')
  program('npm', 'echo "npm $@"; exit 0')
  t.notMatch(prepare().stderr, 'installing', 'they are there')

  const lock = JSON.parse(readFileSync(file('package-lock.json'), 'utf8'))
  lock.packages['node_modules/fastify'].version = '0.0.1'
  write('package-lock.json', JSON.stringify(lock))
  t.match(prepare().stderr, /installing packages …\nnpm ci /)

  cpSync(path.join(repoRoot(), 'package-lock.json'), file('package-lock.json'))
  rmSync(file('node_modules'), { recursive: true })
  program('npm', 'exit 7')
  t.match(prepare(), { status: 1, stderr: /installing packages …\n.*`npm ci .*` failed\n$/s })
})
