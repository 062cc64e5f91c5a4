/**
 * What all fuzzers do: cases drawn from a seed until their time is over, each of which can be had again by its number.
 * `node dist/test/fuzz/NAME.js [--seconds 20] [--seed N] [--case N]`; .ci/fuzz runs them all. Exit code 1 when something was found.
 */
import { mkdirSync, openSync, writeSync } from 'node:fs'
import path from 'node:path'
import { parseArgs } from 'node:util'
import { seeded } from '../support/pace.ts'
import { repoRoot } from '../support/repo.ts'

export type Random = ReturnType<typeof seeded>

/** What should not have happened. */
export class Fault extends Error {}

export interface Trial {
  name: string
  /** One case, of which everything follows from `random`. Resolves to how it ended, in a few words; throws what is wrong. */
  attempt(random: Random): string | Promise<string>
  /** Endings that must come up: where everything is refused nothing was tried. */
  expected: readonly string[]
  /** Milliseconds that a case may take. */
  patience?: number
  /** After the last case; throws what is wrong. */
  end?(): Promise<void>
}

/** Different faults after which it stops: more of them say nothing new. */
const ENOUGH = 12
/** Cases below which a missing ending proves nothing. */
const FEW = 200

const { values } = parseArgs({
  options: { seconds: { type: 'string', default: '20' }, seed: { type: 'string' }, case: { type: 'string' } },
})
const seconds = Number(values.seconds)
const seed = Number(values.seed ?? Math.floor(Math.random() * 2 ** 31))

/** Faults that differ in numbers and names only are one; statuses, of three digits, tell them apart. */
const kindOf = (message: string) =>
  message
    .replace(/\b(?!\d{3}\b)\d+/g, 'N')
    .replace(/"(?:[^"\\]|\\.)*"/gs, '"…"')
    .slice(0, 100)

/** Runs the trial and ends the process. */
export async function run({ name, attempt, expected, patience = 10_000, end }: Trial): Promise<never> {
  const folder = path.join(repoRoot(), 'build/fuzz')
  mkdirSync(folder, { recursive: true })
  // Who crashes says nothing any more: the file does.
  const last = openSync(path.join(folder, `${name}.case`), 'w')
  const faults = new Map<string, string>()
  const endings = new Map<string, number>()
  const report = (number: number, error: unknown) => {
    const text = error instanceof Fault ? error.message : String((error as Error)?.stack ?? error)
    if (!faults.has(kindOf(text))) faults.set(kindOf(text), `case ${number}: ${text}`)
  }
  let number = values.case === undefined ? 0 : Number(values.case)
  const close = () => {
    for (const fault of faults.values()) console.log(`  ${fault.slice(0, 1000)}`)
    const kinds = [...endings].sort(([, a], [, b]) => b - a).map(([ending, count]) => `${count} ${ending}`)
    console.log(`${name}: ${number} cases with seed ${seed}: ${kinds.join(', ')}; ${faults.size} faults`)
    process.exit(faults.size > 0 ? 1 : 0)
  }
  // What nobody awaits would end a server too.
  for (const event of ['uncaughtException', 'unhandledRejection'])
    process.on(event, (error) => {
      report(number, error)
      close()
    })

  const until = performance.now() + seconds * 1000
  do {
    writeSync(last, String(number).padEnd(12), 0)
    const started = performance.now()
    try {
      const ending = await within(patience, attempt(seeded(Math.imul(seed, 0x9e3779b1) + number)))
      endings.set(ending, (endings.get(ending) ?? 0) + 1)
    } catch (error) {
      report(number, error)
    }
    const took = performance.now() - started
    if (took > patience) report(number, new Fault(`a case took ${Math.round(took)} ms`))
    number++
  } while (values.case === undefined && performance.now() < until && faults.size < ENOUGH)

  try {
    await within(120_000, end?.())
  } catch (error) {
    report(number, error)
  }
  if (number >= FEW)
    for (const ending of expected) if (!endings.has(ending)) report(number, new Fault(`nothing ended as: ${ending}`))
  close()
  throw new Error('unreachable')
}

async function within<T>(milliseconds: number, work: T | Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Fault(`nothing came for ${milliseconds} ms`)), milliseconds)
  })
  try {
    return await Promise.race([work, late])
  } finally {
    clearTimeout(timer)
  }
}
