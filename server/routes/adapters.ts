/** Loading, unloading and looking at adapters: vLLM's two routes, and SageMaker's `/adapters` with fields of our own. */
import type { FastifyInstance } from 'fastify'
import type { AdapterManagement } from '../adapter-management.ts'
import { leaving } from '../client-left.ts'
import { jsonBody, SlicedArray } from '../json.ts'
import { type Body, checkFields, given } from '../openai/parameters.ts'
import { type BodySchema, boolean, string } from '../openai/schemas.ts'

const tags = ['adapters']
const name = { type: 'string', minLength: 1, maxLength: 256 }
const source = { type: 'string', minLength: 1, maxLength: 4096 }

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
  required: ['name', 'src'],
  properties: {
    name,
    src: {
      ...source,
      description:
        'A folder in those of --adapters and --adapter-roots, absolute or relative to the first, or ORG/NAME[@REVISION] of the hub.',
    },
    preload: { ...boolean, description: 'Read it now (the default), or when somebody wants it.' },
    pin: { ...boolean, description: 'Keep it in host memory.' },
    replace: { ...boolean, description: 'Take a name that is known; requests that run end on the version they began with.' },
    expected_digest: { ...string, description: 'Replace only if the name stands for this digest now; else 412.' },
  },
}

/** Adapters of a list that are written before others have a turn. */
const SLICE = 100

export function adapterRoutes(app: FastifyInstance, management: AdapterManagement): void {
  app.post<{ Body: Body }>(
    '/v1/load_lora_adapter',
    { schema: { tags, body: loadSchema, summary: 'Serve an adapter from now on (vLLM)' } },
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
    { schema: { tags, body: unloadSchema, summary: 'Serve an adapter no longer (vLLM)' } },
    async ({ body, caller }, reply) => {
      management.requireChange(caller)
      checkFields(body, unloadSchema)
      await management.unload(body.lora_name as string, 'lora_name')
      reply.type('text/plain; charset=utf-8')
      return `Success: LoRA adapter '${body.lora_name}' removed successfully.`
    },
  )
  app.get('/adapters', { schema: { tags, summary: 'Every adapter, with its state' } }, async ({ caller }, reply) => {
    management.requireAdmin(caller)
    const adapters = management.list()
    const slices = function* () {
      for (let at = 0; at < adapters.length; at += SLICE) yield adapters.slice(at, at + SLICE)
    }
    reply.type('application/json; charset=utf-8')
    return jsonBody({ adapters: new SlicedArray(slices()) })
  })
  app.post<{ Body: Body }>(
    '/adapters',
    { schema: { tags, body: adapterSchema, summary: 'Serve an adapter from now on, or another version of it (SageMaker)' } },
    async ({ body, caller }, reply) => {
      management.requireChange(caller)
      checkFields(body, adapterSchema)
      const expectedDigest = given<string | undefined>(body, 'expected_digest', undefined)
      const adapter = await management.load(
        {
          name: body.name as string,
          source: body.src as string,
          preload: given<boolean>(body, 'preload', true),
          pin: given<boolean | undefined>(body, 'pin', undefined),
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
    { schema: { tags, summary: 'One adapter by its name' } },
    async ({ params, caller }) => {
      management.requireAdmin(caller)
      return management.describe(management.find(params['*'], 'name'))
    },
  )
  app.delete<{ Params: { '*': string } }>(
    '/adapters/*',
    { schema: { tags, summary: 'Serve an adapter no longer (SageMaker)' } },
    async ({ params, caller }) => {
      management.requireChange(caller)
      const adapter = management.find(params['*'], 'name')
      await management.unload(adapter.name, 'name')
      return management.describe(adapter)
    },
  )
}
