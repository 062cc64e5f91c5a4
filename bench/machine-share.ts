/** Whose the processors' time was: what others took of it says how far a timing can be trusted. Linux only. */
import { readFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'

/** Ticks (10 ms) that the processors worked, of all processes. A hypervisor's share (steal) is others' too. */
function busyTicks(): number {
  const [user, nice, system, , , irq, softirq, steal] = readFileSync('/proc/stat', 'utf8')
    .split('\n', 1)[0]
    .split(/\s+/)
    .slice(1)
    .map(Number)
  return user + nice + system + irq + softirq + steal
}

/** Ticks of a process and of all its threads; 0 when it has ended. */
function ticksOf(pid: number): number {
  try {
    // Behind the name, which may hold anything: state, ppid, pgrp, session, tty, tpgid, flags, four kinds of faults, utime, stime (proc_pid_stat(5)).
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1)!.split(' ')
    return Number(fields[11]) + Number(fields[12])
  } catch {
    return 0
  }
}

/** Starts a watch. The answer stops it: the part of the machine (0 to 1) that processes other than these and this one took meanwhile; these must still run. */
export function othersShare(pids: number[]): () => number {
  const own = () => [process.pid, ...pids].reduce((sum, pid) => sum + ticksOf(pid), 0)
  const [ownBefore, busyBefore, started] = [own(), busyTicks(), performance.now()]
  return () => {
    const others = busyTicks() - busyBefore - (own() - ownBefore)
    const ticks = ((performance.now() - started) / 10) * availableParallelism()
    return Math.max(0, others / ticks)
  }
}
