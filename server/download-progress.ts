/** How far downloads are, for whoever started the server: a bar on a terminal, a line now and then elsewhere. */
import cliProgress from 'cli-progress'
import type { HubProgress } from '../adapters-store/index.ts'

/** Milliseconds between two lines. */
const LINE_MS = 10_000

/** `terminal`: whether bars can be drawn; `print` writes a line. */
export function downloadProgress(
  terminal: boolean,
  print: (line: string) => void,
  now = () => performance.now(),
): (progress: HubProgress) => void {
  return terminal ? bars() : lines(print, now)
}

/** One bar for all that come at the same time. */
function bars(): (progress: HubProgress) => void {
  const underWay = new Map<string, HubProgress>()
  let bar: cliProgress.SingleBar | undefined
  return (progress) => {
    underWay.set(progress.name, progress)
    const all = [...underWay.values()]
    const [first] = all
    const total = sum(all, 'totalBytes')
    const what = { what: all.length === 1 ? first.name : `${first.name} and ${all.length - 1} more`, of: sizeText(total) }
    if (!bar) {
      bar = new cliProgress.SingleBar(
        {
          format: 'fetching {what} {bar} {percentage}% of {of}',
          clearOnComplete: true,
          hideCursor: true,
          stream: process.stderr,
        },
        cliProgress.Presets.shades_classic,
      )
      bar.start(total, 0, what)
    }
    bar.setTotal(total)
    bar.update(sum(all, 'bytes'), what)
    if (!all.every(({ ended }) => ended)) return
    bar.stop()
    bar = undefined
    underWay.clear()
  }
}

function lines(print: (line: string) => void, now: () => number): (progress: HubProgress) => void {
  const next = new Map<string, number>()
  return ({ name, bytes, totalBytes, ended }) => {
    const due = next.get(name)
    if (due === undefined) print(`fetching ${name} from the hub: ${sizeText(totalBytes)}`)
    else if (ended) print(bytes === totalBytes ? `${name} is fetched` : `${name} is not fetched`)
    else if (now() >= due) print(`fetching ${name}: ${Math.floor((bytes / totalBytes) * 100)} % of ${sizeText(totalBytes)}`)
    else return
    if (ended) next.delete(name)
    else next.set(name, now() + LINE_MS)
  }
}

const sum = (all: HubProgress[], field: 'bytes' | 'totalBytes') => all.reduce((bytes, one) => bytes + one[field], 0)

/** `4.2 GB`. */
function sizeText(bytes: number): string {
  const [unit, name] = bytes >= 1e9 ? [1e9, 'GB'] : bytes >= 1e6 ? [1e6, 'MB'] : [1e3, 'kB']
  return `${(bytes / unit).toFixed(1)} ${name}`
}
