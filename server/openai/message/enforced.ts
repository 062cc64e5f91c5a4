/** Calls that a grammar enforces: what the answer must be, and how it is read. */
import { ApiError } from '../../errors.ts'
import type { Constraint } from '../../structured/constraint.ts'
import { jsonCalls } from './json-calls.ts'
import type { MessageWriter } from './message-writer.ts'
import type { Reading, TextSource } from './text-source.ts'
import type { ToolDefinition, ToolUse } from './tool-use.ts'

/** Schemas nested deeper are refused: they are gone through by a function that calls itself. */
const MOST_DEPTH = 128
/** Values of all schemas together; more are refused, since others wait meanwhile: so many take some 10 ms. */
const MOST_VALUES = 50_000

const NOTHING = { type: 'object', properties: {} }

type Schema = Record<string, unknown>

/** For `required` and a named tool; undefined: nothing is enforced. Throws ApiError. */
export function constraintOf({ tools, choice, parallel }: ToolUse): Constraint | undefined {
  if (typeof choice === 'object') {
    const tool = tools.find(({ name }) => name === choice.name)
    return { kind: 'json', schema: tool?.parameters ?? NOTHING }
  }
  return choice === 'required' ? { kind: 'json', schema: listOf(tools, parallel) } : undefined
}

/** As vLLM has it: a list of the calls' names and arguments. */
function listOf(tools: readonly ToolDefinition[], parallel: boolean): object {
  const definitions: Schema = {}
  const budget = { values: MOST_VALUES }
  const items = tools.map(({ name, parameters }, i) => {
    const own = moved((parameters ?? NOTHING) as Schema, name, definitions, budget, `tools.${i}.function.parameters`)
    return {
      type: 'object',
      properties: { name: { type: 'string', enum: [name] }, parameters: own },
      required: ['name', 'parameters'],
    }
  })
  return {
    type: 'array',
    minItems: 1,
    ...(!parallel && { maxItems: 1 }),
    items: { type: 'object', anyOf: items },
    ...(Object.keys(definitions).length > 0 && { $defs: definitions }),
  }
}

/** A schema as part of another: references count from the root, so its definitions go there, under names of their own, and it does itself where it names itself. */
function moved(schema: Schema, tool: string, definitions: Schema, budget: { values: number }, param: string): object {
  const place = (reference: string): string => {
    const [, under, key, rest = ''] = /^#\/(\$defs|definitions)\/([^/]+)(.*)$/.exec(reference) ?? []
    if (under !== undefined) return `#/$defs/${tool}.${key}${rest}`
    if (!reference.startsWith('#')) return reference
    whole = true
    return `#/$defs/${tool}${reference.slice(1)}`
  }
  let whole = false
  const copy = (value: unknown, depth: number): unknown => {
    if (--budget.values < 0)
      throw new ApiError(
        'invalid_request',
        `tools: their schemas hold more than ${MOST_VALUES} values together; send fewer`,
        'tools',
      )
    if (typeof value !== 'object' || value === null) return value
    if (depth > MOST_DEPTH) throw new ApiError('invalid_request', `${param} is nested deeper than ${MOST_DEPTH}`, param)
    if (Array.isArray(value)) return value.map((item) => copy(item, depth + 1))
    const entries = Object.entries(value).map(([key, item]) => {
      const own = key === '$ref' && typeof item === 'string' ? place(item) : copy(item, depth + 1)
      return [key, own] as const
    })
    return Object.fromEntries(entries)
  }
  const { $defs, definitions: older, ...rest } = schema
  for (const [key, item] of [$defs, older].flatMap((list) => Object.entries((list ?? {}) as Schema)))
    definitions[`${tool}.${key}`] = copy(item, 1)
  const own = copy(rest, 0) as object
  if (!whole) return own
  definitions[tool] = own
  return { $ref: `#/$defs/${tool}` }
}

/** Reads what was enforced: a named tool's arguments, or the list. */
export function readEnforced(choice: ToolUse['choice']): (source: TextSource, out: MessageWriter) => Reading {
  return typeof choice === 'object'
    ? function* (source, out) {
        yield* source.space()
        out.call(choice.name)
        yield* source.until([], (text) => out.arguments(text))
      }
    : function* (source, out) {
        yield* source.space()
        source.record()
        out.begin()
        const calls = yield* jsonCalls(source, out)
        const text = source.recorded()
        if (!calls) out.abandon(text)
        yield* source.until([], (more) => out.content(more))
      }
}
