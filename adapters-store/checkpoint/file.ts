/** A file that is opened only if it is one, and read in full or not at all. */
import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs'
import { CheckpointError } from './errors.ts'

/** Without it, opening a named pipe waits for somebody to write. Windows has neither. */
const DO_NOT_WAIT = constants.O_NONBLOCK ?? 0

export class OpenFile {
  readonly name: string
  /** Bytes when it was opened. */
  readonly size: number
  readonly #descriptor: number

  /** Throws CheckpointError `checkpoint_unreadable` with the system's reason, or because it is a folder, a pipe, a device. */
  constructor(name: string) {
    this.name = name
    try {
      this.#descriptor = openSync(name, constants.O_RDONLY | DO_NOT_WAIT)
    } catch (error) {
      throw new CheckpointError('checkpoint_unreadable', `${name} cannot be opened: ${(error as Error).message}`)
    }
    const status = fstatSync(this.#descriptor)
    this.size = status.size
    if (status.isFile()) return
    this.close()
    throw new CheckpointError('checkpoint_unreadable', `${name} is not a file`)
  }

  /** Fills `into` from byte `position` on. Throws CheckpointError `checkpoint_unreadable` if the file ends before. */
  read(into: Uint8Array, position: number): Uint8Array {
    for (let done = 0; done < into.length; ) {
      let count: number
      try {
        count = readSync(this.#descriptor, into, done, into.length - done, position + done)
      } catch (error) {
        throw new CheckpointError('checkpoint_unreadable', `${this.name} cannot be read: ${(error as Error).message}`)
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

/** Opens `name` for the length of `use`. */
export function withFile<T>(name: string, use: (file: OpenFile) => T): T {
  const file = new OpenFile(name)
  try {
    return use(file)
  } finally {
    file.close()
  }
}
