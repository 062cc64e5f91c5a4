/** A report for people. */
import type { CheckedAdapter, CheckedModel, CheckReport } from './report.ts'

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB']

/** `1.5 GiB`. */
export function size(bytes: number): string {
  let value = bytes
  let unit = 0
  while (value >= 1024 && unit < UNITS.length - 1) {
    value /= 1024
    unit++
  }
  return `${value >= 100 || unit === 0 || Number.isInteger(value) ? value.toFixed(0) : value.toFixed(1)} ${UNITS[unit]}`
}

const count = (number: number) => number.toLocaleString('en-US')
const plural = (number: number, what: string) => `${count(number)} ${what}${number === 1 ? '' : 's'}`

export function reportText(report: CheckReport): string {
  const { model, adapters, pool, memory, deviceMemory, hostMemory, warnings } = report
  const lines = [modelLine(model)]
  if (adapters.length > 0 || model.served) {
    const served = adapters.filter((adapter) => adapter.served)
    lines.push('', `adapters: ${served.length} of ${adapters.length} served`)
    lines.push(...table(served.map(servedRow)))
    for (const { name, code, reason } of adapters.filter((adapter) => !adapter.served))
      lines.push(`  ${name}: refused: ${reason} (${code})`)
    for (const { name, warnings: own = [] } of served) for (const warning of own) lines.push(`  ${name}: ${warning}`)
    if (served.some(({ valuesRead }) => !valuesRead)) lines.push('  values were not read: --values reads them, as loading does')
  }
  if (pool && pool.blocks > 0) {
    const beside =
      pool.tokensBesideAll === null
        ? `${count(pool.adapters)} of them in it at once, with no token beside them`
        : `${plural(pool.tokensBesideAll, 'token')} beside all of them`
    lines.push('', `pool: ${size(pool.bytes)} in ${count(pool.blocks)} blocks of ${size(pool.blockBytes)}`)
    lines.push(
      `  KV cache ${size(pool.kvBytesPerToken)} a token: ${plural(pool.tokens, 'token')} without adapters${adapters.length > 0 ? `, ${beside}` : ''}`,
    )
  }
  if (hostMemory && adapters.length > 0)
    lines.push(`  host memory for adapters ${size(hostMemory.limit)}: ${count(hostMemory.adapters)} of them at once`)
  if (memory) {
    const { process, weights, graph, workspace, pool: blocks, hostAdapters, total, limit, fits } = memory
    const rows: [string, number][] = [
      ['weights', weights],
      ['pool, once all of it was used', blocks],
      ['adapters in host memory', hostAdapters],
      ['the largest step', workspace],
      ['the graph', graph],
      ['the program and its tokenizers', process],
      ['together', total],
    ]
    lines.push('', 'memory, about:', ...table(rows.map(([what, bytes]) => [what, size(bytes)])))
    lines.push(
      fits
        ? `  of ${size(limit)} that there are: it fits`
        : `  of ${size(limit)} that there are: it does NOT fit; a smaller --pool, or --quantization, takes less`,
    )
  }
  if (deviceMemory) {
    const { weights, workspace, pool: blocks } = deviceMemory
    const rest = blocks > 0 ? size(blocks) : 'what --gpu-memory-utilization leaves'
    lines.push(
      '',
      "the GPU's memory, about:",
      ...table([
        ['weights', size(weights)],
        ['the largest step', size(workspace)],
        ['pool', rest],
      ]),
    )
  }
  for (const warning of warnings) lines.push('', `warning: ${warning}`)
  return lines.join('\n')
}

function modelLine({
  name,
  served,
  reason,
  modelType,
  parameters = 0,
  device,
  dtype,
  quantization,
  kvCacheDtype,
  maxModelLen = 0,
}: CheckedModel): string {
  if (!served) return `${name}: refused: ${reason}`
  const weights = quantization === 'none' ? '' : `, ${quantization} weights`
  return `${name}: served: ${modelType}, ${(parameters / 1e6).toFixed(1)} M parameters, on ${device} in ${dtype}${weights}, ${kvCacheDtype} KV cache, ${plural(maxModelLen, 'token')} of context`
}

function servedRow({ name, method, rank, targets = [], modules = 0, poolBytes = 0 }: CheckedAdapter): string[] {
  return [name, method as string, rank ? `rank ${rank}` : 'no rank', size(poolBytes), `${targets.join(', ')} (${modules})`]
}

/** Columns as wide as their longest, two spaces apart. */
function table(rows: readonly string[][]): string[] {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column].length)))
  return rows.map((row) => `  ${row.map((cell, i) => cell.padEnd(widths[i])).join('  ')}`.trimEnd())
}
