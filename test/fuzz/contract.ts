/**
 * The API document as a contract, with nothing known but it: bodies that its schemas allow and bodies that break one keyword of them, sent to every operation, and links followed. What is
 * answered is documented, by status, type, headers and schema; nothing is a 5xx; what the document allows is refused only for what no schema can say, and what it does not
 * allow is never served; what was deleted is gone; and half of what asks for text gets some.
 */
import { cpSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { ApiDocument, type Operation, type Told } from '../support/api-document.ts'
import { seeded } from '../support/pace.ts'
import { demoModel } from '../support/repo.ts'
import { startServed } from '../support/served.ts'
import { oddText } from './odd.ts'
import { fromSchema, inlined, negated, schemaOf, validBody } from './openapi.ts'
import { Fault, type Random, run } from './trial.ts'

const AT_ONCE = 4
/** Operations of a chain: one, and those that links lead to. */
const LONGEST_CHAIN = 4
/** Milliseconds after which nobody waits for an answer. */
const PATIENCE = 8000

/** What asks for text. */
const GENERATES = ['generation', 'responses', 'messages']

const closing: (() => Promise<void>)[] = []
const folder = mkdtempSync(path.join(tmpdir(), 'contract-'))
cpSync(demoModel('adapters'), folder, { recursive: true })
const served = await startServed(
  { teardown: (handler) => closing.push(handler) },
  { model: demoModel('base'), adapters: folder, 'allow-adapter-management': true, 'served-model-name': 'demo' },
)
const document = await ApiDocument.of(served.url)
const generating = document.operations.filter(({ tags, body }) => body && tags.some((tag) => GENERATES.includes(tag)))
const names = ['demo', ...served.serving.adapters.list().map(({ name }) => name)]

/** What came of how many. */
const tally = { valid: 0, reached: 0, invalid: 0, unbroken: 0, links: 0 }
const reasons = new Map<string, number>()

type Kind = 'valid' | 'invalid'

interface Asked {
  operation: Operation
  kind: Kind
  body?: unknown
  parameters: Record<string, string>
}

/** What a link says of the next request. */
interface Given {
  parameters: Record<string, string>
  body?: unknown
}

function drawn(random: Random, operation: Operation, given: Given = { parameters: {} }): Asked {
  const parameters: Record<string, string> = { ...given.parameters }
  let kind: Kind = 'valid'
  for (const { name, in: where, required, schema } of operation.parameters) {
    if (name in parameters) continue
    if (where === 'path') parameters[name] = random.below(4) ? random.pick(names) : oddText(random).slice(0, 100) || 'x'
    else if (required || random.below(8) === 0) parameters[name] = String(fromSchema(random, inlined(document, schema)))
  }
  const schema = schemaOf(document, operation)
  if (!schema) return { operation, kind, parameters }
  const examples = operation.body?.examples ?? []
  let body = validBody(random, schema, examples)
  if (given.body !== undefined) body = { ...(body as object), ...(given.body as object) }
  const complaint = document.complaintOfBody(operation, body)
  if (complaint)
    throw new Fault(
      `a body that was made from the schema of ${operation.id} is not allowed: ${complaint}: ${JSON.stringify(body).slice(0, 600)}`,
    )
  if (given.body === undefined && random.below(3) === 0) {
    // As it travels: what is no number is null then.
    const broken = JSON.parse(JSON.stringify(negated(random, schema, body)))
    if (document.complaintOfBody(operation, broken)) {
      body = broken
      kind = 'invalid'
    } else tally.unbroken++
  }
  // Where none is needed none may come.
  if (body === null && random.below(2)) return { operation, kind, parameters }
  return { operation, kind, body, parameters }
}

/** Without halves of characters, of which no URL can be made. */
const wellFormed = (text: string) => Buffer.from(text).toString()

async function send({ operation, body, parameters }: Asked): Promise<Told | undefined> {
  const headers = new Headers(body === undefined ? {} : { 'content-type': 'application/json' })
  const query = new URLSearchParams()
  let at = operation.path
  for (const { name, in: where } of operation.parameters) {
    const value = parameters[name]
    if (value === undefined) continue
    if (where === 'path') at = at.replace(`{${name}}`, () => encodeURIComponent(wellFormed(value)))
    else if (where === 'query') query.append(name, value)
    else headers.append(name, value)
  }
  const url = `${served.url}${at}${query.size > 0 ? `?${query}` : ''}`
  const init = { method: operation.method, headers, body: body === undefined ? undefined : JSON.stringify(body) }
  try {
    const response = await fetch(url, { ...init, signal: AbortSignal.timeout(PATIENCE) })
    return { status: response.status, headers: response.headers, text: await response.text() }
  } catch (error) {
    if ((error as Error).name === 'TimeoutError') return undefined
    throw error
  }
}

/** Of what is valid: what its values mean may not be there (404, 412), not be allowed (403), be too much now (429), or be wrong in a way that no schema can say (400). */
const OF_MEANING = [400, 403, 404, 412, 429]
/** Codes of 400 that a schema can say. */
const OF_SCHEMAS = ['invalid_json', 'unknown_parameter']

function judge({ operation, kind, body, parameters }: Asked, told: Told): void {
  const shown = `${operation.id} ${JSON.stringify(parameters)} ${JSON.stringify(body)?.slice(0, 700)}`
  const { status, text } = told
  const fault = (what: string) => new Fault(`${operation.id}: ${what} (${status}): ${text.slice(0, 300)} to ${shown}`)
  if (status >= 500) throw fault('a 5xx')
  const complaint = document.complaintOf(operation, told)
  if (complaint) throw new Fault(`${complaint} to ${shown}`)
  if (kind === 'invalid') {
    if (status < 400) throw fault(`served what is not allowed, ${document.complaintOfBody(operation, body)}`)
    return
  }
  if (status < 400) return
  const code = text.startsWith('{') ? JSON.parse(text).error?.code : undefined
  if (!OF_MEANING.includes(status) || OF_SCHEMAS.includes(code)) throw fault('refused what is allowed')
}

/** How often what was allowed was refused, and with which words. */
function countReason({ id }: Operation, { status, text }: Told): void {
  const { error } = JSON.parse(text) as { error: string | { message: string } }
  const message = typeof error === 'string' ? error : error.message
  const kind = `${id} ${status} ${message.replace(/`[^`]*`|"[^"]*"|\d+/g, '…').slice(0, 110)}`
  reasons.set(kind, (reasons.get(kind) ?? 0) + 1)
}

/** The value that an expression of a link stands for. */
function meant(expression: unknown, asked: Asked, answer: unknown): unknown {
  if (typeof expression === 'object' && expression !== null)
    return Object.fromEntries(Object.entries(expression).map(([key, held]) => [key, meant(held, asked, answer)]))
  const found = /^\$(response|request)\.body#\/(.*)$/.exec(String(expression))
  if (!found) return expression
  let value: unknown = found[1] === 'response' ? answer : asked.body
  for (const key of found[2].split('/')) value = (value as Record<string, unknown> | undefined)?.[key]
  return value
}

/** One operation and what links lead to; how its first request ended. */
async function chain(random: Random, first: Operation): Promise<string> {
  let ending: string | undefined
  let next: Asked | undefined = drawn(random, first)
  for (let i = 0; i < LONGEST_CHAIN && next; i++) {
    const asked: Asked = next
    next = undefined
    const told = await send(asked)
    if (!told) return ending ?? 'left by us'
    judge(asked, told)
    const { operation, kind } = asked
    const good = told.status < 400
    ending ??= kind === 'invalid' ? 'invalid and refused' : good ? 'served' : `${told.status}`
    if (kind === 'invalid') tally.invalid++
    else if (!good) countReason(operation, told)
    if (kind === 'valid' && generating.includes(operation)) {
      tally.valid++
      if (good) tally.reached++
    }
    if (good && operation.method === 'DELETE') await requireGone(operation, asked)
    const links = Object.values(operation.links)
    if (!good || links.length === 0 || random.below(4) === 0) continue
    const link = random.pick(links)
    const answer = told.headers.get('content-type')?.startsWith('application/json') ? JSON.parse(told.text) : undefined
    const values = Object.entries(link.parameters ?? {}).map(([name, one]) => [name, meant(one, asked, answer)])
    // A stream's events are no body that could be pointed into.
    if (values.some(([, value]) => value === undefined)) continue
    const given = {
      parameters: Object.fromEntries(values.map(([name, value]) => [name, String(value)])),
      ...(link.requestBody !== undefined && { body: meant(link.requestBody, asked, answer) }),
    }
    tally.links++
    next = drawn(random, document.byId(link.operationId), given)
  }
  return ending ?? 'nothing'
}

async function requireGone(deleted: Operation, { parameters }: Asked): Promise<void> {
  const get = document.operations.find(({ method, path: at }) => method === 'GET' && at === deleted.path)
  if (!get) return
  const told = await send({ operation: get, kind: 'valid', parameters })
  if (told?.status !== 404)
    throw new Fault(`${deleted.id} deleted ${JSON.stringify(parameters)}, and ${get.id} answers ${told?.status}`)
}

let managing: Promise<unknown> = Promise.resolve()

async function attempt(random: Random): Promise<string> {
  const chains = Array.from({ length: AT_ONCE }, () => {
    const own = seeded(random.below(2 ** 31))
    const first = own.pick(own.below(5) ? generating : document.operations)
    if (!first.tags.includes('adapters')) return chain(own, first)
    // Who deletes an adapter wants to find it gone, not put there again by another.
    const mine = managing.catch(() => {}).then(() => chain(own, first))
    managing = mine
    return mine
  })
  const endings = await Promise.allSettled(chains)
  for (const ending of endings) if (ending.status === 'rejected') throw ending.reason
  return (endings[0] as PromiseFulfilledResult<string>).value
}

async function end(): Promise<void> {
  const complaints = await served.idleComplaints()
  for (const close of closing) await close()
  rmSync(folder, { recursive: true })
  const share = tally.reached / Math.max(1, tally.valid)
  const most = [...reasons].sort(([, a], [, b]) => b - a).slice(0, 12)
  for (const [reason, count] of most) console.log(`  ${String(count).padStart(5)} refused: ${reason}`)
  console.log(
    `  ${tally.valid} valid bodies that ask for text, ${(share * 100).toFixed(1)} % got some; ${tally.invalid} invalid ones refused; ${tally.links} links followed`,
  )
  if (complaints.length > 0) throw new Fault(`the pool: ${complaints.join(', ')}`)
  if (share < 0.5) throw new Fault(`${(share * 100).toFixed(1)} % of what is valid reaches generation, which is less than half`)
}

await run({ name: 'contract', attempt, expected: ['served', '400', '404', 'invalid and refused'], patience: 40_000, end })
