/**
 * One file of the hub, into the cache. It is written under a name of its own, so that two processes never write the same; what a broken download leaves there, another goes on with: what
 * counts is that size and hash are right in the end.
 */
import { createHash, type Hash, randomBytes } from 'node:crypto'
import { type FileHandle, mkdir, open, readdir, rename, stat, unlink, utimes } from 'node:fs/promises'
import path from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { AdapterError } from '../errors.ts'
import { type RepoCache, sizeOf } from './cache.ts'
import { type HubFile, reasonOf, STALL, unreachable } from './client.ts'

/** `open` of HubClient, for one file. */
export type OpenFile = (from: number, signal: AbortSignal) => Promise<Response>

export interface BlobOptions {
  signal: AbortSignal
  /** Told how many bytes more there are; fewer where the hub has begun again. */
  onBytes(bytes: number): void
  /** Milliseconds without a byte after which a connection is given up. */
  stall?: number
}

/** How often a connection that breaks is made again. */
const ATTEMPTS = 4
const SUFFIX = '.lorikeet.incomplete'
const PIECE = 1 << 20

/** Rejects with AdapterError, and with the signal's reason. */
export async function fetchBlob(file: HubFile, cache: RepoCache, source: OpenFile, options: BlobOptions): Promise<void> {
  const { signal, stall = STALL } = options
  await mkdir(path.dirname(cache.blob(file.hash)), { recursive: true })
  const part = await Part.make(file, cache, stall, options.onBytes)
  try {
    for (let attempt = 1; ; attempt++) {
      try {
        await receive(part, source, signal, stall)
        await part.finish(cache.blob(file.hash))
        return
      } catch (error) {
        signal.throwIfAborted()
        const again = error instanceof AdapterError && error.code === 'hub_unreachable'
        if (!again || attempt === ATTEMPTS) throw error
        await pause(Math.min(stall, 250 * 2 ** attempt), undefined, { signal })
      }
    }
  } finally {
    await part.leave()
  }
}

async function receive(part: Part, source: OpenFile, outer: AbortSignal, stall: number): Promise<void> {
  const { path: name, bytes } = part.file
  if (part.written === bytes && bytes > 0) return
  const quiet = new AbortController()
  const timer = setTimeout(() => quiet.abort(unreachable(`${name}: nothing came for ${stall / 1000} s`)), stall)
  const signal = AbortSignal.any([outer, quiet.signal])
  try {
    const response = await source(part.written, signal)
    if (response.status !== 206 || !response.headers.get('content-range')?.startsWith(`bytes ${part.written}-`))
      await part.restart()
    for await (const chunk of response.body ?? []) {
      timer.refresh()
      await part.write(chunk)
    }
  } catch (error) {
    signal.throwIfAborted()
    if (error instanceof AdapterError || (error as NodeJS.ErrnoException).syscall === 'write') throw error
    throw unreachable(`${name}: the connection to the hub broke`, `${name}: the connection to the hub broke: ${reasonOf(error)}`)
  } finally {
    clearTimeout(timer)
  }
  if (part.written < bytes) throw unreachable(`${name}: the connection to the hub ended after ${part.written} of ${bytes} bytes`)
}

/** Removes what broken downloads have left of files that are whole by now. */
export async function removeLeft(cache: RepoCache, stall: number): Promise<void> {
  const folder = path.dirname(cache.blob('any'))
  for (const name of await readdir(folder).catch(() => [])) {
    if (!name.endsWith(SUFFIX)) continue
    const whole = await sizeOf(path.join(folder, name.slice(0, name.indexOf('.'))))
    if (whole !== undefined && (await isLeft(path.join(folder, name), stall)))
      await unlink(path.join(folder, name)).catch(() => undefined)
  }
}

/** What there is of a file so far. */
class Part {
  readonly file: HubFile
  readonly #path: string
  readonly #handle: FileHandle
  readonly #onBytes: (bytes: number) => void
  #hash: Hash
  #written = 0
  #left = false
  /** Began by another download, of which nothing is known. */
  #inherited = false

  private constructor(file: HubFile, path: string, handle: FileHandle, onBytes: (bytes: number) => void) {
    this.file = file
    this.#path = path
    this.#handle = handle
    this.#onBytes = onBytes
    this.#hash = hashOf(file)
  }

  static async make(file: HubFile, cache: RepoCache, stall: number, onBytes: (bytes: number) => void): Promise<Part> {
    const blob = cache.blob(file.hash)
    const mine = `${blob}.${randomBytes(6).toString('hex')}${SUFFIX}`
    const found = await takeOver(blob, mine, stall)
    const part = new Part(file, mine, await open(mine, found ? 'r+' : 'wx+'), onBytes)
    part.#inherited = found
    if (found) await part.#read()
    return part
  }

  get written(): number {
    return this.#written
  }

  async restart(): Promise<void> {
    this.#onBytes(-this.#written)
    this.#written = 0
    this.#inherited = false
    this.#hash = hashOf(this.file)
    await this.#handle.truncate(0)
  }

  async write(chunk: Uint8Array): Promise<void> {
    const { path: name, bytes } = this.file
    if (this.#written + chunk.length > bytes)
      throw new AdapterError('hub_file_invalid', `${name}: the hub sends more than the ${bytes} bytes that it lists`)
    for (let done = 0; done < chunk.length; )
      done += (await this.#handle.write(chunk, done, chunk.length - done, this.#written + done)).bytesWritten
    this.#add(chunk)
  }

  /** It is on the disk under its name, or AdapterError: it is not what the hub lists. */
  async finish(blob: string): Promise<void> {
    const { path: name, hash } = this.file
    if (this.#hash.digest('hex') !== hash) {
      if (this.#inherited) {
        await this.restart()
        throw unreachable(`${name}: what a broken download had left of it is something else`)
      }
      await this.leave()
      await unlink(this.#path)
      throw new AdapterError('hub_file_invalid', `${name}: what came is not what the hub lists: another hash`)
    }
    await this.#handle.sync()
    await rename(this.#path, blob)
    this.#left = true
    await this.#handle.close()
  }

  /** Whoever wants the file next may go on with what there is, at once. */
  async leave(): Promise<void> {
    if (this.#left) return
    this.#left = true
    await this.#handle.close()
    await utimes(this.#path, 0, 0)
  }

  /** What another download has left. */
  async #read(): Promise<void> {
    const { size } = await this.#handle.stat()
    const piece = Buffer.alloc(Math.min(PIECE, size))
    if (size > this.file.bytes) return this.restart()
    while (this.#written < size) {
      const { bytesRead } = await this.#handle.read(piece, 0, piece.length, this.#written)
      if (bytesRead === 0) break
      this.#add(piece.subarray(0, bytesRead))
    }
  }

  #add(bytes: Uint8Array): void {
    this.#hash.update(bytes)
    this.#written += bytes.length
    this.#onBytes(bytes.length)
  }
}

/** As git has it for its own files, as LFS has it for others. */
const hashOf = ({ hash, bytes }: HubFile): Hash =>
  hash.length === 40 ? createHash('sha1').update(`blob ${bytes}\0`) : createHash('sha256')

/** Whether nobody writes an unfinished file any more: whoever writes one gets something at least every `stall` milliseconds, or gives it up. */
async function isLeft(part: string, stall: number): Promise<boolean> {
  const found = await stat(part).catch(() => undefined)
  return found !== undefined && Date.now() - found.mtimeMs >= 2 * stall
}

/** Whether an unfinished file of a blob that nobody writes any more was there to be taken. Renaming it tells of two who want it which has it. */
async function takeOver(blob: string, mine: string, stall: number): Promise<boolean> {
  const folder = path.dirname(blob)
  for (const name of await readdir(folder)) {
    if (!name.startsWith(`${path.basename(blob)}.`) || !name.endsWith(SUFFIX)) continue
    const left = path.join(folder, name)
    if (!(await isLeft(left, stall))) continue
    try {
      await rename(left, mine)
      const now = new Date()
      await utimes(mine, now, now)
      return true
    } catch {
      // Somebody else has it.
    }
  }
  return false
}
