/** Answers of every API that a gateway passes through, and the metrics page, as its endpoint picker reads them: names are replaced in bytes, usage is found, and lists of adapters are taken apart. */
import { cpSync } from 'node:fs'
import path from 'node:path'
import t from 'tap'
import { request } from '../support/http.ts'
import { inFlight } from '../support/pace.ts'
import { loraScore, namedBack, scrapedFrom, usageIn } from '../support/picker-protocol.ts'
import { demoModel, temporaryFolder } from '../support/repo.ts'
import { startServed } from '../support/served.ts'

t.test('answers are renamed and counted', async (t) => {
  const { url } = await startServed(t, { model: demoModel('base'), 'served-model-name': 'demo', adapters: demoModel('adapters') })
  const model = 'pirate'
  // What is said back in an answer is no name of a model, whatever it looks like.
  const user = '{"model":"pirate"} is no name'
  const input = [{ role: 'user', content: user }]
  const common = { model, temperature: 0 }
  const usage = { stream_options: { include_usage: true } }
  const bodies: [string, object, object][] = [
    ['/v1/completions', { ...common, prompt: user, max_tokens: 8, echo: true }, usage],
    ['/v1/chat/completions', { ...common, messages: input, max_tokens: 8 }, usage],
    // One that is cut short ends with another event, which the picker does not read.
    ['/v1/responses', { ...common, input, max_output_tokens: 200 }, {}],
  ]
  for (const [at, body, more] of bodies)
    for (const stream of [false, true]) {
      const sent = { ...body, stream, ...(stream && more) }
      const { status, headers, text } = await request(`${url}${at}`, { body: JSON.stringify(sent) })
      const what = `${at}${stream ? ', streamed' : ''}`
      t.equal(status, 200, what)
      const type = headers.get('content-type') ?? ''
      t.match(type, stream ? /^text\/event-stream/ : /^application\/json/)
      if (stream) for (const line of text.split('\n')) t.match(line, /^(data: .+|event: [\w.]+|)$/, what)
      const back = namedBack(text, model, 'assistant')
      const objects = stream
        ? back.split('\n').flatMap((line) => (/^data: \{/.test(line) ? [JSON.parse(line.slice('data: '.length))] : []))
        : [JSON.parse(back)]
      const names = objects.flatMap((one) => one.model ?? one.response?.model ?? [])
      t.ok(names.length > 0)
      t.same([...new Set(names)], ['assistant'], `${what}: the client's name everywhere`)
      t.notMatch(back, /"model": ?"pirate"/)
      if (at === '/v1/completions')
        t.match(objects.map((one) => one.choices[0]?.text ?? '').join(''), user, 'a text is left as it is')
      const seen = usageIn(text, type)
      const prompt = seen?.prompt_tokens ?? seen?.input_tokens ?? 0
      const output = seen?.completion_tokens ?? seen?.output_tokens ?? 0
      t.ok(prompt > 5 && output > 0 && output <= 200, `${what}: ${prompt} and ${output} tokens`)
      t.equal(seen?.total_tokens, prompt + output)
    }
})

t.test('the page names adapters that are there, and those that are waited for', async (t) => {
  const folder = temporaryFolder(t)
  const odd = 'it\'s "odd" \\ {a="b"} ünïcode'
  for (const [style, name] of [
    ['pirate', odd],
    ['robot', 'team-robot'],
    ['rhyme', 'rhyme'],
    ['spanish', 'spanish'],
  ])
    cpSync(demoModel('adapters', style), path.join(folder, name), { recursive: true })
  // Room for some of the four: 20 blocks.
  const served = await startServed(t, {
    model: demoModel('base'),
    adapters: folder,
    pool: '1280KiB',
    'max-adapter-bytes': '1MiB',
  })
  const { url, serving } = served
  const scraped = async () => scrapedFrom((await request(`${url}/metrics`)).text)
  const before = await scraped()
  t.same([before.active.size, before.awaited.size], [0, 0])
  t.equal(loraScore(before, odd), 0.8, 'there is room')
  const ask = (model: string) =>
    served.post('/v1/completions', { model, prompt: 'Once', max_tokens: 60, ignore_eos: true, temperature: 0 })
  t.equal((await ask(odd)).status, 200)
  await serving.engine.idle()
  const after = await scraped()
  t.same([...after.active], [odd])
  t.equal(loraScore(after, odd), 1)
  t.ok(after.mostAdapters >= 1)
  let over = false
  const load = inFlight(Array.from({ length: 60 }), 20, (_, i) => ask([odd, 'team-robot', 'rhyme', 'spanish'][i % 4])).finally(
    () => {
      over = true
    },
  )
  const awaited = new Set<string>()
  let busy = 0
  while (!over) {
    const page = await scraped()
    for (const name of page.awaited) awaited.add(name)
    busy = Math.max(busy, page.kvUse)
    if (page.kvUse < 0 || page.kvUse > 1) t.fail(`${page.kvUse} of the pool is in use`)
    for (const name of [...page.active, ...page.awaited])
      if (![odd, 'team-robot', 'rhyme', 'spanish'].includes(name)) t.fail(`nobody is called ${name}`)
  }
  for (const { status } of await load) t.equal(status, 200)
  t.ok(awaited.size > 0, `${[...awaited].join(', ')} were waited for`)
  t.ok(busy > 0.5)
  await serving.engine.idle()
  const rest = await scraped()
  t.same([rest.running, rest.waiting, rest.kvUse, rest.awaited.size], [0, 0, 0, 0])
})
