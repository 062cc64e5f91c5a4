// npm's install script of the package (deploy/pack.mjs): the addon that came with it, if it can be loaded here, else one that is built from the sources that came too.
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'

const here = path.dirname(fileURLToPath(import.meta.url))
const platform = `${process.platform}-${process.arch}`
const carried = path.join(here, '..', 'prebuilt', platform)

function fail(message) {
  console.error(`lorikeet: ${message}`)
  process.exit(1)
}

/** Why the addon cannot be loaded; nothing when it can. */
function unusable(file) {
  if (!existsSync(file)) return `none came for ${platform}`
  try {
    process.dlopen({ exports: {} }, file)
  } catch (error) {
    return error.message
  }
}

if (!existsSync(path.join(carried, 'libonnxruntime.so.1')))
  fail(`this package has no ONNX Runtime for ${platform}: clone the repository, and \`npm run build\` there`)
const reason = unusable(path.join(carried, 'lorikeet.node'))
if (reason !== undefined) {
  console.error(`lorikeet: the addon that came with the package cannot be used (${reason}); building one …`)
  const { status, error } = spawnSync(process.execPath, [path.join(here, 'build.mjs'), '--target', 'lorikeet'], {
    stdio: ['ignore', 2, 2],
  })
  if (status !== 0)
    fail(`the addon could not be built${error ? `: ${error.message}` : ''}; on Debian and Ubuntu: apt install cmake g++ make`)
}
