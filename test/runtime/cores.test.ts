/** Threads by default, over system files that a test makes up. */
import { availableParallelism } from 'node:os'
import t from 'tap'
import { computingThreads, cpuQuota, type ReadFile, threadsWarning } from '../../runtime/cores.ts'

const files =
  (tree: Record<string, string>): ReadFile =>
  (file) =>
    tree[file]

const V2 = '30 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n'
const V1 = [
  '31 30 0:27 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory',
  '32 30 0:28 / /sys/fs/cgroup/cpu,cpuacct rw shared:9 - cgroup cgroup rw,cpu,cpuacct',
].join('\n')

t.test('cgroups v2: the own group and those around it, the narrowest counts', async (t) => {
  const tree = { '/proc/self/mountinfo': V2, '/proc/self/cgroup': '0::/kubepods/pod1/box\n' }
  const group = '/sys/fs/cgroup/kubepods'
  t.equal(cpuQuota(files(tree)), undefined)
  t.equal(cpuQuota(files({ ...tree, [`${group}/pod1/box/cpu.max`]: 'max 100000\n' })), undefined)
  t.equal(cpuQuota(files({ ...tree, [`${group}/pod1/box/cpu.max`]: '400000 100000\n' })), 4)
  t.equal(
    cpuQuota(files({ ...tree, [`${group}/pod1/box/cpu.max`]: 'max 100000\n', [`${group}/cpu.max`]: '150000 100000\n' })),
    1.5,
  )
  t.equal(
    cpuQuota(files({ ...tree, [`${group}/pod1/box/cpu.max`]: '800000 100000\n', [`${group}/pod1/cpu.max`]: '50000 25000' })),
    2,
  )
  t.equal(cpuQuota(files({ ...tree, [`${group}/pod2/cpu.max`]: '100000 100000\n' })), undefined, "another's")
})

t.test('cgroups v2 in a container: the group is the root of the mount', async (t) => {
  const limit = { '/sys/fs/cgroup/cpu.max': '300000 100000\n' }
  t.equal(cpuQuota(files({ '/proc/self/mountinfo': V2, '/proc/self/cgroup': '0::/\n', ...limit })), 3)
  t.equal(cpuQuota(files({ '/proc/self/mountinfo': V2, '/proc/self/cgroup': '0::/../../other\n', ...limit })), 3)
})

t.test('cgroups v1, where the controller is mounted, and beside v2', async (t) => {
  const cpu = '/sys/fs/cgroup/cpu,cpuacct'
  const tree = { '/proc/self/mountinfo': V1, '/proc/self/cgroup': '5:memory:/other\n4:cpu,cpuacct:/docker/ab\n0::/\n' }
  const limit = (group: string, quota: number) => ({
    [`${group}/cpu.cfs_quota_us`]: `${quota}\n`,
    [`${group}/cpu.cfs_period_us`]: '100000\n',
  })
  t.equal(cpuQuota(files({ ...tree, ...limit(`${cpu}/docker/ab`, 250_000) })), 2.5)
  t.equal(cpuQuota(files({ ...tree, ...limit(`${cpu}/docker/ab`, -1) })), undefined)
  t.equal(cpuQuota(files({ ...tree, ...limit(`${cpu}/docker/ab`, -1), ...limit(`${cpu}/docker`, 700_000) })), 7)
  const inside = V1.replace('0:28 / ', '0:28 /docker/ab ')
  t.equal(
    cpuQuota(files({ ...tree, '/proc/self/mountinfo': inside, ...limit(cpu, 200_000) })),
    2,
    'without a namespace of its own',
  )
  const both = { ...tree, '/proc/self/mountinfo': `${V1}\n${V2}`, '/sys/fs/cgroup/cpu.max': '100000 100000' }
  t.equal(cpuQuota(files({ ...both, ...limit(`${cpu}/docker/ab`, 600_000) })), 1)
})

t.test('threads: physical cores that are allowed, as the quota lets them', async (t) => {
  const siblings = (cpu: number, list: string) => ({ [`/sys/devices/system/cpu/cpu${cpu}/topology/thread_siblings_list`]: list })
  const tree = {
    '/proc/self/status': 'Name:\tnode\nCpus_allowed_list:\t0,2-3\n',
    ...siblings(0, '0'),
    ...siblings(2, '2-3'),
    ...siblings(3, '2-3'),
  }
  const most = availableParallelism()
  t.equal(computingThreads(files(tree)), Math.min(2, most))
  const quota = (text: string) => ({ '/proc/self/mountinfo': V2, '/proc/self/cgroup': '0::/', '/sys/fs/cgroup/cpu.max': text })
  t.equal(computingThreads(files({ ...tree, ...quota('190000 100000') })), 1, 'threads past the quota are throttled')
  t.equal(computingThreads(files({ ...tree, ...quota('20000 100000') })), 1)
  t.equal(computingThreads(files({ ...tree, ...quota('6400000 100000') })), Math.min(2, most))
  t.equal(computingThreads(files({})), most, 'where nothing can be read')
  t.ok(computingThreads() >= 1 && computingThreads() <= most, 'on this machine')
})

t.test('more threads than the quota are a warning', async (t) => {
  const read = files({ '/proc/self/mountinfo': V2, '/proc/self/cgroup': '0::/', '/sys/fs/cgroup/cpu.max': '450000 100000' })
  t.match(threadsWarning(8, read), /--threads 8 is more than the CPU quota of this process, 4\.5 CPUs: .* at most 4 /)
  t.equal(threadsWarning(4, read), undefined)
  t.equal(threadsWarning(64, files({})), undefined)
})
