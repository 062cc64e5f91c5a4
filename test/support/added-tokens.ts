/** What holds of adapters with tokens of their own beside others in one batch, on either device: the family is one of test/fixtures/oracle/added-*. */
import type { Test } from 'tap'
import type { Engine } from '../../runtime/types.ts'
import { ask } from './ask.ts'
import { greedy } from './greedy.ts'
import type { OracleFamily } from './oracle.ts'

const BASE = 320
const HOT = { maxTokens: 120, temperature: 5, ignoreEos: true }

export async function checkAddedTokens(t: Test, family: OracleFamily, engine: Engine): Promise<void> {
  const use = (name: string, weight = 1) => ({ name, digest: family.images.get(name)!.digest, weight })
  const prompt = [7, 30, 200, 41]

  t.test('nobody samples a token that is not its own', async (t) => {
    const rows = [
      { who: [], below: BASE },
      { who: [use('lora-r4-qv')], below: BASE },
      { who: [use('saved')], below: 325 },
      { who: [use('untrained')], below: 323 },
      { who: [use('shrunk')], below: 311 },
      { who: [use('saved'), use('lora-r4-qv', 0.5)], below: BASE },
      { who: [use('saved', 0.5), use('untrained', 0.5)], below: 323 },
      { who: [use('saved', 0.5), use('shrunk', 0.5)], below: 311 },
    ]
    const options = [{}, { topP: 0.99 }, { topK: 300, logprobs: 20 }, { minP: 1e-4, repetitionPenalty: 1.2, presencePenalty: -2 }]
    const wild = rows.flatMap((row) => options.map((option, i) => ({ ...row, option: { ...HOT, ...option, seed: BigInt(i) } })))
    const answers = await Promise.all(wild.map(({ who, option }) => ask(engine, prompt, option, who)))
    const highest = new Map<number, number>()
    for (const [i, { tokens, logprobs, error }] of answers.entries()) {
      const { who, below } = wild[i]
      const name = who.map((one) => one.name).join(' + ') || 'the base'
      t.equal(error, undefined, name)
      t.ok(
        tokens.every((token) => token < below),
        `${name}: all ${tokens.length} below ${below}`,
      )
      for (const { top, rank } of logprobs)
        if (!(rank <= below && top.every(({ token, logprob }) => token < below && Number.isFinite(logprob))))
          t.fail(`${name}: rank ${rank} of ${below}, likeliest ${top.map(({ token }) => token)}`)
      highest.set(below, Math.max(highest.get(below) ?? 0, ...tokens))
    }
    t.ok((highest.get(325) as number) >= BASE, `and whose they are samples them (${highest.get(325)})`)
    const alone = []
    for (const { who, option } of wild.slice(8, 12)) alone.push((await ask(engine, prompt, option, who)).tokens)
    t.same(
      answers.slice(8, 12).map(({ tokens }) => tokens),
      alone,
      'the same alone and beside others',
    )
  })

  t.test('what is asked of sampling reaches added tokens', async (t) => {
    const own = [use('untrained')]
    const allowed = await ask(engine, prompt, { allowedTokenIds: [320, 322] }, own)
    t.ok(
      allowed.tokens.every((token) => token === 320 || token === 322),
      'allowed',
    )
    const favoured = await ask(engine, prompt, { logitBias: [[321, 100]], maxTokens: 3 }, own)
    t.same(favoured.tokens, [321, 321, 321], 'favoured')
    const stopped = await ask(engine, prompt, { logitBias: [[321, 100]], stopTokenIds: [321], ignoreEos: false }, own)
    t.match(stopped, { tokens: [321], finish: 'stop' }, 'a token that ends the answer')
    const later = await ask(engine, prompt, { logitBias: [[321, 50]], stopTokenIds: [321], minTokens: 3, ignoreEos: false }, own)
    t.ok(!later.tokens.slice(0, 3).includes(321) && later.tokens[3] === 321, 'not before min_tokens')
    const spread = await ask(engine, prompt, { allowedTokenIds: [320, 321, 322], frequencyPenalty: 2, maxTokens: 6 }, own)
    t.same(
      [320, 321, 322].map((id) => spread.tokens.filter((token) => token === id).length),
      [2, 2, 2],
      'penalised',
    )
    const others = await ask(engine, prompt, { logitBias: [[321, 100]], maxTokens: 4 }, [use('lora-r4-qv')])
    t.same(others.tokens, (await ask(engine, prompt, { maxTokens: 4 }, [use('lora-r4-qv')])).tokens, 'and nobody else')
  })

  t.test('prompt tokens of its own are scored', async (t) => {
    const ids = [5, 321, 9, 322, 320, 17]
    const { promptLogprobs } = await ask(engine, ids, { promptLogprobs: 1, maxTokens: 1 }, [use('saved')])
    for (let at = 1; at < ids.length; at++) {
      const [{ top }] = (await ask(engine, ids.slice(0, at), { maxTokens: 1, logprobs: 325 }, [use('saved')])).logprobs
      t.equal(top.length, 325, 'as many as there are')
      const place = top.findIndex(({ token }) => token === ids[at])
      const scored = promptLogprobs[at]!
      t.ok(Math.abs(scored.logprob - top[place].logprob) < 0.02, `${ids[at]}: ${scored.logprob}, ${top[place].logprob}`)
    }
  })

  t.test('prompts with a token that does not exist for them are refused', async (t) => {
    const refused = (token: number, uses: ReturnType<typeof use>[], message: RegExp) =>
      t.throws(
        () => engine.submit({ id: 'x', promptIds: [5, token], sampling: greedy(1), adapters: uses, arrival: 0 }, () => {}),
        { code: 'token_out_of_range', message },
        String(message),
      )
    refused(320, [], /token id 320 is not in the vocabulary \(0 to 319\)/)
    refused(320, [use('lora-r4-qv')], /320 is not in the vocabulary of lora-r4-qv \(0 to 319\)/)
    refused(325, [use('saved')], /of saved \(0 to 324\)/)
    refused(311, [use('shrunk')], /of shrunk \(0 to 310\)/)
    refused(320, [use('saved'), use('lora-r4-qv')], /of saved and lora-r4-qv \(0 to 319\)/)
    refused(323, [use('saved'), use('untrained')], /\(0 to 322\)/)
    t.equal((await ask(engine, [5, 322], {}, [use('saved', 0.5), use('untrained', 0.5)])).finish, 'length')
  })
}
