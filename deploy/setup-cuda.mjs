// Fetches ONNX Runtime's CUDA provider and puts it where the server's addon loads it from. Plain JavaScript without dependencies.
//   npm run setup:cuda                        fetches it (180 MB) unless it is there, then lists what this machine still lacks for CUDA
//   npm run setup:cuda -- --archive FILE      takes the package from a file (`npm pack` made it), for machines without a registry
//   npm run setup:cuda -- --check             changes nothing; exit code 1 when something is missing
// In a package from npm: `node $(npm root -g)/lorikeet/deploy/setup-cuda.mjs`, with the same options.
//
// ONNX Runtime opens its provider libraries in the folder through which it was itself opened. onnxruntime-node has none of them, and `npm ci` replaces its
// folder; so build/cuda-provider/ holds the providers and a link to onnxruntime-node's library, and the addon opens ONNX Runtime through that link.
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  createReadStream,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import path from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'

/** The package, what the registry says of it, and the version of ONNX Runtime that its libraries belong to. */
const PACKAGE = 'com.github.asus4.onnxruntime.linux-x64-gpu@0.4.9'
const INTEGRITY = 'sha512-FopIhNE/Ng+v2X65wVc9clPCBCvhvA53Hxo2U0Kf5fGdVsC7iCA+mZ0KLWggcQAj7TIZ6pNidR4AC10g74Xo6w=='
const ONNX_RUNTIME = '1.29.0'
const INSIDE = 'package/Plugins/Linux/x64'
const PROVIDERS = ['libonnxruntime_providers_cuda.so', 'libonnxruntime_providers_shared.so']
const LIBRARY = 'libonnxruntime.so.1'

const root = path.join(path.dirname(fileURLToPath(import.meta.url)), '..')
const folder = path.join(root, 'build', 'cuda-provider')
const record = path.join(folder, 'setup.json')
/** Of a package from npm, which carries the library, or of a checkout. */
const carried = path.join(root, 'prebuilt', 'onnxruntime.json')
const runtime = existsSync(carried)
  ? { about: carried, library: path.join(root, 'prebuilt', 'linux-x64', LIBRARY) }
  : {
      about: path.join(root, 'node_modules', 'onnxruntime-node', 'package.json'),
      library: path.join(root, 'node_modules', 'onnxruntime-node', 'bin', 'napi-v6', 'linux', 'x64', LIBRARY),
    }

const say = (message) => console.log(`lorikeet: ${message}`)
function fail(message) {
  console.error(`lorikeet: ${message}`)
  process.exit(1)
}

function options() {
  const [first, second, ...rest] = process.argv.slice(2)
  if (first === undefined) return {}
  if (first === '--check' && second === undefined) return { check: true }
  if (first === '--archive' && second !== undefined && rest.length === 0) return { archive: path.resolve(second) }
  return fail('usage: npm run setup:cuda [-- --check | --archive FILE]')
}

/** Whether the folder holds what an earlier run put there, whole, for this package. */
function complete() {
  if (!existsSync(record) || !existsSync(path.join(folder, LIBRARY))) return false
  const { integrity, bytes } = JSON.parse(readFileSync(record, 'utf8'))
  const size = (name) => statSync(path.join(folder, name), { throwIfNoEntry: false })?.size
  return integrity === INTEGRITY && PROVIDERS.every((name) => size(name) === bytes[name])
}

/** Asks npm for the package, so that its registry, proxy and cache settings hold. The archive's path. */
function fetched(into) {
  say(`fetching ${PACKAGE} (180 MB) …`)
  const { status, error, stderr } = spawnSync('npm', ['pack', PACKAGE, '--pack-destination', into, '--loglevel=error'], {
    cwd: root,
    encoding: 'utf8',
  })
  if (error) fail(`npm cannot be run: ${error.message}`)
  if (status !== 0)
    fail(
      `${PACKAGE} cannot be fetched:\n${stderr.trimEnd()}\n` +
        `  where no registry can be reached: \`npm pack ${PACKAGE}\` on another machine, then \`npm run setup:cuda -- --archive FILE\` here`,
    )
  return path.join(
    into,
    readdirSync(into).find((name) => name.endsWith('.tgz')),
  )
}

async function verify(archive) {
  if (!existsSync(archive)) fail(`${archive} does not exist`)
  const hash = createHash('sha512')
  for await (const chunk of createReadStream(archive)) hash.update(chunk)
  const found = `sha512-${hash.digest('base64')}`
  if (found !== INTEGRITY) fail(`${archive} is not ${PACKAGE}\n  expected ${INTEGRITY}\n  found    ${found}`)
}

/** Makes the folder in one move, so that a run that is cut short leaves no half of it. */
async function install(given) {
  const work = `${folder}.${process.pid}`
  mkdirSync(work, { recursive: true })
  process.on('exit', () => rmSync(work, { recursive: true, force: true }))
  const archive = given ?? fetched(work)
  await verify(archive)
  const { status, error, stderr } = spawnSync(
    'tar',
    ['-xzf', archive, '--no-same-owner', '-C', work, ...PROVIDERS.map((name) => `${INSIDE}/${name}`)],
    { encoding: 'utf8' },
  )
  if (error || status !== 0) fail(`the archive cannot be unpacked: ${error?.message ?? stderr.trim()}`)
  const made = path.join(work, 'made')
  mkdirSync(made)
  const bytes = {}
  for (const name of PROVIDERS) {
    renameSync(path.join(work, INSIDE, name), path.join(made, name))
    bytes[name] = statSync(path.join(made, name)).size
  }
  // Relative, so that checkout and image may be moved as a whole.
  symlinkSync(path.relative(folder, runtime.library), path.join(made, LIBRARY))
  writeFileSync(
    path.join(made, 'setup.json'),
    JSON.stringify({ package: PACKAGE, integrity: INTEGRITY, onnxRuntime: ONNX_RUNTIME, bytes }, null, 2),
  )
  rmSync(folder, { recursive: true, force: true })
  renameSync(made, folder)
}

/** Says what a CUDA run lacks on this machine, as the server itself sees it. Whether that could be told, and nothing is missing. */
async function report() {
  const compiled = path.join(root, 'dist', 'native', 'cuda-host.js')
  const unknown = (why) => say(`what else CUDA needs on this machine is not checked: ${why}`)
  if (!existsSync(compiled)) {
    unknown('the server is not built (`npm run build`)')
    return false
  }
  let missing
  try {
    const { cudaMissing, thisHost } = await import(pathToFileURL(compiled).href)
    missing = cudaMissing(thisHost(root))
  } catch (error) {
    unknown(error.message)
    return false
  }
  if (missing.length === 0) say('ready: `--device cuda` can be used')
  else say(`before \`--device cuda\` can be used, this machine needs:\n${missing.map((line) => `  - ${line}`).join('\n')}`)
  return missing.length === 0
}

const { check, archive } = options()
if (process.platform !== 'linux' || process.arch !== 'x64')
  fail(`CUDA needs Linux on x64; this is ${process.platform} on ${process.arch}, where the server runs on the CPU`)
if (!check) {
  if (!existsSync(runtime.about)) fail('onnxruntime-node is not installed; run `npm run build` first')
  const { version } = JSON.parse(readFileSync(runtime.about, 'utf8'))
  if (version !== ONNX_RUNTIME)
    fail(
      `onnxruntime-node is ${version}, but ${PACKAGE} holds the provider of ONNX Runtime ${ONNX_RUNTIME}: both must be of one version`,
    )
  if (complete()) say(`the CUDA provider of ONNX Runtime ${ONNX_RUNTIME} is in place`)
  else {
    await install(archive)
    say(`the CUDA provider of ONNX Runtime ${ONNX_RUNTIME} is in ${path.relative(process.cwd(), folder) || folder}`)
  }
}
const ready = await report()
if (check && !ready) process.exitCode = 1
