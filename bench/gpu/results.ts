/** What a stage's program found: rows for the closing table, numbers for the record, and how the targets stand, kept where bench/gpu/check looks for them. */
import { appendFileSync, writeFileSync } from 'node:fs'

/** ok: it holds. MISS: it runs and misses a target. FAILED: it does not run, or is wrong. */
export type Status = 'ok' | 'MISS' | 'FAILED' | 'not here'

export class Results {
  readonly #prefix: string | undefined
  readonly #judge: boolean
  readonly #numbers: Record<string, unknown> = {}
  readonly #targets: Record<string, { value: string; met: boolean | null }> = {}
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

  /**
   * A row that targets.py knows by `key`; its status says whether the target (`against`, in words) is met. `met` null: there is no target, `against` is what to
   * read the value against.
   */
  target(key: string, name: string, value: string, met: boolean | null, against: string): void {
    const judged = met !== null && this.#judge
    const words = met === null ? against : `target ${against}${judged ? '' : ', but none on the CPU'}`
    this.row(name, judged && !met ? 'MISS' : 'ok', `${value}; ${words}`)
    this.#targets[key] = { value: this.#judge ? value : `in small on the CPU: ${value}`, met: judged ? met : null }
    this.number('targets', this.#targets)
  }

  /** Saved at once: a stage that is cut short keeps what it has measured. */
  number(name: string, value: unknown): void {
    this.#numbers[name] = value
    if (this.#prefix) writeFileSync(`${this.#prefix}.json`, JSON.stringify(this.#numbers, null, 1))
  }
}
