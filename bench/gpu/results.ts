/** What a stage's program found: rows for the closing table and numbers for the record, kept where bench/gpu/check looks for them. */
import { appendFileSync, writeFileSync } from 'node:fs'

/** ok: it holds. MISS: it runs and misses a target. FAILED: it does not run, or is wrong. */
export type Status = 'ok' | 'MISS' | 'FAILED' | 'not here'

export class Results {
  readonly #prefix: string | undefined
  readonly #judge: boolean
  readonly #numbers: Record<string, unknown> = {}
  failed = false

  /** `prefix`: PREFIX.tsv gets the rows, PREFIX.json the numbers; absent, both are only printed. `judge`: targets mean something on this device. */
  constructor(prefix: string | undefined, judge: boolean) {
    this.#prefix = prefix
    this.#judge = judge
  }

  row(name: string, status: Status, detail = ''): void {
    if (status === 'FAILED') this.failed = true
    const line = [name, status, detail.replaceAll(/\s+/g, ' ')].join('\t')
    console.log(line)
    if (this.#prefix) appendFileSync(`${this.#prefix}.tsv`, `${line}\n`)
  }

  /** A row whose status says whether the target is met. */
  target(name: string, met: boolean, detail: string): void {
    this.row(name, met || !this.#judge ? 'ok' : 'MISS', this.#judge ? detail : `${detail}; on the CPU: no target`)
  }

  /** Saved at once: a stage that is cut short keeps what it has measured. */
  number(name: string, value: unknown): void {
    this.#numbers[name] = value
    if (this.#prefix) writeFileSync(`${this.#prefix}.json`, JSON.stringify(this.#numbers, null, 1))
  }
}
