/** Activated LoRA: whose prefixes it shares, and where in a prompt it begins to act. What it computes is among the oracle's families (oracle.test.ts). */
import t from 'tap'
import { lastOccurrence } from '../../runtime/engine/reach.ts'
import type { Engine } from '../../runtime/types.ts'
import { ask } from '../support/ask.ts'
import { failures, OracleFamily } from '../support/oracle.ts'

const FAMILIES = ['alora-heads16', 'alora-qwen3-heads16']
const NAMES = ['alora', 'alora-qkv', 'alora-head-bias']

const use = (family: OracleFamily, name: string, weight = 1) => ({ name, digest: family.images.get(name)!.digest, weight })
const invocation = (family: OracleFamily, name: string) => family.images.get(name)?.invocationTokens as number[]
const casesOf = (family: OracleFamily, name: string) => family.cases.filter((one) => one.name === name)
/** The case of test/fixtures/oracle/make_alora.py whose invocation lies across the end of a block, late in the prompt. */
const across = (family: OracleFamily, name: string) => casesOf(family, name)[4]

t.test('where an invocation occurs last', async (t) => {
  t.equal(lastOccurrence([1, 2, 3, 1, 2, 4], [1, 2]), 3)
  t.equal(lastOccurrence([1, 1, 1], [1, 1]), 1, 'those that overlap')
  t.equal(lastOccurrence([1, 2], [1, 2]), 0)
  t.equal(lastOccurrence([2, 1, 2, 1], [1, 2]), 1, 'one that is begun at the end is none')
  t.equal(lastOccurrence([1], [1, 2]), -1)
})

for (const name of FAMILIES)
  t.test(name, async (t) => {
    const family = new OracleFamily(name)
    t.same(invocation(family, 'alora'), [311, 7, 312])
    t.equal(invocation(family, 'lora'), undefined)
    t.equal(family.images.get('alora')?.method, 'alora')

    for (const maxBatchTokens of [1, 7, 48])
      t.test(`in chunks of at most ${maxBatchTokens}`, async (t) => {
        const engine = await family.start(family.ampleBlocks, { maxBatchTokens, prefixCache: maxBatchTokens === 7 })
        t.teardown(() => engine.close())
        t.same(failures(await family.runAll(engine)), [])
        t.same(failures(await family.runAll(engine, 'again')), [], 'and again')
      })

    t.test('with steps queued ahead', async (t) => {
      const engine = await family.start(family.ampleBlocks, { asyncScheduling: true, maxBatchTokens: 24 })
      t.teardown(() => engine.close())
      t.same(failures(await family.runAll(engine)), [])
    })

    t.test('what comes before the invocation is shared with the base and among them, and nothing else is', async (t) => {
      const engine = await family.start(family.ampleBlocks)
      t.teardown(() => engine.close())
      const { prompt } = across(family, 'alora').row
      const from = lastOccurrence(prompt, invocation(family, 'alora'))
      t.ok(from > 32 && from % family.blockSize !== 0, `it begins inside a block (${from})`)
      const shared = Math.floor(from / family.blockSize) * family.blockSize
      const cached = async (names: string[]) =>
        (
          await ask(
            engine,
            prompt,
            {},
            names.map((one) => use(family, one)),
          )
        ).cachedTokens
      const whole = Math.floor((prompt.length - 1) / family.blockSize) * family.blockSize
      t.equal(await cached(['alora']), 0)
      t.equal(await cached([]), shared, 'the base finds what the aLoRA has computed')
      t.equal(await cached(['alora']), whole, 'the aLoRA its own')
      t.equal(await cached(['alora-qkv']), shared, 'another what comes before')
      t.equal(await cached(['alora-head-bias']), whole, 'where it is not invoked, all that the base has')
      t.equal(await cached(['lora']), 0, 'a LoRA nothing')
      t.equal((await ask(engine, prompt, {}, [use(family, 'alora', 0.5)])).cachedTokens, shared, 'nor does one of another weight')
      for (const which of NAMES)
        for (const [i, one] of casesOf(family, which).entries())
          t.same(failures([await family.run(engine, one, `warm-${which}-${i}`)]), [], 'and the answers are the same')
    })

    t.test('a later invocation takes the earlier one back', async (t) => {
      const engine = await family.start(family.ampleBlocks)
      t.teardown(() => engine.close())
      const tokens = invocation(family, 'alora')
      const adapters = [use(family, 'alora')]
      const plain = (n: number, seed: number) => Array.from({ length: n }, (_, i) => 20 + ((i * seed) % 250))
      // Both occurrences begin in the second block, which ends with a part of the later one: only what follows it says which is the last.
      const start = [...plain(18, 7), ...tokens, ...plain(9, 11), ...tokens.slice(0, 2)]
      t.equal(start.length, 2 * family.blockSize)
      const once = [...start, 5, ...plain(10, 13)]
      const twice = [...start, tokens[2], ...plain(10, 13)]
      t.same(
        [once, twice].map((prompt) => lastOccurrence(prompt, tokens)),
        [18, 30],
      )
      const fresh = []
      for (const prompt of [once, twice]) {
        const alone = await family.start(family.ampleBlocks, { prefixCache: false })
        fresh.push((await ask(alone, prompt, {}, adapters)).tokens)
        await alone.close()
      }
      const warm = []
      for (const prompt of [once, twice, once, twice]) warm.push(await ask(engine, prompt, {}, adapters))
      t.same(
        warm.map((answer) => answer.tokens),
        [...fresh, ...fresh],
      )
      t.same(
        warm.map((answer) => answer.cachedTokens),
        [0, 16, 32, 32],
      )
    })

    t.test('a prompt that is scored: by the base before the invocation, by the adapter from it on', async (t) => {
      const engine = await family.start(family.ampleBlocks)
      t.teardown(() => engine.close())
      const { prompt } = across(family, 'alora').row
      const from = lastOccurrence(prompt, invocation(family, 'alora'))
      const scores = async (names: string[]) => {
        const { promptLogprobs } = await ask(
          engine,
          prompt,
          { promptLogprobs: 0 },
          names.map((one) => use(family, one)),
        )
        return promptLogprobs.map((one) => one?.logprob)
      }
      const [base, adapted] = [await scores([]), await scores(['alora'])]
      t.equal(base.length, prompt.length)
      // The row at position p scores the token at p + 1.
      t.same(adapted.slice(0, from + 1), base.slice(0, from + 1))
      t.ok(adapted.slice(from + 1).every((value, i) => value !== base[from + 1 + i]))
    })

    t.test('it is not mixed', async (t) => {
      const engine = await family.start(family.ampleBlocks)
      t.teardown(() => engine.close())
      const mix =
        (...names: string[]) =>
        () =>
          submit(
            engine,
            names.map((one) => use(family, one, 0.5)),
          )
      t.throws(mix('lora', 'alora'), { code: 'adapter_not_mixable', message: /^alora is an activated LoRA/ })
      t.throws(mix('alora-qkv', 'alora'), { code: 'adapter_not_mixable' })
    })
  })

function submit(engine: Engine, adapters: Parameters<typeof ask>[3]): void {
  // What is refused is refused at once; the promise of what is not would be forgotten.
  engine.submit({ id: 'mix', promptIds: [7], sampling: {} as never, adapters: adapters ?? [], arrival: 0 }, () => {})
}
