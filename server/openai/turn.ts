/** One turn of generation, whatever API asked for it: what it costs, on which terms it waits, whose quota it counts for, and an end to it when nobody waits any more. */
import type { FastifyRequest } from 'fastify'
import type { LeasedAdapters } from '../adapter-choice.ts'
import type { Lasting } from '../client-left.ts'
import { costOf } from '../cost.ts'
import { toApiError } from '../errors.ts'
import { type QueueTerms, queueTerms, tenantOf } from '../queue-terms.ts'
import { takenOf } from '../records/taken.ts'
import { ClientLeft } from '../tokenizer/process-pool.ts'
import { Generation, type GenerationRequest, type OnPiece } from './generation.ts'
import { type Body, given } from './parameters.ts'

/** Who asks: a request, or a message of a connection with that connection's headers. */
export type Asker = Pick<FastifyRequest, 'headers' | 'caller' | 'log' | 'record'>

/** A prepared turn: what is to be generated and by what. */
export interface Prepared {
  adapter: LeasedAdapters
  asked: Omit<GenerationRequest, 'adapters' | 'tenant'>
  promptTokens: number
}

export interface Turn {
  generation: Generation
  terms: QueueTerms
  /** Generates; resolves when all choices have ended or nobody waits any more, rejects with the first failure. Throws ApiError for a quota that is used up. */
  run(): Promise<void>
}

/** Counts a turn in until `life` is over. `body`: the fields that its cost is told by. Rejects with ApiError when it is too much. */
export async function takeTurn(
  asker: Asker,
  life: Lasting,
  body: Body,
  { adapter, asked, promptTokens }: Prepared,
  onPiece: OnPiece,
): Promise<Turn> {
  const { serving } = adapter
  const { structured, structuredField = 'response_format', skipSpecialTokens, keepTokens = [] } = asked
  const specials = !skipSpecialTokens || keepTokens.length > 0
  const held =
    structured && (await serving.grammars.lease(structured, serving, specials, structuredField, tenantOf(serving.limits, asker)))
  if (held && life.raw.destroyed) {
    held.release()
    throw new ClientLeft()
  }
  if (held) life.raw.once('close', held.release)
  const countOut = serving.cost.take(costOf(asked.choices), costFields(body, asked.promptField))
  // Comes exactly once, whoever ends the connection.
  life.raw.once('close', countOut)
  const terms = queueTerms(serving.limits, asker, adapter.uses)
  const tenant = serving.access.cacheTenant(asker.caller)
  const { record } = asker
  const generation = new Generation(
    serving,
    { ...asked, ...terms, constraint: held?.constraint, adapters: adapter.uses, tenant, place: adapter.place },
    record?.keepsOutputs
      ? (index, piece) => {
          record.output(index, piece.text)
          return onPiece(index, piece)
        }
      : onPiece,
  )
  generation.counts.promptTokens = promptTokens
  if (record) {
    const [{ promptIds, sampling }] = asked.choices
    const kind = asked.promptField === 'messages' ? 'chat' : 'text_completion'
    record.take(takenOf(kind, adapter, { tenant: tenantOf(serving.limits, asker), promptIds, sampling }))
    record.work = generation
  }
  const run = () => {
    adapter.place.work(asked.choices.length, generation.counts)
    // 'close' also comes after a whole answer: then there is nothing left to abort.
    life.raw.once('close', () => generation.abort())
    const running = generation.run()
    // A stream that has begun tells its client by itself.
    if (record) running.catch((error: unknown) => record.fail(toApiError(error, serving.limits.bodyLimit)))
    return running
  }
  return { generation, terms, run }
}

/** Fields that say how much of a unit a request wants. */
function costFields(body: Body, promptField: string) {
  const scored = given(body, 'prompt_logprobs', -1) >= 0
  return {
    sequences: given(body, 'n', 1) > 1 ? 'n' : promptField,
    tokens: 'max_tokens',
    logprobs: scored ? 'prompt_logprobs' : given(body, 'top_logprobs', 0) > 0 ? 'top_logprobs' : 'logprobs',
  }
}
