/** Speculative decoding, under vLLM's names: how many tokens were drafted, and how many of them were sampled. */
import { Counter, type Registry } from 'prom-client'
import type { EngineSnapshot } from '../../runtime/types.ts'

type Labels = { model_name: string; engine: string }

export function speculationMetrics(registry: Registry, labels: Labels, snapshot: () => EngineSnapshot): void {
  const own = Object.keys(labels)
  const counter = (name: string, help: string, value: (counters: EngineSnapshot['counters']) => number) =>
    new Counter({
      name: `vllm:spec_decode_${name}_total`,
      help,
      labelNames: own,
      registers: [registry],
      collect() {
        this.reset()
        this.inc(labels, value(snapshot().counters))
      },
    })
  counter('num_drafts', 'Drafts that steps have computed.', ({ drafts }) => drafts)
  counter('num_draft_tokens', 'Tokens of drafts that steps have computed.', ({ draftTokens }) => draftTokens)
  counter('num_accepted_tokens', 'Of these, tokens that were sampled.', ({ acceptedTokens }) => acceptedTokens)
  new Counter({
    name: 'vllm:spec_decode_num_accepted_tokens_per_pos_total',
    help: 'Of these, by their place in the draft.',
    labelNames: [...own, 'position'],
    registers: [registry],
    collect() {
      this.reset()
      for (const [position, tokens] of snapshot().acceptedAt.entries()) this.inc({ ...labels, position: `${position}` }, tokens)
    },
  })
}
