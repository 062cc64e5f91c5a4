// Configures and builds the addon (CMake) when something changed. Plain JavaScript: it runs before TypeScript is compiled.
//   node native/build.mjs [--target NAME]... [--sanitize | --aarch64]
// --aarch64: for arm64 Linux, by Debian's cross compiler, in build/arm64.
import { spawnSync } from 'node:child_process'
import { createRequire } from 'node:module'
import path from 'node:path'
import { fileURLToPath } from 'node:url'

const require = createRequire(import.meta.url)
const here = path.dirname(fileURLToPath(import.meta.url))
const args = process.argv.slice(2)
const sanitize = args.includes('--sanitize')
const targets = args.flatMap((a, i) => (args[i - 1] === '--target' ? [a] : []))
const aarch64 = args.includes('--aarch64')
const build = path.join(here, '..', 'build', sanitize ? 'sanitize' : aarch64 ? 'arm64' : 'native')

function run(command, parameters) {
  const done = spawnSync(command, parameters, { encoding: 'utf8' })
  if (done.error?.code === 'ENOENT')
    fail(`${command} is not installed. Lorikeet's addon needs CMake ≥ 3.20 and a C++20 compiler (Debian: apt install cmake g++).`)
  if (done.status !== 0) fail(`${command} ${parameters.join(' ')}\n${done.stdout ?? ''}${done.stderr ?? ''}`)
}

function fail(message) {
  console.error(`native/build.mjs: ${message}`)
  process.exit(1)
}

// Configuring anew costs half a second, and finds files that came or went.
const include = [require('node-api-headers').include_dir, require('node-addon-api').include_dir].map((d) => path.resolve(d))
run('cmake', [
  '-S',
  here,
  '-B',
  build,
  `-DNODE_API_INCLUDE=${include.join(';')}`,
  `-DLORIKEET_SANITIZE=${sanitize ? 'ON' : 'OFF'}`,
  ...(aarch64 ? [`-DCMAKE_TOOLCHAIN_FILE=${path.join(here, 'aarch64.cmake')}`] : []),
])
run('cmake', ['--build', build, '--parallel', '2', ...(targets.length ? ['--target', ...targets] : [])])
