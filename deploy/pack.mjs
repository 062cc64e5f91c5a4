// Makes the package for `npm install`: lorikeet-VERSION.tgz with the compiled server, the addon built for other machines, ONNX Runtime's library, the demo model, and the
// addon's sources for machines that the built one does not fit. Installing it needs npm's registry alone: onnxruntime-node, whose install script fetches from elsewhere, is not
// among its dependencies. Plain JavaScript without dependencies.
//   npm run pack [-- DIR]     DIR: where the package goes; here by default. arm64 is in it where Debian's g++-aarch64-linux-gnu is installed.
import { spawnSync } from 'node:child_process'
import { copyFileSync, cpSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'

const root = path.join(path.dirname(fileURLToPath(import.meta.url)), '..')
const at = (...parts) => path.join(root, ...parts)
const stage = at('build', 'package')
const into = path.resolve(process.argv[2] ?? '.')
const runtime = at('node_modules', 'onnxruntime-node')
const json = (file) => JSON.parse(readFileSync(file, 'utf8'))
const say = (message) => console.error(`lorikeet: ${message}`)

function run(command, args, cwd = root) {
  const { status, error, stdout } = spawnSync(command, args, { cwd, stdio: ['ignore', 'pipe', 2], encoding: 'utf8' })
  if (error || status !== 0) {
    say(`\`${[command, ...args].join(' ')}\` failed${error ? `: ${error.message}` : ''}\n${stdout ?? ''}`)
    process.exit(1)
  }
  return stdout
}

/** A file or folder of the repository at the same place in the package. `wanted`: which files of it. */
function take(name, wanted = () => true) {
  cpSync(at(name), path.join(stage, name), {
    recursive: true,
    filter: (file) => statSync(file).isDirectory() || wanted(file),
  })
}

/** The addon and ONNX Runtime's library for one platform. */
function takePlatform(arch, folder, strip, ...options) {
  say(`building the addon for linux-${arch} …`)
  run(process.execPath, ['native/build.mjs', '--target', 'lorikeet', ...options])
  const to = path.join(stage, 'prebuilt', `linux-${arch}`)
  mkdirSync(to, { recursive: true })
  run(strip, ['-o', path.join(to, 'lorikeet.node'), at('build', folder, 'lorikeet.node')])
  copyFileSync(path.join(runtime, 'bin', 'napi-v6', 'linux', arch, 'libonnxruntime.so.1'), path.join(to, 'libonnxruntime.so.1'))
  return arch
}

if (process.platform !== 'linux' || process.arch !== 'x64') {
  say(`the package is made on linux-x64; this is ${process.platform}-${process.arch}`)
  process.exit(1)
}
rmSync(stage, { recursive: true, force: true })
mkdirSync(stage, { recursive: true })
const hasCross = !spawnSync('aarch64-linux-gnu-g++', ['--version']).error
if (!hasCross) say('without arm64: no aarch64-linux-gnu-g++ (Debian: apt install g++-aarch64-linux-gnu)')
const cpu = [takePlatform('x64', 'native', 'strip')]
if (hasCross) cpu.push(takePlatform('arm64', 'arm64', 'aarch64-linux-gnu-strip', '--aarch64'))

for (const folder of ['server', 'runtime', 'adapters-store', 'native'])
  take(path.join('dist', folder), (file) => file.endsWith('.js'))
take('native', (file) => /\.(cc|h|cu|cuh|cmake|mjs)$|CMakeLists\.txt$|LICENSE/.test(file))
for (const name of ['server/ui/page', 'deploy/demo-model', 'deploy/setup-cuda.mjs', 'LICENSE', 'README.md']) take(name)
for (const name of ['CHANGELOG.md', 'SECURITY.md']) if (existsSync(at(name))) take(name)
copyFileSync(at('native', 'third_party', 'onnxruntime', 'LICENSE'), path.join(stage, 'prebuilt', 'LICENSE.onnxruntime'))

const { devDependencies: _, private: __, scripts: ___, ...described } = json(at('package.json'))
const { version } = json(path.join(runtime, 'package.json'))
writeFileSync(
  path.join(stage, 'prebuilt', 'onnxruntime.json'),
  `${JSON.stringify({ version, license: 'LICENSE.onnxruntime' }, null, 2)}\n`,
)
delete described.dependencies['onnxruntime-node']
const manifest = { ...described, os: ['linux'], cpu, libc: ['glibc'], scripts: { install: 'node native/install.mjs' } }
writeFileSync(path.join(stage, 'package.json'), `${JSON.stringify(manifest, null, 2)}\n`)
// What is installed is what was tested.
copyFileSync(at('package-lock.json'), path.join(stage, 'package-lock.json'))
run(
  'npm',
  ['install', '--package-lock-only', '--ignore-scripts', '--omit=dev', '--no-audit', '--no-fund', '--loglevel=error'],
  stage,
)
renameSync(path.join(stage, 'package-lock.json'), path.join(stage, 'npm-shrinkwrap.json'))

mkdirSync(into, { recursive: true })
const [{ filename, size, unpackedSize, entryCount }] = JSON.parse(
  run('npm', ['pack', '--json', '--ignore-scripts', '--pack-destination', into], stage),
)
say(
  `${path.join(into, filename)}: ${(size / 1e6).toFixed(1)} MB, ${entryCount} files, ${(unpackedSize / 1e6).toFixed(1)} MB installed, beside its dependencies`,
)
