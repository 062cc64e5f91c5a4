/**
 * Where symbolic links of adapters may lead. Whoever can write a folder of adapters must not choose which files of this machine the server opens: a link leads anywhere
 * inside the root that the operator gave, and nowhere else. The root itself may be a link. A hub cache keeps the files of `models--org--name/snapshots/REVISION` in
 * `models--org--name/blobs`, which belongs to a root in such a snapshot.
 */
import { realpathSync } from 'node:fs'
import path from 'node:path'
import { systemReason } from './checkpoint/index.ts'
import { AdapterError } from './errors.ts'

export class Root {
  readonly given: string
  readonly #allowed: string[]

  /** Throws AdapterError `adapter_not_found` if there is no such folder. */
  constructor(given: string) {
    this.given = given
    const real = realPath(given, 'the folder of adapters')
    const blobs = hubBlobs(real)
    this.#allowed = blobs === undefined ? [real] : [real, blobs]
  }

  /** The real path of `file`, which errors call `name`. Throws AdapterError `adapter_link_refused` where that is outside. */
  inside(file: string, name: string): string {
    const real = realPath(file, name)
    if (this.#allowed.some((folder) => isWithin(folder, real))) return real
    throw new AdapterError(
      'adapter_link_refused',
      `${name} is reached through a symbolic link that leads out of the folder of adapters, so it is not read`,
      {
        detail: `${file} is reached through a symbolic link to ${real}, outside ${this.given}: put a copy there, or give --adapter NAME=DIR with the folder that it leads to`,
      },
    )
  }
}

function realPath(file: string, name: string): string {
  try {
    return realpathSync(file)
  } catch (error) {
    const reason = systemReason(error)
    throw new AdapterError('adapter_not_found', `${name} cannot be reached: ${reason}`, {
      detail: `${file} cannot be reached: ${reason}`,
    })
  }
}

/** Whether a path is a folder's own or lies in it; both absolute. */
export function isWithin(folder: string, file: string): boolean {
  const relative = path.relative(folder, file)
  return relative === '' || (relative !== '..' && !relative.startsWith(`..${path.sep}`) && !path.isAbsolute(relative))
}

/** The `blobs` beside the `snapshots` that a folder lies in. */
function hubBlobs(folder: string): string | undefined {
  const parts = folder.split(path.sep)
  const at = parts.findLastIndex((part, i) => part.startsWith('models--') && parts[i + 1] === 'snapshots')
  return at < 0 ? undefined : [...parts.slice(0, at + 1), 'blobs'].join(path.sep)
}
