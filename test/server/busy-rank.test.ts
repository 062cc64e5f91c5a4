/** Fewer ranks while the server is busy. */
import t from 'tap'
import { asWhenBusy } from '../../server/busy-rank.ts'
import { configOf } from '../../server/config/config.ts'
import { demoModel } from '../support/repo.ts'
import { startServed } from '../support/served.ts'

t.test('which ranks are lowered', async (t) => {
  let lowered = 0
  const of = (waiting: number, settings: object, ...ranks: (number | undefined)[]) =>
    asWhenBusy(
      {
        engine: { snapshot: { waiting } },
        limits: configOf(settings),
        metrics: { lowered: () => lowered++ },
      } as unknown as Parameters<typeof asWhenBusy>[0],
      ranks.map((rank) => ({ name: 'a', digest: 'd', weight: 1, ...(rank !== undefined && { rank }) })),
      { maxRanks: [8, 2, 8], ranked: [true, true, false] },
    ).map(({ rank }) => rank)
  const busy = { 'busy-rank': 4, 'busy-waiting': 10 }
  t.same(of(1000, {}, undefined), [undefined], 'never, unless it is asked for')
  t.same(of(10, busy, undefined), [undefined], 'not yet')
  t.equal(lowered, 0)
  t.same(of(11, busy, undefined), [4])
  t.same(of(11, busy, undefined, undefined, undefined), [4, undefined, undefined], 'not below its own, nor what has no ranks')
  t.equal(lowered, 2)
  t.same(of(11, busy, 6), [6], 'what was asked for stays')
  t.same(of(11, busy), [], 'the base')
  t.equal(lowered, 2)
  t.same(of(17, { 'busy-rank': 4 }, undefined), [4], 'by default with more than 16')
})

t.test('a busy server answers with fewer ranks and says so', async (t) => {
  const served = await startServed(t, {
    model: demoModel('base'),
    adapters: demoModel('adapters'),
    'served-model-name': 'demo',
    'max-sequences': 1,
    'busy-rank': 1,
    'busy-waiting': 0,
  })
  await served.preloaded
  const { engine } = served.serving
  const post = (body: object, signal?: AbortSignal) =>
    fetch(`${served.url}/v1/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ prompt: 'Once there was a', temperature: 0, stream: true, max_tokens: 12, ...body }),
      signal,
    })
  const headerOf = async (model: string, headers: Record<string, string> = {}) => {
    const answer = await served.post('/v1/completions', { model, prompt: 'Once', max_tokens: 12, temperature: 0 }, headers)
    return { header: answer.headers.get('x-lora-adapter'), model: answer.body.model, text: answer.body.choices[0].text }
  }
  t.match(await headerOf('pirate'), { header: 'pirate', model: 'pirate' })
  const stop = new AbortController()
  await post({ n: 16, max_tokens: 900, ignore_eos: true }, stop.signal)
  while (engine.snapshot.waiting === 0) await new Promise((resolve) => setTimeout(resolve, 5))
  // The head of a stream comes before its turn does.
  const asked = ['pirate', 'pirate;rank=3', 'headline', 'pirate;w=0.5, headline;w=0.5']
  const heads = await Promise.all(
    asked.map((header) =>
      fetch(`${served.url}/v1/completions`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', 'x-lora-adapter': header },
        body: JSON.stringify({ prompt: 'Once', temperature: 0, stream: true, max_tokens: 12 }),
      }),
    ),
  )
  t.same(
    heads.map(({ headers }) => headers.get('x-lora-adapter')),
    ['pirate;rank=1', 'pirate;rank=3', 'headline', 'pirate;w=0.5;rank=1, headline;w=0.5'],
  )
  t.equal((await post({ model: 'demo' })).headers.get('x-lora-adapter'), null)
  stop.abort()
  const chunks = (await heads[0].text())
    .split('\n')
    .filter((line) => line.startsWith('data: {'))
    .map((line) => JSON.parse(line.slice(6)))
  const text = chunks.map(({ choices }) => choices[0].text).join('')
  t.ok(chunks.every(({ model }) => model === 'pirate'))
  for (const head of heads.slice(1)) t.notMatch(await head.text(), /"error"/)
  await engine.idle()
  const page = await (await fetch(`${served.url}/metrics`)).text()
  t.match(page, /lorikeet_lowered_requests_total\{[^}]*\} 2\n/)
  const lowest = await headerOf('demo', { 'x-lora-adapter': 'pirate;rank=1' })
  t.same(lowest, { header: 'pirate;rank=1', model: 'pirate;rank=1', text }, 'as who asks for that rank')
  t.match(await headerOf('pirate'), { header: 'pirate' }, 'and with all of them when it is busy no more')
  t.same(await served.idleComplaints(), [])
})
