/** `lorikeet check`: exit status 0: all would be served; 1: something would be refused, or memory does not reach; 2: wrong usage. */
import { AdapterError } from '../../adapters-store/index.ts'
import { readConfigAnd } from '../config/config.ts'
import { ConfigError } from '../config/values.ts'
import { printable, printableLines } from '../printable.ts'
import { check } from './check.ts'
import { allServed } from './report.ts'
import { CHECK_SETTINGS } from './settings.ts'
import { reportText } from './text.ts'

/** Prints to stdout. Returns the exit status. */
export async function runCheck(args: string[], environment: Record<string, string | undefined>): Promise<number> {
  try {
    const { config, others } = readConfigAnd(CHECK_SETTINGS, args, environment)
    const report = await check(config, { values: others.values === true })
    console.log(others.json ? JSON.stringify(report, null, 2) : printableLines(reportText(report)))
    return allServed(report) ? 0 : 1
  } catch (error) {
    const text = error instanceof AdapterError ? error.detail : (error as Error).message
    console.error(printable(`lorikeet: ${text}`))
    return error instanceof ConfigError || error instanceof AdapterError ? 2 : 1
  }
}
