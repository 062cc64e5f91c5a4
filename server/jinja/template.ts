/** Chat templates as transformers renders them: Jinja2's immutable sandbox over Python's values. */
import { compile } from './compile.ts'
import type { Library } from './compile-expressions.ts'
import { type ContentFormat, contentFormat } from './content-format.ts'
import { JinjaError } from './errors.ts'
import type { Filter, Test } from './filters/registry.ts'
import { SEQUENCE_FILTERS } from './filters/sequences.ts'
import { makeTests } from './filters/tests.ts'
import { TEXT_FILTERS } from './filters/texts.ts'
import { Context } from './frame.ts'
import { globals } from './globals.ts'
import { fromJson } from './json.ts'
import { parse } from './parser.ts'
import type { Value } from './values.ts'

const FILTERS: ReadonlyMap<string, Filter> = new Map([...SEQUENCE_FILTERS, ...TEXT_FILTERS])
const TESTS: ReadonlyMap<string, Test> = makeTests(FILTERS)

function named<T>(what: string, all: ReadonlyMap<string, T>): (name: string) => T {
  return (name) => {
    const found = all.get(name)
    if (found) return found
    throw new JinjaError('TemplateRuntimeError', `No ${what} named '${name}' found.`)
  }
}

const LIBRARY: Library = {
  filter: named('filter', FILTERS),
  test: named('test', TESTS),
  hasFilter: (name) => FILTERS.has(name),
  hasTest: (name) => TESTS.has(name),
}

export class Template {
  /** How it takes a message's content. */
  readonly content: ContentFormat
  private readonly run: (context: Context) => string
  private readonly globals: ReadonlyMap<string, Value>

  /** `now`: what strftime_now shows. Throws JinjaError TemplateSyntaxError. */
  constructor(source: string, now = () => new Date()) {
    const body = parse(source)
    this.content = contentFormat(body)
    this.run = compile(body, LIBRARY)
    this.globals = globals(now)
  }

  /** `values`: JSON by name (json.ts says of which kinds). Throws JinjaError, or RangeError where the stack is too small. */
  render(values: Record<string, unknown>): string {
    const context = new Map(Object.entries(values).map(([name, value]) => [name, fromJson(value)]))
    return this.run(new Context(context, this.globals))
  }
}
