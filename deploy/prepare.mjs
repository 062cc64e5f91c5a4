// Installs, compiles and builds whatever is out of date; quick when nothing is. The npm scripts run it first. Plain JavaScript without dependencies.
//   node deploy/prepare.mjs [--quiet]      --quiet: say nothing unless something is done
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'

const root = path.join(path.dirname(fileURLToPath(import.meta.url)), '..')
const stamps = path.join(root, 'build', 'stamps')
const quiet = process.argv.includes('--quiet')
let done = 0

/** Every file below `folders` for which `wanted` holds, as paths from the root. */
function files(folders, wanted) {
  return folders.flatMap((folder) =>
    existsSync(path.join(root, folder))
      ? readdirSync(path.join(root, folder), { recursive: true })
          .map((name) => path.join(folder, name))
          .filter((name) => wanted(name) && !name.includes('node_modules'))
      : [],
  )
}

/** Names, sizes and times: enough to see a change, and cheap. */
function fingerprint(paths) {
  const hash = createHash('sha256').update(process.version + process.arch)
  for (const name of paths.toSorted()) {
    const { size, mtimeMs } = statSync(path.join(root, name))
    hash.update(`${name}:${size}:${mtimeMs}\n`)
  }
  return hash.digest('hex')
}

/** Runs `action` unless the inputs are those of its last success and its output is there. */
function step(name, inputs, output, action) {
  const stamp = path.join(stamps, name)
  const now = fingerprint(inputs)
  if (existsSync(path.join(root, output)) && existsSync(stamp) && readFileSync(stamp, 'utf8') === now) return
  console.error(`lorikeet: ${name} …`)
  rmSync(stamp, { force: true })
  action()
  mkdirSync(stamps, { recursive: true })
  writeFileSync(stamp, now)
  done++
}

function run(command, args) {
  const { status, error } = spawnSync(command, args, { cwd: root, stdio: ['ignore', 'inherit', 'inherit'] })
  if (error) fail(`${command} cannot be run: ${error.message}`)
  if (status !== 0) fail(`\`${command} ${args.join(' ')}\` failed`)
}

function fail(message) {
  console.error(`lorikeet: ${message}`)
  process.exit(1)
}

if (Number(process.versions.node.split('.')[0]) < 20) fail(`Node ${process.version} is too old; 20 or newer is needed`)

step('installing packages', ['package.json', 'package-lock.json', '.npmrc'], 'node_modules/.package-lock.json', () =>
  run('npm', ['ci', '--loglevel=error', '--no-progress']),
)
const sources = files(['server', 'runtime', 'adapters-store', 'native', 'test', 'bench'], (name) => name.endsWith('.ts'))
step('compiling TypeScript', [...sources, 'tsconfig.json', 'package-lock.json'], 'dist/server/cli.js', () => {
  // From scratch: a deleted source must not live on in dist, least of all a test.
  rmSync(path.join(root, 'dist'), { recursive: true, force: true })
  run(process.execPath, ['node_modules/typescript/bin/tsc'])
})
const native = files(['native'], (name) => /\.(cc|h|cu|cuh|cmake|mjs)$|CMakeLists\.txt$/.test(name))
step('building the addon', [...native, 'package-lock.json'], 'build/native/lorikeet.node', () =>
  run(process.execPath, ['native/build.mjs', '--target', 'lorikeet']),
)
if (done === 0 && !quiet) console.error('lorikeet: everything is up to date')
