/** What the API document says of the routes that manage adapters. */
import type { ErrorCode } from '../errors.ts'
import { type Link, type Operation, plain } from '../openapi/describe.ts'
import { ADAPTER_ANSWER, ADAPTERS_ANSWER } from './answer-schemas.ts'

const CHANGES: readonly ErrorCode[] = ['not_allowed', 'state_not_kept']
const READS: readonly ErrorCode[] = [
  ...CHANGES,
  'model_not_found',
  'adapter_not_found',
  'adapter_refused',
  'adapter_version_mismatch',
  'adapter_version_not_found',
  'hub_failed',
  'engine_unavailable',
]

/** What can be done with an adapter whose name stands at `where` of what was sent or answered. */
const links = (where: string): Record<string, Link> =>
  Object.fromEntries(
    ['getAdapter', 'promoteAdapter', 'rollBackAdapter', 'deleteAdapter'].map((operationId) => [
      operationId,
      { operationId, parameters: { name: where } },
    ]),
  )

const path = '/adapters/{name}'

export const ADAPTER_OPERATIONS = {
  load: {
    id: 'loadAdapter',
    answer: plain('That it is served'),
    refusals: READS,
    links: links('$request.body#/lora_name'),
  },
  unload: { id: 'unloadAdapter', answer: plain('That it is not'), refusals: [...CHANGES, 'model_not_found'] },
  list: {
    id: 'listAdapters',
    answer: ADAPTERS_ANSWER,
    refusals: ['not_allowed'],
    links: { getAdapter: { operationId: 'getAdapter', parameters: { name: '$response.body#/adapters/0/name' } } },
  },
  put: { id: 'putAdapter', answer: ADAPTER_ANSWER, refusals: READS, links: links('$response.body#/name') },
  get: { id: 'getAdapter', path, answer: ADAPTER_ANSWER, refusals: ['not_allowed', 'model_not_found'] },
  judge: [
    {
      id: 'promoteAdapter',
      path: `${path}/promote`,
      summary: 'Take the canary of an adapter for good',
      description: 'It becomes the version that the name stands for.',
      answer: ADAPTER_ANSWER,
      refusals: READS,
    },
    {
      id: 'rollBackAdapter',
      path: `${path}/rollback`,
      summary: 'Take the canary of an adapter back',
      description: 'It goes; where there is none, the version before this one is put back.',
      answer: ADAPTER_ANSWER,
      refusals: READS,
    },
  ],
  remove: { id: 'deleteAdapter', path, answer: ADAPTER_ANSWER, refusals: [...CHANGES, 'model_not_found'] },
} satisfies Record<string, Operation | Operation[]>
