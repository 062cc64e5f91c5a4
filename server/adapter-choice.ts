/** Which adapter serves a request: header x-lora-adapter, header x-amzn-sagemaker-adapter-identifier, body `model`; the first that is present wins. */
import type { FastifyRequest } from 'fastify'
import { parseList, Token } from 'structured-headers'
import { AdapterError, type ClassifierHead } from '../adapters-store/index.ts'
import type { AdapterUse } from '../runtime/index.ts'
import type { Caller, Seen } from './access/caller.ts'
import { clientOf, countVersions, leaseVersions, versionFor } from './adapter-versions.ts'
import { asWhenBusy } from './busy-rank.ts'
import type { AdapterRecord } from './catalogue.ts'
import { type Lasting, leaving } from './client-left.ts'
import { ApiError } from './errors.ts'
import { nearest } from './nearest.ts'
import { tenantOf } from './queue-terms.ts'
import type { Place } from './request-limits.ts'
import { servedBy } from './served-by.ts'
import type { Serving } from './types.ts'

export const ADAPTER_HEADER = 'x-lora-adapter'
export const SAGEMAKER_HEADER = 'x-amzn-sagemaker-adapter-identifier'
export const DIGEST_HEADER = 'x-lora-digest'

/** A mix costs one entry per adapter and row; more than this is a mistake. */
const MIX_LIMIT = 16
/** More than any adapter has. */
const MOST_RANKS = 1_000_000

/** What a request asks for: the adapters by name, which may not be in memory yet. */
export interface AdapterChoice {
  /** Empty: the base alone. */
  mix: Chosen[]
  base: string
  /** The field or header that names them. */
  param: string
  /** Who asks. */
  caller: Caller
  tenant: string | undefined
}

interface Chosen {
  record: AdapterRecord
  weight: number
  /** Rank rows that are to be used. */
  rank?: number
  /** What the version's digest must begin with. */
  digest?: string
}

/** What serves it. */
export interface LeasedAdapters {
  /** With the tokenizer, the chat template, the ids and the ends of these adapters. */
  serving: Serving
  uses: AdapterUse[]
  /** The answer's `model`: the base's name, the adapter's, or the mix as it would stand in the header. */
  model: string
  /** The adapters' own classifiers. */
  heads: readonly { name: string; head: ClassifierHead }[]
  /** x-lora-adapter and x-lora-digest of the answer; none for the base. */
  headers: Record<string, string>
  /** Its place among the requests of its tenant and its adapters. */
  place: Place
  /** Milliseconds since epoch between which it waited for some of them to be read into host memory; absent: all lay there. */
  read?: { from: number; to: number }
}

/** Adapters that a body names otherwise than by `model`, in its field `param`. */
export interface WantedMix {
  adapters: { name: string; weight: number }[]
  param: string
}

/** What of a request chooses. */
export type Asking = Pick<FastifyRequest, 'headers' | 'caller' | 'body'>

/** What can be asked for: all that there is, or a caller's part of it. */
interface Models {
  model: Serving['model']
  adapters: Seen
}

/** What exists for a caller. */
export const seenBy = (caller: Caller, { model, adapters }: Pick<Serving, 'model' | 'adapters'>): Models => ({
  model,
  adapters: caller.seen(adapters),
})

/** A name that nobody has been served by is looked for, where that is allowed (OnDemand), before it is refused. */
export async function chooseAdapter(
  all: Pick<Serving, 'model' | 'adapters' | 'onDemand' | 'limits' | 'requestLimits'>,
  asking: Asking,
  model: string | WantedMix | null | undefined,
  reply: Lasting,
): Promise<AdapterChoice> {
  const tried = new Set<string>()
  const tenant = tenantOf(all.limits, asking)
  for (;;) {
    try {
      const { mix, ...chosen } = choose(seenBy(asking.caller, all), asking, model)
      return { ...chosen, mix: ofVersions(mix, asking), caller: asking.caller, tenant }
    } catch (error) {
      if (!all.onDemand || !(error instanceof UnknownModel) || tried.has(error.wanted) || !asking.caller.maySee(error.wanted))
        throw error
      tried.add(error.wanted)
      all.requestLimits.requireTenant(tenant)
      if (!(await all.onDemand.find(error.wanted, error.param as string, leaving(reply), tenant))) throw error
    }
  }
}

/** What is asked for, whoever asks. */
type Wanted = Omit<AdapterChoice, 'caller' | 'tenant'>

function choose(serving: Models, { headers }: Asking, model: string | WantedMix | null | undefined): Wanted {
  const listed = headerText(headers[ADAPTER_HEADER])
  if (listed !== undefined) return fromHeader(serving, listed)
  const sagemaker = headerText(headers[SAGEMAKER_HEADER])
  if (sagemaker !== undefined) return fromName(serving, sagemaker.trim(), SAGEMAKER_HEADER)
  if (typeof model === 'object' && model !== null) return fromItems(serving, model.adapters, model.param)
  return fromName(serving, model ?? serving.model.name, 'model')
}

/** Where a name stands for two versions, that of the client. */
function ofVersions(mix: readonly Chosen[], { caller, body }: Asking): Chosen[] {
  const client = clientOf(caller, (body as { user?: string | null } | undefined)?.user)
  return mix.map((chosen) => ({ ...chosen, record: versionFor(chosen.record, client, chosen.digest) }))
}

function headerText(value: string | string[] | undefined): string | undefined {
  return Array.isArray(value) ? value.join(', ') : value
}

/** An RFC 9651 list: tokens or strings, each with an optional weight `w`, `rank` and `digest`. */
function fromHeader(serving: Models, text: string): Wanted {
  return fromItems(serving, parseMix(text), ADAPTER_HEADER)
}

function fromItems(serving: Models, items: Item[], param: string): Wanted {
  if (items.length > MIX_LIMIT)
    throw new ApiError('invalid_request', `${param} names ${items.length} adapters; at most ${MIX_LIMIT} can be mixed`, param)
  if (items.length === 1 && items[0].name === serving.model.name) return baseAlone(serving)
  const mix: Chosen[] = []
  for (const { name, weight, rank, digest } of items) {
    if (name === serving.model.name)
      throw new ApiError(
        'invalid_request',
        `${param} mixes ${name}, the base model; it is under every mix: name adapters only`,
        param,
      )
    const record = findAdapter(serving, serving.adapters.get(name) ? name : percentDecoded(name), param)
    if (mix.some((use) => use.record === record)) throw namedTwice(name, param)
    mix.push({ record, weight, rank, digest })
  }
  return { mix, base: serving.model.name, param }
}

/** A header holds ASCII, so a name beyond it goes percent-encoded, as in our own answers. */
function percentDecoded(name: string): string {
  try {
    return decodeURIComponent(name)
  } catch {
    return name
  }
}

const namedTwice = (name: string, param: string) =>
  new ApiError(
    'invalid_request',
    `${param} names ${name} twice (by name or by content); give it once with the sum of the weights`,
    param,
  )

interface Item {
  name: string
  weight: number
  rank?: number
  digest?: string
}

function parseMix(text: string): Item[] {
  const bad = (why: string) =>
    new ApiError(
      'invalid_request',
      `${ADAPTER_HEADER} must be a list like \`pirate\` or \`formal;w=0.7, "my adapter";w=-0.4\`: ${why}`,
      ADAPTER_HEADER,
    )
  let items: ReturnType<typeof parseList>
  try {
    items = parseList(text)
  } catch (error) {
    throw bad((error as Error).message)
  }
  if (items.length === 0) throw bad('it names no adapter')
  if (items.length > MIX_LIMIT) throw bad(`it names ${items.length} adapters; at most ${MIX_LIMIT} can be mixed`)
  return items.map(([item, parameters]) => {
    const name = item instanceof Token ? item.toString() : item
    if (typeof name !== 'string') throw bad('each item must be an adapter name')
    for (const key of parameters.keys())
      if (key !== 'w' && key !== 'rank' && key !== 'digest')
        throw bad(
          `${name} has the parameter ${key}; only w (its weight), rank (how many of its ranks) and digest (its version's) are known`,
        )
    const weight = parameters.has('w') ? parameters.get('w') : 1
    if (typeof weight !== 'number') throw bad(`the weight of ${name} must be a number`)
    const rank = parameters.get('rank')
    if (rank !== undefined && !(typeof rank === 'number' && Number.isInteger(rank) && rank >= 1 && rank <= MOST_RANKS))
      throw bad(`the rank of ${name} must be an integer from 1 to ${MOST_RANKS}`)
    if (!parameters.has('digest')) return { name, weight, rank }
    const digest = parameters.get('digest')
    if (typeof digest !== 'string' || !/^[0-9a-f]{8,64}$/i.test(digest))
      throw bad(`the digest of ${name} must be 8 to 64 hexadecimal digits in quotes`)
    return { name, weight, rank, digest: digest.toLowerCase() }
  })
}

function fromName(serving: Models, name: string, param: string): Wanted {
  if (name === serving.model.name) return baseAlone(serving)
  return { mix: [{ record: findAdapter(serving, name, param), weight: 1 }], base: serving.model.name, param }
}

function baseAlone(serving: Models): Wanted {
  return { mix: [], base: serving.model.name, param: 'model' }
}

/** The adapter called `name`, or `base:name`. */
export function findAdapter(serving: Models, name: string, param: string): AdapterRecord {
  const prefix = `${serving.model.name}:`
  const short = name.startsWith(prefix) ? name.slice(prefix.length) : name
  const record = serving.adapters.get(name) ?? serving.adapters.get(short)
  if (!record) throw unknownModel(serving, short, param)
  return record
}

/** Characters of a wrong name that the answer repeats. */
const SHOWN = 256

/** What can be asked for, sorted; made anew when the adapters change. */
const sortedNames = new WeakMap<readonly AdapterRecord[], string[]>()

function names({ model, adapters }: Models): string[] {
  const records = adapters.list()
  const known = sortedNames.get(records) ?? [model.name, ...records.map((record) => record.name)].sort()
  sortedNames.set(records, known)
  return known
}

class UnknownModel extends ApiError {
  readonly wanted: string

  constructor(message: string, param: string, wanted: string) {
    super('model_not_found', message, param)
    this.wanted = wanted
  }
}

function unknownModel(serving: Models, name: string, param: string): UnknownModel {
  const near = nearest(name, names(serving))
  const hint = near.length > 0 ? ` Did you mean ${near.map((n) => `\`${n}\``).join(' or ')}?` : ''
  const shown = name.length > SHOWN ? `${name.slice(0, SHOWN)}…` : name
  return new UnknownModel(`The model \`${shown}\` does not exist.${hint}`, param, name)
}

/** Refuses an adapter that could not be loaded when somebody wanted it last. */
export function requireServed(record: AdapterRecord, param: string): AdapterRecord {
  if (record.refusal === undefined) return record
  throw new ApiError('adapter_refused', `the adapter \`${record.name}\` cannot be served: ${record.refusal}`, param)
}

/** The place of a request among those of its key, its tenant and its adapters, until its answer is over. Throws ApiError where a limit is reached. */
function takePlace(serving: Serving, { mix, caller, tenant }: AdapterChoice, reply: Lasting, generates: boolean): Place {
  // The limits are those of the name, whichever version was chosen.
  const adapters = mix.map(({ record: { name } }) => ({ name, limits: serving.adapters.get(name)?.limits }))
  const place = serving.requestLimits.enter({ key: caller.quota, tenant, adapters, generates })
  if (reply.raw.destroyed) place.leave()
  else reply.raw.once('close', () => place.leave())
  return place
}

/**
 * The adapters of a request, in memory and known to the engine until its answer is over. It comes before anything is made of the request's text: an adapter may have a tokenizer of
 * its own, and which is known only of the version that serves. And the limits come before that. `generates`: false for what only reads or writes text. `exact`:
 * with all ranks however busy the server is, as for vectors that are compared with those of other times.
 */
export async function leaseAdapters(
  serving: Serving,
  choice: AdapterChoice,
  reply: Lasting,
  { generates = true, exact = !generates }: { generates?: boolean; exact?: boolean } = {},
): Promise<LeasedAdapters> {
  const { mix, base, param } = choice
  const place = takePlace(serving, choice, reply, generates)
  if (mix.length === 0) return { serving, uses: [], model: base, heads: [], headers: {}, place }
  const cold = mix.some(({ record }) => record.image === undefined)
  const from = Date.now()
  const { lease, records } = await leaseVersions(serving, mix, leaving(reply)).catch((error: Error) => {
    throw error instanceof AdapterError ? refused(mix, error, param) : error
  })
  const read = cold ? { from, to: Date.now() } : undefined
  const { digests, release } = lease
  if (reply.raw.destroyed) release()
  else reply.raw.once('close', release)
  for (const [i, { record, digest }] of mix.entries()) {
    if (digests.indexOf(digests[i]) < i) throw namedTwice(record.name, param)
    if (digest !== undefined && !digests[i].startsWith(digest)) throw otherVersion(record, digests[i], digest)
  }
  countVersions(serving, records)
  const asked = mix.map(({ record, weight, rank }, i) => {
    const use = { name: record.name, digest: digests[i], weight }
    return rank === undefined ? use : { ...use, rank: Math.min(rank, lease.maxRanks[i] || rank) }
  })
  const uses: AdapterUse[] = exact ? asked : asWhenBusy(serving, asked, lease)
  const alone = asked.length === 1 && asked[0].weight === 1 && !('rank' in asked[0])
  const listed = uses.map(listedAs).join(', ')
  return {
    serving: servedBy(serving, records, lease),
    uses,
    // What a busy server makes of it is told in the header alone: gateways count answers by their `model`.
    model: alone ? asked[0].name : asked.map(listedAs).join(', '),
    heads: uses.flatMap(({ name }, i) => (lease.heads[i] ? [{ name, head: lease.heads[i] }] : [])),
    headers: { [ADAPTER_HEADER]: listed, [DIGEST_HEADER]: digests.join(', ') },
    place,
    read,
  }
}

/** As it could be asked for again: a header's weight has three decimals (RFC 9651). */
const listedAs = ({ name, weight, rank }: AdapterUse) =>
  itemOf(name) + (weight === 1 ? '' : `;w=${Number(weight.toFixed(3))}`) + (rank === undefined ? '' : `;rank=${rank}`)

function otherVersion({ name }: AdapterRecord, digest: string, demanded: string): ApiError {
  const message = `the adapter ${name} is at ${digest}, not at ${demanded}`
  return new ApiError('adapter_version_mismatch', message, ADAPTER_HEADER).at(digest)
}

function refused(mix: readonly Chosen[], error: AdapterError, param: string): ApiError {
  const records = mix.map(({ record }) => record)
  if (error.code === 'adapter_no_room') return new ApiError('too_many_requests', error.message, null, 5)
  if (error.code === 'adapter_store_closed') return new ApiError('engine_unavailable', 'the server is closing')
  const name = records.find(({ refusal }) => refusal === error.message)?.name ?? records.map((record) => record.name).join(', ')
  return new ApiError('adapter_refused', `the adapter \`${name}\` cannot be served: ${error.message}`, param)
}

/** A name as a token if it is one (RFC 9651, section 3.3.4), as a string otherwise; outside ASCII as an encoded string, since headers carry no more. */
export function itemOf(name: string): string {
  if (/^[A-Za-z*][\w!#$%&'*+.^`|~:/-]*$/.test(name)) return name
  const ascii = /^[\x20-\x7e]*$/.test(name) ? name : encodeURIComponent(name)
  return `"${ascii.replace(/["\\]/g, '\\$&')}"`
}
