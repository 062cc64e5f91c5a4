/**
 * The addon whose CUDA engine runs without a GPU (test/cuda/emulated): importing this makes it the addon of this process and of its threads. It is built by
 * .ci/cuda, or by `node native/build.mjs --target lorikeet-emulated`; tests that need it are skipped where it is not.
 */
import { existsSync } from 'node:fs'
import path from 'node:path'
import { OracleFamily } from './oracle.ts'
import { demoModel, fixture, repoRoot } from './repo.ts'
import { startServed } from './served.ts'

export { type Answer, ask } from './ask.ts'

const addon = path.join(repoRoot(), 'build/emulated/lorikeet.node')
const built = existsSync(addon)
// Where it is not built, what a test's file prepares for its skipped tests (models) is made with the ordinary addon.
if (built) process.env.LORIKEET_ADDON = addon

/** For a test's options. */
export const needsEmulated = {
  skip: built ? false : `${addon} is not built (node native/build.mjs --target lorikeet-emulated)`,
}

/** Oracle families that attention on CUDA takes; on the others it would refuse the heads. */
export const FAMILIES = [
  ...['llama-heads16', 'qwen3-heads16', 'gemma2-heads16', 'phi3-heads16'],
  ...['added-heads16', 'added-tied-heads16', 'added-gemma2-heads16'],
  ...['alora-heads16', 'alora-qwen3-heads16'],
]

/** The demo model with its adapters over HTTP. */
export const serveEmulated = (t: Parameters<typeof startServed>[0]) =>
  startServed(
    t,
    { model: demoModel('base'), adapters: demoModel('adapters'), device: 'cuda', pool: '32MiB', 'max-batch-tokens': 256 },
    { machine: { cudaObstacles: () => [], hasGpu: () => true } },
  )

/** On the emulated device in float16, or for comparison on this addon's CPU engine in float32. */
export const emulatedFamily = (name = FAMILIES[0], device: 'cuda' | 'cpu' = 'cuda', leastFrameBytes?: number) =>
  new OracleFamily(name, device === 'cuda' ? 'float16' : 'float32', fixture('oracle'), device, leastFrameBytes)
