/** Which CPU each computing thread is pinned to, and the memory nodes of these. Linux numbers CPUs and nodes; so does what is read here. */
import { allowedCpus, computingThreads, type ReadFile, readSystem, siblingsOf } from './cores.ts'

export interface Placement {
  threads: number
  /** The CPU of each thread; absent: threads go where the system puts them. */
  cpus?: number[]
  /** The memory nodes of these CPUs, where the machine has more than one; absent: memory comes from anywhere. */
  memoryNodes?: number[]
}

/** A list as Linux and taskset write it: `0-3,8`. Undefined if it is none. Doubles count once; the order stays. */
export function cpuList(text: string): number[] | undefined {
  const cpus: number[] = []
  for (const range of text.trim().split(',')) {
    const [, first, last = first] = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(range.trim()) ?? []
    if (first === undefined || Number(last) < Number(first)) return undefined
    for (let cpu = Number(first); cpu <= Number(last); cpu++) cpus.push(cpu)
  }
  return [...new Set(cpus)]
}

/** Nodes that have memory and CPUs, with their CPUs. */
function nodesOf(read: ReadFile): Map<number, Set<number>> {
  const folder = '/sys/devices/system/node'
  const nodes = cpuList(read(`${folder}/online`) ?? '') ?? []
  return new Map(nodes.map((node) => [node, new Set(cpuList(read(`${folder}/node${node}/cpulist`) ?? ''))]))
}

function memoryNodes(cpus: number[], read: ReadFile): number[] | undefined {
  const nodes = nodesOf(read)
  if (nodes.size < 2) return undefined
  const used = [...nodes].filter(([, own]) => cpus.some((cpu) => own.has(cpu))).map(([node]) => node)
  return used.length > 0 ? used : undefined
}

/** Allowed CPUs as `auto` takes them: of the node that has most of them first, and there the first thread of every core before any second one. */
function inOrder(allowed: number[], read: ReadFile): number[] {
  const nodes = [...nodesOf(read).values()].map((own) => allowed.filter((cpu) => own.has(cpu)))
  nodes.sort((a, b) => b.length - a.length)
  const byNode = [...new Set([...nodes.flat(), ...allowed])]
  const cores = new Set<string>()
  const firsts = byNode.filter((cpu) => {
    const core = siblingsOf(cpu, read) ?? `${cpu}`
    return !cores.has(core) && cores.add(core)
  })
  return [...new Set([...firsts, ...byNode])]
}

/**
 * `affinity`: `auto`, or a list of CPUs, one for each thread; absent: nothing is pinned. `threads` absent: as many as the list has CPUs, else as affinity and quota leave.
 * Of a list that is longer than `threads` the first CPUs are taken. Throws RangeError, with what is wrong and what would be right.
 */
export function placementOf(affinity: string | undefined, threads?: number, read: ReadFile = readSystem): Placement {
  if (affinity === undefined) return { threads: threads ?? computingThreads(read) }
  const allowed = allowedCpus(read)
  if (allowed.length === 0)
    throw new RangeError('--cpu-affinity needs Linux: /proc/self/status does not say which CPUs this process may use')
  const listed = affinity === 'auto' ? inOrder(allowed, read) : cpuList(affinity)
  if (!listed) throw new RangeError(`--cpu-affinity must be auto or a list of CPUs like 0-3,8, not "${affinity}"`)
  const foreign = listed.filter((cpu) => !allowed.includes(cpu))
  if (foreign.length > 0)
    throw new RangeError(
      `--cpu-affinity ${affinity}: this process may not use CPU ${foreign.join(', ')}; it may use ${shortList(allowed)}`,
    )
  const count = threads ?? (affinity === 'auto' ? computingThreads(read) : listed.length)
  if (count > listed.length)
    throw new RangeError(
      `--cpu-affinity ${affinity}: ${listed.length} CPUs for --threads ${count}; give each thread one, or --threads ${listed.length}`,
    )
  const cpus = listed.slice(0, count)
  return { threads: count, cpus, memoryNodes: memoryNodes(cpus, read) }
}

/** Ascending CPUs as a list with ranges. */
function shortList(cpus: number[]): string {
  const ranges: [number, number][] = []
  for (const cpu of cpus) {
    const last = ranges.at(-1)
    if (last?.[1] === cpu - 1) last[1] = cpu
    else ranges.push([cpu, cpu])
  }
  return ranges.map(([first, last]) => (first === last ? first : `${first}-${last}`)).join(',')
}
