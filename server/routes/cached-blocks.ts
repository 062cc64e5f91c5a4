/** The prefix cache as a subscriber of KV events believes it to be: for whoever wants to check one, or starts after the batches that can be replayed. */
import type { FastifyInstance } from 'fastify'
import { ApiError } from '../errors.ts'
import type { KvEvents } from '../kv-events/publisher.ts'
import { about, count, json, list, object, text } from '../openapi/describe.ts'
import type { Serving } from '../types.ts'

const ANSWER = json(
  object({
    sequence: about('Number of the last batch that told of them.', count),
    block_size: about('Tokens in a block.', count),
    block_hashes: about('64 hexadecimal digits each, in no order.', list(text)),
  }),
  'The blocks that were cached at one moment',
)

export function cachedBlocksRoute(app: FastifyInstance, events: KvEvents, { management, engine }: Serving): void {
  app.get(
    '/kv_events/blocks',
    {
      schema: {
        tags: ['operations'],
        summary: 'The prefix cache as KV events have told it, with the number of the last batch',
        api: { id: 'getCachedBlocks', answer: ANSWER, refusals: ['engine_unavailable', 'not_allowed'] },
      },
    },
    async ({ caller }) => {
      // Who knows how hashes are made could ask what others have asked.
      management.requireAdmin(caller)
      const cached = await events.cached()
      if (!cached) throw new ApiError('engine_unavailable', 'the engine can tell no more; see the server log')
      const block_hashes = cached.hashes.map((hash) => Buffer.from(hash, 'base64').toString('hex'))
      return { sequence: cached.sequence, block_size: engine.info.blockSize, block_hashes }
    },
  )
}
