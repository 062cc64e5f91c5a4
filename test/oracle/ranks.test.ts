/** Some of an adapter's ranks, per request: as PEFT computes with A[:k] and B[:, :k], and apart in the prefix cache. */
import t from 'tap'
import { Sequence } from '../../runtime/scheduler/sequence.ts'
import { ask } from '../support/ask.ts'
import { LOGITS_TOLERANCE, OracleFamily } from '../support/oracle.ts'
import { checkRanks } from '../support/ranks.ts'

t.test('as PEFT', (t) => checkRanks(t, new OracleFamily('llama-heads16'), LOGITS_TOLERANCE))

t.test('as PEFT with the best approximation of each rank, by numpy', (t) =>
  checkRanks(t, new OracleFamily('llama-heads16'), LOGITS_TOLERANCE, 'svd'),
)

t.test('each rank has its own prefixes, and the full rank is the adapter itself', async (t) => {
  const family = new OracleFamily('llama-heads16')
  const engine = await family.start(family.ampleBlocks)
  t.teardown(() => engine.close())
  const use = (rank?: number) => [{ name: 'a', digest: family.images.get('lora-r8-attn')!.digest, weight: 1, rank }]
  const prompt = Array.from({ length: 40 }, (_, i) => 20 + i)
  const whole = await ask(engine, prompt, {}, use())
  for (const [rank, cached] of [
    [4, 0],
    [4, 32],
    [5, 0],
    [8, 32],
    [9, 32],
    [undefined, 32],
  ] as const) {
    const answer = await ask(engine, prompt, {}, use(rank))
    t.equal(answer.cachedTokens, cached, `rank ${rank}`)
    if (rank === undefined || rank >= 8) t.same(answer.tokens, whole.tokens)
    else t.not(answer.tokens.join(), whole.tokens.join())
  }
})

t.test('what has no rank rows takes no rank', async (t) => {
  const family = new OracleFamily('llama-heads16')
  const engine = await family.start(family.ampleBlocks)
  t.teardown(() => engine.close())
  for (const name of ['dora', 'ia3', 'hira', 'modules-to-save', 'tokens'])
    t.throws(
      () =>
        engine.submit(
          {
            id: name,
            promptIds: [7],
            sampling: {} as never,
            adapters: [{ name, digest: family.images.get(name)!.digest, weight: 1, rank: 2 }],
            arrival: 0,
          },
          () => {},
        ),
      { code: 'adapter_without_ranks', message: new RegExp(`^${name} takes no rank`) },
      name,
    )
})

t.test('a rank tells sequences apart', async (t) => {
  const key = (rank?: number) =>
    new Sequence(
      { id: 'a', promptIds: Int32Array.of(1), adapters: [{ name: 'x', digest: 'd', weight: 1, rank }], arrival: 0 } as never,
      0n,
      0,
    ).adapterKey
  t.equal(new Set([key(), key(1), key(2)]).size, 3)
})
