/** Activated LoRA: what is read of its invocation tokens, and what it is refused with. */
import t from 'tap'
import { loadAdapter } from '../../adapters-store/index.ts'
import { base, options, refusal } from './refusal.ts'
import { changedFixture } from './write-adapter.ts'

const invoked = (value: unknown) => (config: Record<string, unknown>) => {
  config.alora_invocation_tokens = value
}

t.test('a LoRA with invocation tokens keeps them', async (t) => {
  const load = (value: unknown) => loadAdapter('x', changedFixture(t, 'biased/adapters/lora', invoked(value)), base, options)
  const image = load([5, 6, 5])
  t.match(image, { invocationTokens: [5, 6, 5], method: 'alora' })
  for (const value of [null, [], false]) t.match(load(value), { invocationTokens: undefined, method: 'lora' })
  t.not(load(null).digest, image.digest)
  t.same(load(null).entries, image.entries, 'the same weights')
})

for (const value of [[-1], [1.5], ['1'], [100000], 7, 'yes'])
  t.test(`refuses invocation tokens ${JSON.stringify(value)}`, async (t) => {
    const folder = changedFixture(t, 'biased/adapters/lora', invoked(value))
    refusal(t, folder, 'adapter_config_invalid', ['alora_invocation_tokens', /list of token ids from 0 to below \d+/])
  })

for (const [fixture, why] of [
  ['dora', /use_dora/],
  ['adalora', /AdaLoRA/],
  ['table-and-head', /embed_tokens/],
  ['saved-modules', /whole prompt/],
  ['tokens', /whole prompt/],
  ['bias-all', /bias of .*whole prompt/],
] as [string, RegExp][])
  t.test(`refuses invocation tokens with what ${fixture} has`, async (t) => {
    const folder = changedFixture(t, `biased/adapters/${fixture}`, invoked([1, 2]))
    refusal(t, folder, 'adapter_option_unsupported', ['alora_invocation_tokens', why])
  })
