/** Loads the addon and finds ONNX Runtime's library. Nothing else in TypeScript touches native code. */
import { existsSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import path from 'node:path'
import { loadError } from './load-error.ts'
import type { NativeAddon } from './types.ts'

const require = createRequire(import.meta.url)

/** The folder that holds package.json: this file's in the sources, one more up when compiled to dist/native. */
function repositoryRoot(): string {
  for (let dir = import.meta.dirname; ; dir = path.dirname(dir)) {
    if (existsSync(path.join(dir, 'package.json'))) return dir
    if (dir === path.dirname(dir)) throw new Error('the addon must lie in the lorikeet repository')
  }
}

let addon: NativeAddon | undefined

/** What a package of npm carries for a platform (deploy/pack.mjs): the addon, and ONNX Runtime's library. A checkout has none. */
const packed = (...names: string[]) => path.join(repositoryRoot(), 'prebuilt', `${process.platform}-${process.arch}`, ...names)

/** The addon that is loaded: one that was built here goes before one that came with the package. */
function addonFile(): string {
  if (process.env.LORIKEET_ADDON !== undefined) return process.env.LORIKEET_ADDON
  const built = path.join(repositoryRoot(), 'build', 'native', 'lorikeet.node')
  return !existsSync(built) && existsSync(packed('lorikeet.node')) ? packed('lorikeet.node') : built
}

/** The addon, built by native/build.mjs or packed. Throws an error that lists what to do when it cannot be loaded. */
export function loadNative(): NativeAddon {
  if (addon) return addon
  const file = addonFile()
  try {
    addon = require(file) as NativeAddon
    return addon
  } catch (cause) {
    const installer = path.join(repositoryRoot(), 'native', 'install.mjs')
    const inPackage = existsSync(path.join(repositoryRoot(), 'prebuilt'))
    throw new Error(loadError(file, (cause as Error).message, inPackage ? installer : undefined), { cause })
  }
}

/**
 * ONNX Runtime 1.29 keeps a telemetry database in the home folder and a log in /tmp, and holds the address of a collector, unless this says no. On the main thread, before anything loads the
 * library: what a worker sets of the environment the library does not see. Whoever set it himself has decided.
 */
export function withoutTelemetry(): void {
  process.env.ORT_DISABLE_TELEMETRY ??= '1'
}

/** The libonnxruntime that came with the package, else the one that onnxruntime-node ships for this platform. */
export function onnxRuntimeLibrary(): string {
  const name = process.platform === 'darwin' ? 'libonnxruntime.1.dylib' : 'libonnxruntime.so.1'
  if (existsSync(packed(name))) return packed(name)
  const root = path.dirname(require.resolve('onnxruntime-node/package.json'))
  const file = path.join(root, 'bin', 'napi-v6', process.platform, process.arch, name)
  if (!existsSync(file))
    throw new Error(`onnxruntime-node has no library for ${process.platform}/${process.arch} (looked for ${file})`)
  return file
}

/**
 * The libonnxruntime that has the CUDA provider beside it, which `EngineOptions.library` names for device `cuda`: `npm run setup:cuda` put it there.
 * Undefined before that, and when ONNX Runtime has another version since: its library and that provider do not belong together.
 */
export function cudaLibrary(root = repositoryRoot()): string | undefined {
  const folder = path.join(root, 'build', 'cuda-provider')
  const [record, library, provider] = ['setup.json', 'libonnxruntime.so.1', 'libonnxruntime_providers_cuda.so'].map((name) =>
    path.join(folder, name),
  )
  if (![record, library, provider].every((file) => existsSync(file))) return undefined
  const json = (file: string) => JSON.parse(readFileSync(file, 'utf8'))
  const carried = path.join(root, 'prebuilt', 'onnxruntime.json')
  const { version } = json(existsSync(carried) ? carried : path.join(root, 'node_modules', 'onnxruntime-node', 'package.json'))
  return json(record).onnxRuntime === version ? library : undefined
}
