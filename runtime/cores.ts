/**
 * How many threads compute by default. Node's availableParallelism (libuv 1.46) counts the CPUs of this process's affinity, but not what a container's quota
 * leaves of them: 64 threads that wait for each other at barriers, on 4 CPUs' worth of time, are throttled most of it.
 */
import { readFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import path from 'node:path'

/** A file's text, undefined if it cannot be read. */
export type ReadFile = (file: string) => string | undefined

export const readSystem: ReadFile = (file) => {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return undefined
  }
}

/** CPUs that this process's affinity allows, by Linux's numbers; none where the system does not say. */
export function allowedCpus(read: ReadFile = readSystem): number[] {
  const list = /^Cpus_allowed_list:\s*(\S+)$/m.exec(read('/proc/self/status') ?? '')?.[1]
  return (list?.split(',') ?? []).flatMap((range) => {
    const [first, last = first] = range.split('-').map(Number)
    return Array.from({ length: last - first + 1 }, (_, i) => first + i)
  })
}

/** The hardware threads of a CPU's core, as Linux lists them: one text for each core. */
export const siblingsOf = (cpu: number, read: ReadFile = readSystem): string | undefined =>
  read(`/sys/devices/system/cpu/cpu${cpu}/topology/thread_siblings_list`)

/** Physical cores that this process's affinity allows: two threads of one core share its vector units, so a second one adds nothing to a product. */
function allowedCores(read: ReadFile): number | undefined {
  const cores = allowedCpus(read).map((cpu) => siblingsOf(cpu, read))
  return cores.includes(undefined) ? undefined : new Set(cores).size || undefined
}

/** Where a hierarchy is mounted, and which of its folders that is. */
interface Mount {
  root: string
  point: string
}

/** From /proc/self/mountinfo (proc_pid_mountinfo(5)): the unified hierarchy of cgroups v2, or v1's of the cpu controller. */
function mountOf(read: ReadFile, version: 1 | 2): Mount | undefined {
  for (const line of (read('/proc/self/mountinfo') ?? '').split('\n')) {
    const [own, filesystem] = line.split(' - ').map((half) => half.split(' '))
    if (filesystem === undefined) continue
    const [type, , options = ''] = filesystem
    const matches = version === 2 ? type === 'cgroup2' : type === 'cgroup' && options.split(',').includes('cpu')
    if (matches) return { root: own[3], point: own[4] }
  }
  return undefined
}

/** The folders of this process's group and of the groups around it, innermost first. */
function groups(read: ReadFile, version: 1 | 2): string[] {
  const mount = mountOf(read, version)
  const entries = (read('/proc/self/cgroup') ?? '').trim().split('\n')
  const own = entries
    .map((entry) => /^(\d+):([^:]*):(.*)$/.exec(entry) ?? [])
    .find(([, id, controllers]) => (version === 2 ? id === '0' : controllers?.split(',').includes('cpu')))?.[3]
  if (!mount || own === undefined) return []
  // A container sees its own group as the mount's root, under either name.
  const inside = path.relative(mount.root, own)
  const parts = inside.startsWith('..') ? [] : inside.split('/').filter((part) => part !== '')
  return Array.from({ length: parts.length + 1 }, (_, up) => path.join(mount.point, ...parts.slice(0, parts.length - up)))
}

/** CPUs' worth of time that cgroups leave this process; undefined without a limit. The narrowest group counts. */
export function cpuQuota(read: ReadFile = readSystem): number | undefined {
  const share = (quota: string | undefined, period: string | undefined) => {
    const cpus = Number(quota) / Number(period)
    return cpus > 0 ? cpus : Number.POSITIVE_INFINITY
  }
  const limits = [
    ...groups(read, 2).map((group) => {
      const [quota, period] = (read(`${group}/cpu.max`) ?? '').trim().split(' ')
      return share(quota, period)
    }),
    ...groups(read, 1).map((group) => share(read(`${group}/cpu.cfs_quota_us`), read(`${group}/cpu.cfs_period_us`))),
  ]
  const least = Math.min(...limits)
  return Number.isFinite(least) ? least : undefined
}

/** The physical cores that affinity and quota leave this process, one at least. */
export function computingThreads(read: ReadFile = readSystem): number {
  const cores = Math.min(availableParallelism(), allowedCores(read) ?? Number.POSITIVE_INFINITY)
  return Math.max(1, Math.min(cores, Math.floor(cpuQuota(read) ?? cores)))
}

/** What the user should know of so many threads; undefined if nothing. */
export function threadsWarning(threads: number, read: ReadFile = readSystem): string | undefined {
  const quota = cpuQuota(read)
  if (quota === undefined || threads <= Math.max(1, quota)) return undefined
  return `--threads ${threads} is more than the CPU quota of this process, ${Number(quota.toFixed(2))} CPUs: they will be throttled; at most ${Math.max(1, Math.floor(quota))} are of use`
}
