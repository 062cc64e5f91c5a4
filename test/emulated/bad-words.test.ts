/** `bad_words` on the CUDA engine without a GPU: the device looks into its own history, since the host does not know a step's tokens when the next one begins. */
import t from 'tap'
import { needsEmulated, serveEmulated } from '../support/emulated.ts'

t.test('words that must not come do not, alone and beside others', needsEmulated, async (t) => {
  const { post, serving, idleComplaints } = await serveEmulated(t)
  const ask = async (extra: object) => {
    const { status, body } = await post('/v1/completions', {
      prompt: 'Once there was a',
      max_tokens: 16,
      return_token_ids: true,
      ...extra,
    })
    if (status !== 200) throw new Error(JSON.stringify(body))
    return body.choices[0] as { text: string; token_ids: number[] }
  }
  const tokens = async (prompt: string) =>
    (await post('/tokenize', { prompt, add_special_tokens: false })).body.tokens as number[]
  const bodies = []
  for (const [seed, model] of [serving.model.name, 'pirate', serving.model.name].entries()) {
    const { text } = await ask({ model, seed, temperature: seed })
    const words = text.trim().split(/\s+/)
    const bad_words = [`${words[1]} ${words[2]}`, words[4]]
    bodies.push({ model, seed, temperature: seed, bad_words, text })
  }
  const together = await Promise.all(bodies.map(({ text, ...body }) => ask(body)))
  for (const [i, { text, bad_words, ...body }] of bodies.entries()) {
    t.not(together[i].text, text, 'bans acted')
    for (const word of bad_words.flatMap((word) => [word, ` ${word}`])) {
      const ids = (await tokens(word)).join()
      t.notOk(`,${together[i].token_ids.join()},`.includes(`,${ids},`), `${word} is not there`)
    }
    t.same((await ask({ ...body, bad_words })).token_ids, together[i].token_ids, 'the same alone')
  }
  t.same(await idleComplaints(), [])
})
