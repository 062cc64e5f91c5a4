/** That a state folder is one server's: a file in it names the process. What a process left behind that is no more is taken over. */
import { closeSync, constants, copyFileSync, openSync, readFileSync, renameSync, rmSync, writeSync } from 'node:fs'
import { hostname } from 'node:os'
import path from 'node:path'
import { ConfigError } from './config/values.ts'

const FILE = 'server.lock'

/** How often it is tried to make the file in place of one that was left behind. */
const TRIES = 3

/** Milliseconds in which whoever has made the file has written into it. */
const WRITTEN_MS = 50

interface Holder {
  pid: number
  /** When the process began, as the system counts it: numbers of processes come again. Absent where the system does not say. */
  began?: string
  host: string
}

/** Since the system's start, in ticks; the 22nd field, counted behind the name in brackets, which may hold anything. */
function beganOf(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19]
  } catch {
    return undefined
  }
}

/** Whether the one who made the file is there still. Of another machine (a shared disk, a container that is gone) it cannot be told: that is taken to be over. */
function isThere({ pid, began, host }: Holder): boolean {
  if (host !== hostname() || pid === process.pid) return false
  try {
    process.kill(pid, 0)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EPERM') return false
  }
  return began === undefined || beganOf(pid) === began
}

export class StateLock {
  private readonly file: string

  /** Throws ConfigError when another server of this machine has the folder, and the system's error when nothing can be written there. */
  constructor(directory: string) {
    this.file = path.join(directory, FILE)
    const own: Holder = { pid: process.pid, began: beganOf(process.pid), host: hostname() }
    for (let tries = 1; ; tries++) {
      try {
        const file = openSync(this.file, 'wx')
        writeSync(file, JSON.stringify(own))
        closeSync(file)
        return
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EEXIST' || tries === TRIES) throw error
      }
      const holder = holderOf(this.file) ?? this.holderSoon()
      if (holder && isThere(holder))
        throw new ConfigError(
          `the state folder ${directory} is in use by another server, process ${holder.pid}: end that, or give each its own --state-dir`,
        )
      this.takeAway()
    }
  }

  release(): void {
    if (holderOf(this.file)?.pid === process.pid) rmSync(this.file, { force: true })
  }

  /** A file that says nothing may have been made just now. */
  private holderSoon(): Holder | undefined {
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, WRITTEN_MS)
    return holderOf(this.file)
  }

  /** Of servers that start at once one may have taken over what another has just looked at: what is taken away is looked at again, and put back if it is that one's. */
  private takeAway(): void {
    const aside = `${this.file}.${process.pid}`
    try {
      renameSync(this.file, aside)
      const holder = holderOf(aside)
      if (holder && isThere(holder)) copyFileSync(aside, this.file, constants.COPYFILE_EXCL)
    } catch (error) {
      if (!['ENOENT', 'EEXIST'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error
    }
    rmSync(aside, { force: true })
  }
}

/** undefined: the file is gone, or holds nothing that can be read. */
function holderOf(file: string): Holder | undefined {
  try {
    const said = JSON.parse(readFileSync(file, 'utf8'))
    return Number.isInteger(said?.pid) ? said : undefined
  } catch {
    return undefined
  }
}
