/** Statistics and the lines that every benchmark prints. */
import { cpus, totalmem } from 'node:os'

export function quantile(values: number[], q: number): number {
  const sorted = [...values].sort((a, b) => a - b)
  const at = (sorted.length - 1) * q
  const low = Math.floor(at)
  return sorted[low] + (sorted[Math.ceil(at)] - sorted[low]) * (at - low)
}

export const median = (values: number[]) => quantile(values, 0.5)

/** Date, machine and command: what a number is worth nothing without. */
export function heading(title: string): string {
  const cores = cpus()
  const machine = `${cores.length} × ${cores[0].model.trim()}, ${Math.round(totalmem() / 2 ** 30)} GiB, Node ${process.versions.node}`
  const command = `node ${process.argv[1].replace(`${process.cwd()}/`, '')} ${process.argv.slice(2).join(' ')}`.trim()
  return `${title}\n${new Date().toISOString().slice(0, 10)}, ${machine}\n$ ${command}\n`
}

export function table(head: string[], rows: (string | number)[][]): string {
  const all = [head, ...rows.map((row) => row.map(String))]
  const widths = head.map((_, column) => Math.max(...all.map((row) => row[column].length)))
  const line = (row: string[]) => `| ${row.map((cell, column) => cell.padEnd(widths[column])).join(' | ')} |`
  return [line(all[0]), `|${widths.map((width) => '-'.repeat(width + 2)).join('|')}|`, ...all.slice(1).map(line)].join('\n')
}

/** `ok` or `MISS` beside a target. */
export function against(target: string, met: boolean): string {
  return `${met ? 'ok  ' : 'MISS'} ${target}`
}

export const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))
