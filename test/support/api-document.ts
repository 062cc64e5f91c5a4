/** A server's own API document, read: its operations, what they take, and whether an answer is one that it promises. */
import { Ajv2020, type AnySchema, type ErrorObject, type ValidateFunction } from 'ajv/dist/2020.js'

export interface JsonSchema {
  [keyword: string]: unknown
  $ref?: string
  type?: string | string[]
  anyOf?: JsonSchema[]
  properties?: Record<string, JsonSchema>
  required?: string[]
  items?: JsonSchema
  additionalProperties?: boolean | JsonSchema
}

export interface Parameter {
  name: string
  in: 'path' | 'query' | 'header'
  required?: boolean
  schema: JsonSchema
}

export interface Link {
  operationId: string
  parameters?: Record<string, string>
  requestBody?: unknown
}

interface ResponseObject {
  $ref?: string
  headers?: Record<string, { required?: boolean }>
  content?: Record<string, { schema: JsonSchema }>
  links?: Record<string, Link>
}

interface OperationObject {
  operationId: string
  tags: string[]
  parameters?: (Parameter & { $ref?: string })[]
  requestBody?: { required?: boolean; content: Record<string, BodyContent> }
  responses: Record<string, ResponseObject>
}

interface BodyContent {
  schema: JsonSchema
  example?: unknown
  examples?: Record<string, { value: unknown }>
}

export interface Document {
  openapi: string
  paths: Record<string, Record<string, OperationObject>>
  components: { schemas: Record<string, JsonSchema> } & Record<string, Record<string, unknown>>
}

export interface Operation {
  id: string
  method: string
  path: string
  tags: readonly string[]
  parameters: readonly Parameter[]
  /** Absent: it takes none. */
  body?: { required: boolean; schema: JsonSchema; examples: unknown[] }
  links: Record<string, Link>
  /** Names of the headers that a good answer may have. */
  answerHeaders: readonly string[]
}

export interface Told {
  status: number
  headers: Headers
  text: string
}

const escaped = (key: string) => key.replaceAll('~', '~0').replaceAll('/', '~1')

export class ApiDocument {
  readonly operations: readonly Operation[]
  private readonly document: Document
  private readonly ajv = new Ajv2020({ strict: false, validateFormats: false, validateSchema: false })
  private readonly compiled = new Map<string, ValidateFunction>()

  constructor(document: Document) {
    this.document = document
    this.ajv.addSchema(exact(document) as AnySchema, 'api')
    this.operations = Object.entries(document.paths).flatMap(([path, methods]) =>
      Object.entries(methods).map(([method, operation]) => this.operation(path, method, operation)),
    )
  }

  static async of(url: string): Promise<ApiDocument> {
    return new ApiDocument((await (await fetch(`${url}/openapi.json`)).json()) as Document)
  }

  /** What a request asks for; undefined: nothing that is documented. */
  find(method: string, path: string): Operation | undefined {
    const fits = (template: string) => {
      const pattern = template.replace(/[.*+?^$()|[\]\\]/g, '\\$&').replace(/\{\w+\}/g, '.+')
      return new RegExp(`^${pattern}$`).test(path)
    }
    const all = this.operations.filter((one) => one.method === method && fits(one.path))
    // A name may look like a path: the longest template is the one that is meant.
    return all.sort((a, b) => Number(a.path.includes('{')) - Number(b.path.includes('{')) || b.path.length - a.path.length)[0]
  }

  byId(id: string): Operation {
    const found = this.operations.find((one) => one.id === id)
    if (!found) throw new Error(`the document has no operation ${id}`)
    return found
  }

  /** What a reference stands for. */
  resolved<T extends { $ref?: string }>(value: T): T {
    if (value.$ref === undefined) return value
    let found: unknown = this.document
    for (const key of value.$ref.slice(2).split('/')) found = (found as Record<string, unknown>)[key]
    return this.resolved(found as T)
  }

  /** What is wrong with a body by an operation's own schema; undefined: nothing. */
  complaintOfBody({ method, path }: Operation, body: unknown): string | undefined {
    const at = ['paths', path, method.toLowerCase(), 'requestBody', 'content', 'application/json', 'schema']
    return this.complaint(at, body)
  }

  /** What an answer has that the document does not promise: its status, its type, what it holds, the headers that must be there. Undefined: nothing. */
  complaintOf(operation: Operation, { status, headers, text }: Told): string | undefined {
    const { method, path } = operation
    const said = this.document.paths[path][method.toLowerCase()].responses[status]
    if (!said) return `${operation.id} answers with ${status}, which is not documented: ${text.slice(0, 300)}`
    const response = this.resolved(said)
    for (const [name, { required }] of Object.entries(response.headers ?? {}))
      if (required && headers.get(name) === null) return `${operation.id} answers with ${status} and without ${name}`
    // What is for a proxy is no client's business.
    const unsaid = [...headers.keys()].filter(
      (name) => /^x-(?!accel-buffering$)|^request-id$/.test(name) && !(name in (response.headers ?? {})),
    )
    if (status < 400 && unsaid.length > 0)
      return `${operation.id} answers with headers that are not documented: ${unsaid.join(', ')}`
    const type = (headers.get('content-type') ?? '').split(';')[0]
    const content = response.content?.[type]
    if (!content) return `${operation.id} answers with ${status} of type ${type}, which is not documented`
    const at = said.$ref?.slice(2).split('/') ?? ['paths', path, method.toLowerCase(), 'responses', String(status)]
    const complain = (value: unknown) => this.complaint([...at, 'content', type, 'schema'], value)
    try {
      const values = type === 'text/event-stream' ? eventsOf(text) : [type === 'application/json' ? JSON.parse(text) : text]
      for (const value of values) {
        const complaint = complain(value)
        if (complaint) return `${operation.id}, ${status}: ${complaint} in ${JSON.stringify(value).slice(0, 1000)}`
      }
    } catch (error) {
      return `${operation.id}, ${status}: ${(error as Error).message}: ${text.slice(0, 300)}`
    }
    return undefined
  }

  private operation(path: string, method: string, own: OperationObject): Operation {
    const content = own.requestBody?.content['application/json']
    const examples = Object.values(content?.examples ?? {}).map(({ value }) => value)
    if (content?.example !== undefined) examples.push(content.example)
    return {
      id: own.operationId,
      method: method.toUpperCase(),
      path,
      tags: own.tags,
      parameters: (own.parameters ?? []).map((one) => this.resolved(one)),
      ...(content && { body: { required: own.requestBody?.required === true, schema: content.schema, examples } }),
      links: own.responses[200]?.links ?? {},
      answerHeaders: Object.keys(own.responses[200]?.headers ?? {}),
    }
  }

  private complaint(at: readonly string[], value: unknown): string | undefined {
    const ref = `api#/${at.map((key) => encodeURIComponent(escaped(key))).join('/')}`
    const validate = this.compiled.get(ref) ?? this.ajv.compile({ $ref: ref })
    this.compiled.set(ref, validate)
    return validate(value) ? undefined : worst(validate.errors ?? [])
  }
}

/** Of the errors of several alternatives the one that got furthest. */
function worst(errors: readonly ErrorObject[]): string {
  const [deepest] = [...errors].sort((a, b) => b.instancePath.length - a.instancePath.length)
  return `${deepest.instancePath} ${deepest.message} ${JSON.stringify(deepest.params)}`
}

/** The document with answers that hold what it says and nothing else: whoever adds a field to an answer adds it there too. Requests stay as they are: they say themselves what is open. */
function exact({ components, paths, ...rest }: Document): object {
  const { schemas, responses, ...others } = components
  const own = Object.entries(schemas).map(([name, schema]) => [name, name.endsWith('Request') ? schema : sealed(schema)])
  const answers = Object.entries(paths).map(([path, methods]) => [
    path,
    Object.fromEntries(Object.entries(methods).map(([method, one]) => [method, { ...one, responses: sealed(one.responses) }])),
  ])
  return {
    ...rest,
    components: { ...others, schemas: Object.fromEntries(own), responses: sealed(responses) },
    paths: Object.fromEntries(answers),
  }
}

function sealed(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value
  if (Array.isArray(value)) return value.map(sealed)
  const all = Object.fromEntries(Object.entries(value).map(([key, held]) => [key, sealed(held)]))
  return all.type === 'object' && all.properties && all.additionalProperties === undefined
    ? { ...all, additionalProperties: false }
    : all
}

/** What the data of server-sent events hold; a name on a line of its own is that of the event's type. Throws Error for what is none. */
export function eventsOf(text: string): unknown[] {
  const blocks = text.split('\n\n')
  if (blocks.pop() !== '') throw new Error('the last event is cut')
  return blocks.flatMap((block, i) => {
    const found = /^(?:event: (\S+)\n)?data: ([^\n]*)$/.exec(block)
    if (!found) throw new Error(`no event: ${block.slice(0, 100)}`)
    const [, name, data] = found
    if (data === '[DONE]' && i === blocks.length - 1) return []
    const value = JSON.parse(data)
    if (name !== undefined && value.type !== name) throw new Error(`an event ${name} of type ${value.type}`)
    return [value]
  })
}
