/** `lorikeet bench`: exit status 0: some requests succeeded; 1: none did, or the server cannot be asked; 2: wrong usage. */
import cliProgress from 'cli-progress'
import { ConfigError } from '../config/values.ts'
import { printable, printableLines } from '../printable.ts'
import { benchOptions } from './options.ts'
import { reportTable, resultJson, saveResult } from './report.ts'
import { resultsOf } from './results.ts'
import { run } from './run.ts'

/** Prints to stdout. Returns the exit status. */
export async function runBench(args: string[], environment: Record<string, string | undefined>): Promise<number> {
  let bar: cliProgress.SingleBar | undefined
  try {
    const options = benchOptions(args, environment)
    if (process.stderr.isTTY) {
      const format = { format: '{bar} {value} of {total} requests', hideCursor: true, stream: process.stderr }
      bar = new cliProgress.SingleBar(format, cliProgress.Presets.shades_classic)
      bar.start(options.prompts, 0)
    }
    const ran = await run(options, () => bar?.increment())
    bar?.stop()
    const results = resultsOf(ran, options)
    console.log(printableLines(reportTable(results, options, ran)))
    if (options.save)
      console.error(printable(`lorikeet: ${saveResult(resultJson(results, options, ran, new Date()), options)} is written`))
    return results.completed > 0 ? 0 : 1
  } catch (error) {
    bar?.stop()
    console.error(printable(`lorikeet: ${(error as Error).message}`))
    return error instanceof ConfigError ? 2 : 1
  }
}
