/** Ranks by singular value over HTTP: all of them answer as before, and the first ones are closer to that than the file's own. */
import t from 'tap'
import { inFlight } from '../support/pace.ts'
import { demoModel, readJsonLines } from '../support/repo.ts'
import { startServed } from '../support/served.ts'

interface Golden {
  model: string
  messages: { role: string; content: string }[]
  text: string
  min_margin: number
}
const golden = readJsonLines<Golden>(demoModel('golden.jsonl')).filter((row) => row.model !== 'base' && row.min_margin >= 0.5)

t.test('the demo with --rank-order svd', async (t) => {
  const served = await startServed(t, { model: demoModel('base'), adapters: demoModel('adapters'), 'rank-order': 'svd' })
  const own = await startServed(t, { model: demoModel('base'), adapters: demoModel('adapters') })
  await Promise.all([served.preloaded, own.preloaded])
  const chat = (server: typeof served, { model, messages }: Golden, rank?: number) => {
    const header = { 'x-lora-adapter': rank === undefined ? model : `${model};rank=${rank}` }
    return server.post('/v1/chat/completions', { messages, max_tokens: 64, temperature: 0 }, header)
  }
  /** Answers that are what all ranks give, with a part of them. */
  const rightOf = async (server: typeof served, rows: Golden[], part?: number) => {
    const rankOf = (model: string) => part && part * (server.serving.management.find(model, 'model').maxRank as number)
    const answers = await inFlight(rows, 16, (row) => chat(server, row, rankOf(row.model)))
    return rows.filter((row, i) => answers[i].body.choices?.[0].message.content === row.text).length
  }
  t.equal(await rightOf(served, golden), golden.length, `${golden.length} answers with all ranks`)
  const ranked = golden.filter(({ model }) => model !== 'headline')
  const [bySvd, byOwn] = [await rightOf(served, ranked, 0.25), await rightOf(own, ranked, 0.25)]
  t.ok(
    bySvd > 0.9 * ranked.length && byOwn < 0.5 * ranked.length,
    `of ${ranked.length}, a quarter of the ranks gives ${bySvd}, and ${byOwn} in the own order`,
  )
  for (const model of new Set(golden.map((row) => row.model))) {
    const digest = ({ serving }: typeof served) => serving.adapters.get(model)?.digest
    if (model === 'headline') t.equal(digest(served), digest(own), 'a DoRA is what it was')
    else t.not(digest(served), digest(own), model)
  }
  const row = golden.find(({ model }) => model === 'pirate') as Golden
  const answer = await chat(served, row, 3)
  t.equal(answer.headers.get('x-lora-adapter'), 'pirate;rank=3')
  t.equal(answer.headers.get('x-lora-digest'), served.serving.adapters.get('pirate')?.digest)
  t.match((await chat(served, { ...row, model: 'headline' }, 3)).body.error, {
    param: 'x-lora-adapter',
    message: /takes no rank/,
  })
  t.same(await served.idleComplaints(), [])
})
