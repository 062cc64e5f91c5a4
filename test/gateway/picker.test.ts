/**
 * Two servers behind a gateway's endpoint picker, without a cluster: it reads their metrics and KV events, routes by its scores, renames models, and loses one of them under load, killed and drained. Every request
 * ends with the answer that a server gives who has nothing else to do; what a client met on the way is something that it may retry.
 */
import t, { type Test } from 'tap'
import { type Running, serving } from '../server/cli/running.ts'
import { type Ending, type Endpoint, EndpointPicker, type Forwarded } from '../support/endpoint-picker.ts'
import { request } from '../support/http.ts'
import { inFlight, seeded } from '../support/pace.ts'
import { seriesOf, usageIn } from '../support/picker-protocol.ts'
import { freePorts } from '../support/ports.ts'
import { demoModel } from '../support/repo.ts'

const BASE = 'demo'
/** Of each storm. */
const REQUESTS = 48
const MODELS = [BASE, 'pirate', 'robot', 'shout']

interface Replica {
  url: string
  running: Running
  start(): Promise<void>
}

/** A process of its own, which listens where it did each time that it is started. */
async function replica(t: Test) {
  const [port, live, replay] = await freePorts(3)
  const config = {
    enable_kv_cache_events: true,
    endpoint: `tcp://*:${live}`,
    replay_endpoint: `tcp://*:${replay}`,
    topic: `kv@127.0.0.1:${port}@${BASE}`,
  }
  const args = [demoModel('base'), '--served-model-name', BASE, '--adapters', demoModel('adapters'), '--port', `${port}`]
  args.push('--log-level', 'error', '--enable-prompt-tokens-details', '--kv-events-config', JSON.stringify(config))
  const one: Replica = {
    url: `http://127.0.0.1:${port}`,
    running: await serving(t, args),
    async start() {
      this.running = await serving(t, args)
    },
  }
  const address = { url: one.url, kvEvents: `tcp://127.0.0.1:${live}`, kvReplay: `tcp://127.0.0.1:${replay}` }
  return { one, address }
}

const tokenize = async (url: string, prompt: string): Promise<number[]> =>
  (await request(`${url}/tokenize`, { body: JSON.stringify({ model: BASE, prompt }) })).json.tokens

/** What a client is told in the end: the text of a JSON answer, or that of a stream's chunks; undefined: it is not whole. */
function textOf({ body, contentType }: Pick<Forwarded, 'body' | 'contentType'>): string | undefined {
  if (!contentType.startsWith('text/event-stream')) return JSON.parse(body).choices[0].text
  const lines = body.split('\n').filter((line) => line !== '')
  if (lines.pop() !== 'data: [DONE]' || lines.some((line) => !line.startsWith('data: '))) return undefined
  const chunks = lines.map((line) => JSON.parse(line.slice('data: '.length)))
  if (!chunks.some(({ choices }) => choices[0]?.finish_reason === 'length')) return undefined
  return chunks.map(({ choices }) => choices[0]?.text ?? '').join('')
}

t.test('two servers behind an endpoint picker', async (t) => {
  const [a, b] = await Promise.all([replica(t), replica(t)])
  const random = seeded(15)
  const digests = new Map<string, string>()
  for (const id of MODELS)
    while (id !== BASE && !digests.has(id)) {
      // It is known once the adapter has been read.
      const { digest } = (await request(`${a.one.url}/v1/models/${id}`)).json as { digest: string | null }
      if (digest !== null) digests.set(id, digest)
    }
  const rules = {
    assistant: [
      { model: 'pirate', weight: 3 },
      { model: 'robot', weight: 1 },
    ],
  }
  const picker = new EndpointPicker([a.address, b.address], { rules, digests, random: random.next })
  t.teardown(() => picker.close())
  const replicaOf = ({ address }: Endpoint) => (address.url === a.one.url ? a.one : b.one)
  await picker.until(() => picker.endpoints.every(({ ready, scraped }) => ready && scraped), 'both are ready')

  const prompts = await Promise.all(
    ['the sea and the wind', 'a red ball in the rain', 'the clever old fox', 'bread, milk and honey'].map((theme, i) =>
      tokenize(a.one.url, `${i}. Once upon a time somebody told of ${theme}, and told it again. `.repeat(3 + (i % 2))),
    ),
  )
  const bodyOf = (model: string, i: number, max_tokens: number, stream: boolean) => ({
    model,
    prompt: prompts[i % prompts.length],
    max_tokens,
    ignore_eos: true,
    temperature: 0,
    stream,
    ...(stream && { stream_options: { include_usage: true } }),
  })
  /** What a server with nothing else to do says, for as many tokens as anybody asks for. */
  const said = new Map<string, Map<number, string>>()
  const expected = async (model: string, i: number, tokens: number): Promise<string> => {
    const key = `${model} ${i % prompts.length}`
    const known = said.get(key) ?? new Map<number, string>()
    said.set(key, known)
    const there = known.get(tokens)
    if (there !== undefined) return there
    const { json } = await request(`${a.one.url}/v1/completions`, { body: JSON.stringify(bodyOf(model, i, tokens, false)) })
    known.set(tokens, json.choices[0].text)
    return json.choices[0].text
  }

  await t.test('its page is as the picker reads it', async (t) => {
    const { headers, text } = await request(`${a.one.url}/metrics`)
    t.match(headers.get('content-type'), /^text\/plain; ?version=0\.0\.4/)
    const families = seriesOf(text)
    for (const name of [
      'num_requests_waiting',
      'num_requests_running',
      'kv_cache_usage_perc',
      'cache_config_info',
      'lora_requests_info',
    ])
      t.equal(families.get(`vllm:${name}`)?.length, 1, `${name}: one series, for of several it takes one`)
    const [lora] = families.get('vllm:lora_requests_info') ?? []
    t.same(Object.keys(lora.labels).sort(), ['max_lora', 'running_lora_adapters', 'waiting_lora_adapters'])
    t.ok(Math.abs(lora.value - Date.now() / 1000) < 60, 'its value is the time')
    t.match(picker.endpoints[0].scraped, { waiting: 0, running: 0, kvUse: 0, blockSize: 16, awaited: new Set() })
  })

  await t.test('adapters and beginnings of prompts draw requests to where they lie', async (t) => {
    const places = new Map<string, Endpoint>()
    for (const turn of [1, 2, 3])
      for (const [i, model] of MODELS.entries()) {
        const { attempts, status, foreseen, usage } = await picker.forward(bodyOf(model, i, 4, turn === 2))
        const [{ endpoint }] = attempts
        t.equal(status, 200)
        if (turn > 1) t.equal(endpoint, places.get(model), `${model} goes where it went before`)
        // One token at least is computed.
        const full = Math.floor((prompts[i].length - 1) / 16)
        t.equal(
          usage?.prompt_tokens_details?.cached_tokens ?? 0,
          16 * Math.min(foreseen, full),
          `${model}: what was foreseen lay there`,
        )
        if (turn > 1) t.ok(foreseen >= full && full > 0, `${foreseen} blocks`)
        places.set(model, endpoint)
        // The next choice is made with what this one changed.
        const hashes = picker.hashesOf(endpoint, model, prompts[i])
        await picker.until(
          () =>
            hashes.every((hash) => endpoint.cached.has(hash)) && (model === BASE || endpoint.scraped?.active.has(model) === true),
          `${model} is seen where it was sent`,
        )
      }
    for (const [model, endpoint] of places) {
      const [other] = picker.endpoints.filter((one) => one !== endpoint)
      t.ok(model === BASE || !other.scraped?.active.has(model), `${model} is in one place`)
    }
  })

  await t.test('a rule renames by weight, and the client sees its own name', async (t) => {
    const asked = await inFlight(Array.from({ length: 48 }), 6, (_, i) => picker.forward(bodyOf('assistant', i, 8, i % 2 === 0)))
    const counts = new Map<string, number>()
    for (const [i, { target, status, contentType, body, usage }] of asked.entries()) {
      t.equal(status, 200)
      counts.set(target, (counts.get(target) ?? 0) + 1)
      const names = [...body.matchAll(/"model": ?"([^"]*)"/g)].map(([, name]) => name)
      t.same([...new Set(names)], ['assistant'])
      t.ok(names.length >= (i % 2 === 0 ? 2 : 1))
      t.equal(contentType.split(';')[0], i % 2 === 0 ? 'text/event-stream' : 'application/json')
      const prompt_tokens = prompts[i % prompts.length].length
      t.match(usage, { prompt_tokens, completion_tokens: 8, total_tokens: prompt_tokens + 8 })
    }
    t.same([...counts.keys()].sort(), ['pirate', 'robot'])
    const pirates = counts.get('pirate') ?? 0
    t.ok(pirates > 20 && pirates < 48, `${pirates} of 48, of weights 3 and 1`)
  })

  /** One that is under way for long. */
  const longStream = (url: string) =>
    fetch(`${url}/v1/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(bodyOf('pirate', 0, 700, true)),
    })
  const told = (endings: Map<Ending, number>) => `attempts: ${[...endings].map(([ending, n]) => `${n} ${ending}`).join(', ')}`

  /** Sends requests of all kinds, ten at a time; `during` is called once some streams are under way at every moment. */
  const underLoad = async (t: Test, tokens: number, during: (busiest: () => Endpoint) => Promise<void>) => {
    const kinds = Array.from({ length: REQUESTS }, (_, i) => ({
      model: MODELS[i % 4],
      i: Math.floor(i / 4),
      stream: i % 3 !== 2,
    }))
    const different = kinds.filter(
      ({ model, i }, at) => at === kinds.findIndex((one) => one.model === model && one.i % 4 === i % 4),
    )
    await inFlight(different, 8, ({ model, i }) => expected(model, i, tokens))
    const busiest = () => [...picker.endpoints].sort((one, other) => other.streaming - one.streaming)[0]
    let ended = 0
    const all = inFlight(kinds, 10, async ({ model, i, stream }) => {
      const forwarded = await picker.forward(bodyOf(model, i, tokens, stream))
      ended++
      return { ...forwarded, text: await expected(model, i, tokens) }
    })
    await picker.until(() => ended >= 8 && busiest().streaming >= 2, 'streams are under way')
    const [answers] = await Promise.all([all, during(busiest)])
    const endings = new Map<Ending, number>()
    for (const { attempts, status, usage, text, ...answer } of answers) {
      for (const { ending, body, status } of attempts) {
        endings.set(ending, (endings.get(ending) ?? 0) + 1)
        if (ending !== 'cut') continue
        if (/\[DONE\]/.test(body) || status !== 200)
          t.fail(`what was cut looks whole, or is no answer: ${status} ${body.slice(-200)}`)
      }
      t.equal(status, 200)
      t.equal(textOf(answer), text, 'the answer that it would have had alone')
      t.equal(usage?.completion_tokens, tokens)
    }
    return endings
  }

  await t.test('one is killed under load', async (t) => {
    let killed: Endpoint | undefined
    const endings = await underLoad(t, 60, async (busiest) => {
      killed = busiest()
      const { running, url } = replicaOf(killed)
      const long = await longStream(url)
      running.child.kill('SIGKILL')
      await running.ended
      let text = ''
      const read = async () => {
        for await (const piece of long.body ?? []) text += Buffer.from(piece as Uint8Array).toString()
      }
      await t.rejects(read(), 'its client is told')
      t.equal(textOf({ body: text, contentType: 'text/event-stream' }), undefined, 'and could tell by what it has')
      t.notMatch(text, /\[DONE\]|"finish_reason":"/)
      await picker.until(() => killed?.ready === false, 'the picker sees it')
    })
    t.equal(endings.get('whole'), REQUESTS, told(endings))
    t.ok(endings.size > 1, 'some were asked again')

    await replicaOf(killed as Endpoint).start()
    await picker.until(() => killed?.ready === true, 'it is ready again')
    t.equal(killed?.cached.size, 0, 'nothing is believed of the one before it')
  })

  await t.test('one is drained under load', async (t) => {
    let drained: Endpoint | undefined
    const endings = await underLoad(t, 60, async (busiest) => {
      drained = busiest()
      drained.answers.length = 0
      const { running, url } = replicaOf(drained)
      const post = (body: object) => request(`${url}/v1/completions`, { body: JSON.stringify(body) })
      const long = await longStream(url)
      running.child.kill('SIGTERM')
      await picker.until(() => drained?.ready === false, 'the picker sees it')
      const refused = await post(bodyOf(BASE, 0, 4, false)).catch(() => undefined)
      if (refused) {
        t.match(refused.json, { error: { code: 'server_draining' } })
        t.same([refused.status, refused.headers.get('retry-after')], [503, '1'])
        t.equal(refused.headers.get('connection'), 'close', 'who asks again is led elsewhere')
      }
      const [text, { code }] = await Promise.all([long.text(), running.ended])
      t.equal(code, 0)
      t.match(textOf({ body: text, contentType: 'text/event-stream' }), /./, 'what is in flight is finished')
      t.equal(usageIn(text, 'text/event-stream')?.completion_tokens, 700)
    })
    t.equal(endings.get('cut'), undefined, told(endings))
    t.equal(endings.get('whole'), REQUESTS)
    await picker.until(() => drained?.answers.at(-1) === 0, 'nothing listens there any more')
    t.match(drained?.answers.join(' '), /^(200 )?503 0/, '/ready says that it goes before nothing listens')
    const left = await picker.forward(bodyOf(BASE, 0, 4, false))
    t.same(
      left.attempts.map(({ ending, endpoint }) => [ending, endpoint === drained]),
      [['whole', false]],
      'what comes now goes to the other one at once',
    )
  })

  await t.test('after all that the picker believes of the other one what is', async (t) => {
    const [{ address, events }] = picker.endpoints.filter(({ ready }) => ready)
    const { sequence, block_hashes } = (await request(`${address.url}/kv_events/blocks`)).json
    await events?.upTo(sequence)
    t.ok(block_hashes.length > 0)
    t.same(events?.believed.differences(block_hashes), [], `${block_hashes.length} blocks`)
    t.same(events?.believed.faults, [])
  })
})
