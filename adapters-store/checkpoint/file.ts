/** A file that is opened only if it is one, and read in full or not at all. */
import { closeSync, constants, fstatSync, openSync, readSync, statSync } from 'node:fs'
import { CheckpointError } from './errors.ts'
import { systemReason } from './reasons.ts'

/** Without it, opening a named pipe waits for somebody to write. Windows has neither. */
const DO_NOT_WAIT = constants.O_NONBLOCK ?? 0
/** A path that was resolved holds no link any more, unless somebody has put one there since. */
const NO_LINK = constants.O_NOFOLLOW ?? 0

export class OpenFile {
  readonly name: string
  /** Bytes when it was opened. */
  readonly size: number
  readonly #descriptor: number

  /**
   * `resolved`: its real path, where links are not followed; then `name` is what errors call it. Throws CheckpointError `checkpoint_unreadable` with the system's
   * reason, or because it is a folder, a pipe, a socket, a device.
   */
  constructor(name: string, resolved?: string) {
    this.name = name
    try {
      // Opening alone acts on some devices (a tape, a watchdog), so what is none is asked first; what it is then is asked of the open one.
      if (!statSync(resolved ?? name).isFile()) throw notAFile(name)
      this.#descriptor = openSync(resolved ?? name, constants.O_RDONLY | DO_NOT_WAIT | (resolved === undefined ? 0 : NO_LINK))
    } catch (error) {
      if (error instanceof CheckpointError) throw error
      throw new CheckpointError('checkpoint_unreadable', `${name} cannot be opened: ${systemReason(error)}`)
    }
    const status = fstatSync(this.#descriptor)
    this.size = status.size
    if (status.isFile()) return
    this.close()
    throw notAFile(name)
  }

  /** Fills `into` from byte `position` on. Throws CheckpointError `checkpoint_unreadable` if the file ends before. */
  read(into: Uint8Array, position: number): Uint8Array {
    for (let done = 0; done < into.length; ) {
      let count: number
      try {
        count = readSync(this.#descriptor, into, done, into.length - done, position + done)
      } catch (error) {
        throw new CheckpointError('checkpoint_unreadable', `${this.name} cannot be read: ${systemReason(error)}`)
      }
      if (count === 0)
        throw new CheckpointError(
          'checkpoint_unreadable',
          `${this.name} ended at byte ${position + done}: it shrank while it was read`,
        )
      done += count
    }
    return into
  }

  close(): void {
    closeSync(this.#descriptor)
  }
}

function notAFile(name: string): CheckpointError {
  return new CheckpointError('checkpoint_unreadable', `${name} is not a file`)
}

/** Opens `name` for the length of `use`; `resolved` as OpenFile takes it. */
export function withFile<T>(name: string, use: (file: OpenFile) => T, resolved?: string): T {
  const file = new OpenFile(name, resolved)
  try {
    return use(file)
  } finally {
    file.close()
  }
}
