// Installs, compiles and builds whatever is out of date; quick when nothing is. The npm scripts run it first. Plain JavaScript without dependencies.
//   node deploy/prepare.mjs [--quiet]      --quiet: say nothing unless something is done
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'

const root = path.join(path.dirname(fileURLToPath(import.meta.url)), '..')
const at = (...parts) => path.join(root, ...parts)
const quiet = process.argv.includes('--quiet')
let done = 0

function say(message) {
  console.error(`lorikeet: ${message}`)
}

function fail(message) {
  say(message)
  process.exit(1)
}

/** All output goes to stderr: stdout belongs to what runs after this. */
function run(command, args) {
  const { status, error } = spawnSync(command, args, { cwd: root, stdio: ['ignore', 2, 2] })
  if (error) fail(`${command} cannot be run: ${error.message}`)
  if (status !== 0) fail(`\`${[path.basename(command), ...args].join(' ')}\` failed`)
}

const canRun = (command) => !spawnSync(command, ['--version'], { stdio: 'ignore' }).error

/** Every file below `folders` for which `wanted` holds, as paths from the root. */
function files(folders, wanted) {
  return folders
    .filter((folder) => existsSync(at(folder)))
    .flatMap((folder) => readdirSync(at(folder), { recursive: true }).map((name) => path.join(folder, name)))
    .filter((name) => wanted(name) && !name.includes('node_modules'))
}

/** Runs `action` unless names, sizes and times of the inputs are those of its last success and its output is there. */
function step(name, inputs, outputs, action) {
  const hash = createHash('sha256')
  for (const input of inputs.toSorted()) {
    const { size, mtimeMs } = statSync(at(input))
    hash.update(`${input}:${size}:${mtimeMs}\n`)
  }
  const now = hash.digest('hex')
  const stamp = at('build', 'stamps', name.replaceAll(' ', '-'))
  const complete = outputs.every((output) => existsSync(at(output)))
  if (complete && existsSync(stamp) && readFileSync(stamp, 'utf8') === now) return
  say(`${name} …`)
  rmSync(stamp, { force: true })
  action(complete)
  mkdirSync(path.dirname(stamp), { recursive: true })
  writeFileSync(stamp, now)
  done++
}

/** Whether node_modules holds what package-lock.json names. Optional packages may be for other machines. */
function installed() {
  const hidden = at('node_modules', '.package-lock.json')
  if (!existsSync(hidden)) return false
  const packages = (file) => JSON.parse(readFileSync(file, 'utf8')).packages
  const present = packages(hidden)
  return Object.entries(packages(at('package-lock.json'))).every(([name, { version, integrity, optional, devOptional }]) => {
    const found = present[name]
    if (name === '' || (!found && (optional || devOptional))) return true
    return found?.version === version && found.integrity === integrity
  })
}

/** A deleted source must not live on, least of all a test. */
function removeStale(outputs) {
  const wanted = new Set(outputs)
  for (const name of files(['dist'], (file) => file.endsWith('.js')))
    if (!wanted.has(name)) for (const file of [name, `${name}.map`]) rmSync(at(file), { force: true })
}

if (Number(process.versions.node.split('.')[0]) < 20) fail(`Node ${process.version} is too old; 20 or newer is needed`)

if (!installed()) {
  say('installing packages …')
  run('npm', ['ci', '--loglevel=error', '--no-progress'])
  done++
}

const sources = files(['server', 'runtime', 'adapters-store', 'native', 'test', 'bench', 'deploy/kubernetes/source'], (name) =>
  name.endsWith('.ts'),
)
const compiled = sources.filter((name) => !name.endsWith('.d.ts')).map((name) => path.join('dist', name.replace(/\.ts$/, '.js')))
step('compiling TypeScript', [...sources, 'tsconfig.json', 'package-lock.json'], compiled, (complete) => {
  // The compiler believes its notes of what it wrote last.
  if (!complete) rmSync(at('dist', 'tsconfig.tsbuildinfo'), { force: true })
  removeStale(compiled)
  run(process.execPath, ['node_modules/typescript/bin/tsc'])
})

/** The CUDA compiler, where native/cuda.cmake looks for it: when it comes or changes, the addon is built anew. */
function cudaCompiler() {
  const folders = [...(process.env.PATH ?? '').split(':'), '/usr/local/cuda/bin']
  const found = folders.map((folder) => path.join(folder, 'nvcc')).find((file) => existsSync(file))
  return found ? [path.relative(root, found)] : []
}

const native = [...files(['native'], (name) => /\.(cc|h|cu|cuh|cmake|mjs)$|CMakeLists\.txt$/.test(name)), ...cudaCompiler()]
step('building the addon', [...native, 'package-lock.json'], [path.join('build', 'native', 'lorikeet.node')], () => {
  if (!canRun('cmake') || ![process.env.CXX, 'c++', 'g++', 'clang++'].some((compiler) => compiler && canRun(compiler)))
    fail('the addon needs CMake and a C++20 compiler; on Debian and Ubuntu: apt install cmake g++')
  run(process.execPath, ['native/build.mjs', '--target', 'lorikeet'])
})

if (done === 0 && !quiet) say('everything is up to date')
