/** Where threads are pinned, over system files that a test makes up. */
import t from 'tap'
import type { ReadFile } from '../../runtime/cores.ts'
import { cpuList, placementOf } from '../../runtime/cpu-affinity.ts'

const files =
  (tree: Record<string, string>): ReadFile =>
  (file) =>
    tree[file]

/** CPUs 0 to 7: four cores of two threads (0 and 4, 1 and 5, …), cores 0 and 1 on node 0, cores 2 and 3 on node 1. */
const machine = (allowed: string, nodes = '0-1') =>
  files({
    '/proc/self/status': `Name:\tnode\nCpus_allowed_list:\t${allowed}\n`,
    ...Object.fromEntries(
      Array.from({ length: 8 }, (_, cpu) => [
        `/sys/devices/system/cpu/cpu${cpu}/topology/thread_siblings_list`,
        `${cpu % 4},${(cpu % 4) + 4}\n`,
      ]),
    ),
    '/sys/devices/system/node/online': `${nodes}\n`,
    '/sys/devices/system/node/node0/cpulist': nodes === '0' ? '0-7\n' : '0-1,4-5\n',
    '/sys/devices/system/node/node1/cpulist': '2-3,6-7\n',
  })

t.test('lists of CPUs', async (t) => {
  t.same(cpuList('0-3,8'), [0, 1, 2, 3, 8])
  t.same(cpuList('5, 2,2-3\n'), [5, 2, 3], 'the order stays, doubles count once')
  for (const wrong of ['', 'all', '3-1', '1-', '-1', '1,,2', '0x1', '1 2', '0-999999']) t.equal(cpuList(wrong), undefined, wrong)
})

t.test('nothing is pinned that was not asked for', async (t) => {
  t.same(placementOf(undefined, 3, machine('0-7')), { threads: 3 })
})

t.test('a list: a thread for each CPU, in its order, and the memory of their nodes', async (t) => {
  t.same(placementOf('0-1,3', undefined, machine('0-7')), { threads: 3, cpus: [0, 1, 3], memoryNodes: [0, 1] })
  t.same(placementOf('7,6', undefined, machine('0-7')), { threads: 2, cpus: [7, 6], memoryNodes: [1] })
  t.same(placementOf('3,2,1', 2, machine('0-7')), { threads: 2, cpus: [3, 2], memoryNodes: [1] }, 'of a longer one the first')
  t.same(placementOf('0,2', undefined, machine('0-7', '0')), { threads: 2, cpus: [0, 2], memoryNodes: undefined }, 'one node')
})

t.test('auto: a core for each thread, of the node with most of the CPUs', async (t) => {
  t.same(placementOf('auto', 2, machine('0-7')), { threads: 2, cpus: [0, 1], memoryNodes: [0] })
  t.same(placementOf('auto', 2, machine('1-3,6-7')), { threads: 2, cpus: [2, 3], memoryNodes: [1] })
  t.same(placementOf('auto', 4, machine('0-7')), { threads: 4, cpus: [0, 1, 2, 3], memoryNodes: [0, 1] })
  t.same(placementOf('auto', 5, machine('0-7')).cpus, [0, 1, 2, 3, 4], 'then the second threads of cores')
})

t.test('what is refused, and what would be right', async (t) => {
  const complaint = (affinity: string, threads?: number, read = machine('0-3')) => {
    try {
      placementOf(affinity, threads, read)
    } catch (error) {
      return error instanceof RangeError ? error.message : `${error}`
    }
    return 'taken'
  }
  t.equal(complaint('node0'), '--cpu-affinity must be auto or a list of CPUs like 0-3,8, not "node0"')
  t.equal(complaint('2,6-7'), '--cpu-affinity 2,6-7: this process may not use CPU 6, 7; it may use 0-3')
  t.equal(complaint('0-1', 4), '--cpu-affinity 0-1: 2 CPUs for --threads 4; give each thread one, or --threads 2')
  t.equal(complaint('auto', 5), '--cpu-affinity auto: 4 CPUs for --threads 5; give each thread one, or --threads 4')
  t.match(complaint('auto', 1, files({})), /needs Linux/)
})
