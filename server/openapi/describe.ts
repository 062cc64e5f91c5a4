/** What a route tells the API document of itself beside its request: `api` in its schema. Nobody looks at it while requests are served. */
import type { ErrorCode } from '../errors.ts'

/** JSON Schema 2020-12. One with a `title` stands among the document's components by that name. */
export type Schema = Record<string, unknown>

export interface Answer {
  description: string
  /** Schemas by media type. Of `text/event-stream` it is that of each event's data. */
  content: Record<string, { schema: Schema }>
}

/** OpenAPI's Link Object: what can be asked with what an answer brought. */
export interface Link {
  operationId: string
  parameters?: Record<string, string>
  requestBody?: unknown
  description?: string
}

export interface Operation {
  /** Its operationId, which generated clients call it by. */
  id: string
  /** As the document writes it, where that differs from the route: wildcards have no names. */
  path?: string
  /** Where one route is several operations. */
  summary?: string
  description?: string
  /** Where what is read is more than the route's own schema. */
  body?: Schema
  /** Whole and, where it can be asked for that, as a stream. */
  answer: Answer
  /** What it can be refused for, beside what every request can. */
  refusals?: readonly ErrorCode[]
  /** Headers that it reads beside those of every request; names of parameters.ts. */
  headers?: readonly string[]
  /** Headers of its answer, with what they say. */
  answerHeaders?: Readonly<Record<string, string>>
  links?: Record<string, Link>
}

declare module 'fastify' {
  interface FastifySchema {
    /** One operation of the API document, or several where a wildcard stands for them. */
    api?: Operation | readonly Operation[]
  }
}

export const text: Schema = { type: 'string' }
export const count: Schema = { type: 'integer', minimum: 0 }
export const number: Schema = { type: 'number' }
export const flag: Schema = { type: 'boolean' }
export const nothing: Schema = { type: 'null' }
export const anything: Schema = { type: 'object' }

export const list = (items: Schema): Schema => ({ type: 'array', items })
export const only = (value: string | boolean | number): Schema => ({ const: value })
export const oneOf = (...values: readonly (string | null)[]): Schema => ({ enum: values })
export const anyOf = (...schemas: readonly Schema[]): Schema => ({ anyOf: schemas })
export const orNull = (schema: Schema): Schema => ({ anyOf: [schema, nothing] })
export const about = (description: string, schema: Schema): Schema => ({ ...schema, description })

/** An object with these fields; a name that ends with `?` is of one that may be absent. */
export function object(fields: Record<string, Schema>): Schema {
  const names = Object.keys(fields)
  return {
    type: 'object',
    required: names.filter((name) => !name.endsWith('?')),
    properties: Object.fromEntries(names.map((name) => [name.replace(/\?$/, ''), fields[name]])),
  }
}

/**
 * A request's field as it is checked, and as the document has it: where code behind the schema refuses more, with words of its own that help better than a schema's, the document allows no
 * more than is served.
 */
export const documentedAs = (checked: Schema, documented: Schema): Schema => ({ ...checked, documented })

/** A component of the document. */
export const named = (title: string, schema: Schema): Schema => ({ title, ...schema })

/** Where the document has what `named` names. */
export const refTo = ({ title }: Schema): Schema => ({ $ref: `#/components/schemas/${title}` })

export const json = (schema: Schema, description = 'The answer'): Answer => ({
  description,
  content: { 'application/json': { schema } },
})

export const plain = (description: string): Answer => ({ description, content: { 'text/plain': { schema: text } } })

/** Server-sent events. */
export const events = (schema: Schema, description: string): Answer => ({
  description,
  content: { 'text/event-stream': { schema } },
})

/** One or the other, as the request asks for it. */
export const either = (...answers: readonly Answer[]): Answer => ({
  description: answers.map(({ description }) => description).join('; '),
  content: Object.assign({}, ...answers.map(({ content }) => content)),
})

type Facts = Required<Pick<Operation, 'headers' | 'answerHeaders' | 'refusals'>>

/** What all have in common that read or write text as adapters do. Spread into an operation. */
export const READ_BY_ADAPTERS: Facts = {
  headers: ['x-lora-adapter', 'x-amzn-sagemaker-adapter-identifier'],
  answerHeaders: {},
  refusals: [
    'model_not_found',
    'adapter_refused',
    'adapter_version_mismatch',
    'tokenizer_failed',
    'chat_template_failed',
    'context_length_exceeded',
    'too_many_requests',
    'hub_failed',
    'text_process_lost',
    'engine_unavailable',
    'server_draining',
  ],
}

/** And those that the engine computes: what served them is told. */
export const COMPUTED: Facts = {
  headers: [...READ_BY_ADAPTERS.headers, 'x-ttft-target'],
  answerHeaders: {
    'x-lora-adapter': 'The adapters that served it, as they could be asked for again; absent where the base did alone',
    'x-lora-digest': 'Digests of their contents',
  },
  refusals: [...READ_BY_ADAPTERS.refusals, 'constraint_lost'],
}
