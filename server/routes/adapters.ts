/** Loading, unloading and looking at adapters: vLLM's two routes, and SageMaker's `/adapters` with fields of our own. */
import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { Adapter } from '../../adapters-store/index.ts'
import type { AdapterManagement, ChangedFormats, ChangedLimits, WantedCanary } from '../adapter-management.ts'
import { leaving } from '../client-left.ts'
import { ApiError } from '../errors.ts'
import { jsonBody, SlicedArray } from '../json.ts'
import { REASONING_FORMATS, REASONING_SPELLINGS, TOOL_FORMATS, TOOL_SPELLINGS } from '../openai/message/formats.ts'
import { type Body, checkFields, given } from '../openai/parameters.ts'
import { type BodySchema, boolean, nullable, string } from '../openai/schemas.ts'
import { ADAPTER_OPERATIONS } from './adapter-operations.ts'

const tags = ['adapters']
const name = { type: 'string', minLength: 1, maxLength: 256 }
const source = { type: 'string', minLength: 1, maxLength: 4096 }

/** Largest limit: a number that a client may have meant. */
const count = { type: ['integer', 'null'], minimum: 1, maximum: Number.MAX_SAFE_INTEGER }

const loadSchema: BodySchema = {
  type: 'object',
  examples: [{ lora_name: 'pirate', lora_path: 'pirate' }],
  required: ['lora_name', 'lora_path'],
  properties: { lora_name: name, lora_path: source, load_inplace: boolean, base_model_name: string, is_3d_lora_weight: boolean },
}

const unloadSchema: BodySchema = {
  type: 'object',
  examples: [{ lora_name: 'pirate' }],
  required: ['lora_name'],
  properties: { lora_name: name, lora_int_id: { type: ['integer', 'null'] } },
}

const adapterSchema: BodySchema = {
  type: 'object',
  examples: [{ name: 'pirate', src: 'pirate' }],
  required: ['name'],
  properties: {
    name,
    src: {
      ...source,
      description:
        'A folder in those of --adapters and --adapter-roots, absolute or relative to the first, or ORG/NAME[@REVISION] of the hub. Needed, but with `canary` or to pin what is there.',
    },
    preload: { ...boolean, description: 'Read it now (the default), or when somebody wants it.' },
    pin: {
      ...boolean,
      description: 'Keep it in host memory. Without `src`: the version that is there, from now on or no longer.',
    },
    replace: { ...boolean, description: 'Take a name that is known; requests that run end on the version they began with.' },
    limits: {
      ...nullable({
        type: 'object',
        properties: { max_requests: count, max_queued: count, tokens_per_minute: count },
        additionalProperties: false,
      }),
      description:
        'What requests of this name may take together: `max_requests` in flight, `max_queued` of these waiting, `tokens_per_minute`. One that is not named stays as it is; null is what the ' +
        'settings give to all adapters. Without `src`: of the name that is there.',
    },
    tool_call_parser: {
      ...nullable({ type: 'string', enum: [...TOOL_FORMATS, ...Object.keys(TOOL_SPELLINGS)] }),
      description:
        'The format in which it writes calls; null is what its folder or the base says. Without `src`: of the name that is there.',
    },
    reasoning_parser: {
      ...nullable({ type: 'string', enum: [...REASONING_FORMATS, ...Object.keys(REASONING_SPELLINGS)] }),
      description: 'The format in which it writes what it reasons; likewise.',
    },
    expected_digest: { ...string, description: 'Only if the name stands for this digest now; else 412.' },
    canary: {
      ...nullable({ type: 'number', exclusiveMinimum: 0, exclusiveMaximum: 1 }),
      description:
        'The name keeps its version, and the one in `src` takes this part of its requests beside it, in place of a canary that is there; the same client (tenant and `user`) always ' +
        'gets the same version. Without `src`: the canary that is there takes this part from now on.',
    },
  },
}

const judgeSchema: BodySchema = {
  type: 'object',
  examples: [{}],
  properties: {
    expected_digest: {
      ...string,
      description: 'Only if this is the digest of the version that is promoted, or that goes; else 412.',
    },
  },
}

/** Adapters of a list that are looked at and written before others have a turn. */
const SLICE = 100

export function adapterRoutes(app: FastifyInstance, management: AdapterManagement): void {
  app.post<{ Body: Body }>(
    '/v1/load_lora_adapter',
    { schema: { tags, body: loadSchema, summary: 'Serve an adapter from now on (vLLM)', api: ADAPTER_OPERATIONS.load } },
    async ({ body, caller }, reply) => {
      management.requireChange(caller)
      checkFields(body, loadSchema)
      const adapter = await management.load(
        {
          name: body.lora_name as string,
          source: body.lora_path as string,
          preload: true,
          replace: given<boolean>(body, 'load_inplace', false),
          fields: { name: 'lora_name', source: 'lora_path' },
        },
        leaving(reply),
      )
      reply.type('text/plain; charset=utf-8')
      return `Success: LoRA adapter '${adapter.name}' added successfully.`
    },
  )
  app.post<{ Body: Body }>(
    '/v1/unload_lora_adapter',
    { schema: { tags, body: unloadSchema, summary: 'Serve an adapter no longer (vLLM)', api: ADAPTER_OPERATIONS.unload } },
    async ({ body, caller }, reply) => {
      management.requireChange(caller)
      checkFields(body, unloadSchema)
      await management.unload(body.lora_name as string, 'lora_name')
      reply.type('text/plain; charset=utf-8')
      return `Success: LoRA adapter '${body.lora_name}' removed successfully.`
    },
  )
  app.get(
    '/adapters',
    { schema: { tags, summary: 'Every adapter, with its state', api: ADAPTER_OPERATIONS.list } },
    async ({ caller }, reply) => {
      management.requireAdmin(caller)
      const all = management.all()
      const slices = function* () {
        for (let at = 0; at < all.length; at += SLICE)
          yield all.slice(at, at + SLICE).map((adapter) => management.describe(adapter))
      }
      reply.type('application/json; charset=utf-8')
      return jsonBody({ adapters: new SlicedArray(slices()) })
    },
  )
  app.post<{ Body: Body }>(
    '/adapters',
    {
      schema: {
        tags,
        body: adapterSchema,
        summary: 'Serve an adapter from now on, or another version of it (SageMaker)',
        api: ADAPTER_OPERATIONS.put,
      },
    },
    async (request, reply) => {
      const { body, caller } = request
      management.requireChange(caller)
      checkFields(body, adapterSchema)
      const expectedDigest = given<string | undefined>(body, 'expected_digest', undefined)
      const canary = canaryOf(body)
      if (canary) {
        const own = await management.setCanary(canary, leaving(reply))
        tell(request, own, `has a canary for ${canary.share} of its requests`)
        return management.describe(own)
      }
      const pin = given<boolean | undefined>(body, 'pin', undefined)
      const limits = limitsOf(body)
      const formats = formatsIn(body)
      const sets = (pin ?? limits ?? formats) !== undefined
      if (sets && body.src === undefined && body.replace === undefined && body.preload === undefined)
        return management.describe(await management.set(body.name as string, { pin, limits, formats }, expectedDigest))
      if (body.src === undefined) throw new ApiError('invalid_request', 'you must provide src', 'src')
      const adapter = await management.load(
        {
          name: body.name as string,
          source: body.src as string,
          preload: given<boolean>(body, 'preload', true),
          pin,
          limits,
          formats,
          replace: given<boolean>(body, 'replace', expectedDigest !== undefined),
          expectedDigest,
          fields: { name: 'name', source: 'src' },
        },
        leaving(reply),
      )
      return management.describe(adapter)
    },
  )
  // Wildcards: names may hold slashes, encoded or not.
  app.get<{ Params: { '*': string } }>(
    '/adapters/*',
    { schema: { tags, summary: 'One adapter by its name', api: ADAPTER_OPERATIONS.get } },
    async ({ params, caller }) => {
      management.requireAdmin(caller)
      return management.describe(management.find(params['*'], 'name'))
    },
  )
  app.post<{ Params: { '*': string }; Body: Body | null }>(
    '/adapters/*',
    {
      schema: {
        tags,
        body: nullable(judgeSchema),
        api: ADAPTER_OPERATIONS.judge,
      },
    },
    async (request, reply) => {
      const { params, caller } = request
      const [name, verb] = verbOf(request.url, params['*'])
      management.requireChange(caller)
      const body = request.body ?? {}
      checkFields(body, judgeSchema)
      const judging = {
        expectedDigest: given<string | undefined>(body, 'expected_digest', undefined),
        signal: leaving(reply),
      }
      const own = await management[verb](management.find(name, 'name'), judging)
      tell(request, own, verb === 'promote' ? 'stands for its canary' : 'is rolled back')
      return management.describe(own)
    },
  )
  app.delete<{ Params: { '*': string } }>(
    '/adapters/*',
    { schema: { tags, summary: 'Serve an adapter no longer (SageMaker)', api: ADAPTER_OPERATIONS.remove } },
    async ({ params, caller }) => {
      management.requireChange(caller)
      const adapter = management.find(params['*'], 'name')
      await management.unload(adapter.name, 'name')
      return management.describe(adapter)
    },
  )
}

function limitsOf(body: Body): ChangedLimits | undefined {
  const limits = given<Record<string, number | null> | undefined>(body, 'limits', undefined)
  return limits && { maxRequests: limits.max_requests, maxQueued: limits.max_queued, tokensPerMinute: limits.tokens_per_minute }
}

function formatsIn({ tool_call_parser: tools, reasoning_parser: reasoning }: Body): ChangedFormats | undefined {
  const named = <Name>(said: unknown, spellings: Readonly<Record<string, Name>>) =>
    (typeof said === 'string' && Object.hasOwn(spellings, said) ? spellings[said] : said) as string | null | undefined
  if (tools === undefined && reasoning === undefined) return undefined
  return { tools: named(tools, TOOL_SPELLINGS), reasoning: named(reasoning, REASONING_SPELLINGS) }
}

/** What `POST /adapters` says of a canary; undefined: nothing. */
function canaryOf(body: Body): WantedCanary | undefined {
  const share = given<number | undefined>(body, 'canary', undefined)
  if (share === undefined) return undefined
  const refuse = (field: string, why: string) => {
    throw new ApiError('invalid_request', `${field} and canary do not go together: ${why}`, field)
  }
  if (given(body, 'replace', false)) refuse('replace', 'the name keeps its version until the canary is promoted')
  if (!given(body, 'preload', true)) refuse('preload', 'a canary is read before it takes requests')
  if (limitsOf(body)) refuse('limits', "limits are the name's, whichever version answers: send them without it")
  for (const field of ['tool_call_parser', 'reasoning_parser'])
    if (body[field] !== undefined) refuse(field, "formats are the name's, whichever version answers: send them without it")
  const source = body.src as string | undefined
  const pin = given<boolean | undefined>(body, 'pin', undefined)
  if (source === undefined && pin !== undefined) refuse('pin', 'without src it changes the share alone')
  return {
    name: body.name as string,
    source,
    share,
    pin,
    expectedDigest: given<string | undefined>(body, 'expected_digest', undefined),
  }
}

const VERBS = ['promote', 'rollback'] as const

/** The name and what is to be done with it. Names may hold slashes and end like that themselves: the verb is what follows the last slash that is not encoded. */
function verbOf(url: string, rest: string): [name: string, verb: (typeof VERBS)[number]] {
  const [path] = url.split('?')
  for (const verb of VERBS)
    if (path.endsWith(`/${verb}`) && rest.endsWith(`/${verb}`)) return [rest.slice(0, -verb.length - 1), verb]
  throw new ApiError(
    'route_not_found',
    'an adapter is promoted by POST /adapters/NAME/promote, and rolled back by POST /adapters/NAME/rollback',
  )
}

function tell({ log }: FastifyRequest, { name, digest, canary }: Adapter, what: string): void {
  log.info({ adapter: name, digest, canary: canary?.adapter.digest, share: canary?.share }, `adapter ${name} ${what}`)
}
