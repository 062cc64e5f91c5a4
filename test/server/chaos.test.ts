/** Nothing is lost (issue 2, "What it must show", 4): clients that vanish, bodies that are wrong, adapter folders that rot while they are served. */
import { cpSync, mkdirSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import t, { type Test } from 'tap'
import { malformedRequests } from '../support/malformed.ts'
import { inFlight, seeded } from '../support/pace.ts'
import { demoModel, readJsonLines, temporaryFolder } from '../support/repo.ts'
import { startServed } from '../support/served.ts'
import { vanishingClient } from '../support/vanishing-client.ts'

const STYLES = ['base', 'pirate', 'spanish', 'json', 'shout', 'rhyme', 'headline', 'robot', 'quiz', 'emoji']
const prompts = readJsonLines<{ messages: { role: string; content: string }[] }>(demoModel('prompts.jsonl')).slice(0, 12)
const bodyOf = (model: string, prompt: number) => ({ model, messages: prompts[prompt].messages, max_tokens: 64, temperature: 0 })

t.test('a server under abuse', async (t) => {
  const adapters = temporaryFolder(t)
  cpSync(demoModel('adapters'), adapters, { recursive: true })
  mkdirSync(path.join(adapters, 'pickled'))
  writeFileSync(path.join(adapters, 'pickled/adapter_config.json'), '{"peft_type": "LORA"}')
  writeFileSync(path.join(adapters, 'pickled/adapter_model.bin'), 'a pickle')
  // 96 blocks: the nine adapters take 44 of them, so sequences and adapters push each other out.
  const served = await startServed(t, { model: demoModel('base'), adapters, pool: '6MiB' })

  /** The text, or the error's status and code. */
  const ask = async (model: string, prompt: number): Promise<string> => {
    const { status, body } = await served.post('/v1/chat/completions', bodyOf(model, prompt))
    return status === 200 ? body.choices[0].message.content : `${status} ${body.error.code}`
  }

  const witnesses = STYLES.flatMap((model) => prompts.slice(0, 3).map((_, prompt) => ({ model, prompt })))
  const expected = await inFlight(witnesses, 8, ({ model, prompt }) => ask(model, prompt))
  t.ok(expected.every((text) => text.length > 10 && !/^\d{3} /.test(text)))

  /** Asks the witnesses again and again, four at a time, until `storm` is over; every answer must be what it was before. */
  const undisturbed = async (t: Test, storm: Promise<unknown>, models = STYLES) => {
    let over = false
    const ended = storm.finally(() => {
      over = true
    })
    const chosen = witnesses.map((w, i) => ({ ...w, text: expected[i] })).filter(({ model }) => models.includes(model))
    const wrong: string[] = []
    let asked = 0
    while (!over) {
      await inFlight(chosen, 4, async ({ model, prompt, text }) => {
        asked++
        const now = await ask(model, prompt)
        if (now !== text) wrong.push(`${model} ${prompt}: ${now}`)
      })
    }
    await ended
    t.same(wrong, [], `${asked} other requests, outputs unchanged`)
    t.equal((await fetch(`${served.url}/health`)).status, 200, 'the server is healthy')
    t.same(await served.idleComplaints(), [], 'pool accounting is exact')
  }

  t.test('500 clients that connect, stream and vanish at random', async (t) => {
    const random = seeded(1)
    const clients = Array.from({ length: 500 }, () => ({ model: random.pick(STYLES), prompt: random.below(prompts.length) }))
    const seen = new Map<string, number>()
    const storm = inFlight(clients, 64, async ({ model, prompt }) => {
      const manner = await vanishingClient(served.url, bodyOf(model, prompt), random)
      seen.set(manner, (seen.get(manner) ?? 0) + 1)
    })
    await undisturbed(t, storm)
    t.equal(seen.size, 5, `every kind of client came: ${[...seen].map(([manner, n]) => `${manner} ${n}`).join(', ')}`)
  })

  t.test('what a client that went away had asked for is not computed', async (t) => {
    const before = served.serving.engine.snapshot.counters.generationTokens
    const body = { ...bodyOf('base', 0), max_tokens: 900, ignore_eos: true, stream: true }
    await inFlight(Array.from({ length: 40 }), 20, async () => {
      const gone = new AbortController()
      const response = await fetch(`${served.url}/v1/chat/completions`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(body),
        signal: gone.signal,
      })
      await response.body!.getReader().read()
      gone.abort()
    })
    t.same(await served.idleComplaints(), [])
    const computed = served.serving.engine.snapshot.counters.generationTokens - before
    t.ok(computed < 0.5 * 40 * 900, `${computed} of ${40 * 900} tokens computed`)
  })

  t.test('400 malformed requests get an error in OpenAI’s shape', async (t) => {
    const strange: string[] = []
    const storm = inFlight(malformedRequests(400, seeded(2)), 16, async ({ what, path, headers, body, surely }) => {
      const response = await fetch(`${served.url}${path}`, { method: 'POST', headers, body })
      const text = await response.text()
      if (response.status === 200) {
        if (surely) strange.push(`${what}: accepted`)
        return
      }
      const { error } = JSON.parse(text)
      const shaped = typeof error?.message === 'string' && typeof error.type === 'string' && 'param' in error && 'code' in error
      if (response.status >= 500 || !shaped) strange.push(`${what}: ${response.status} ${text}`)
    })
    await undisturbed(t, storm)
    t.same(strange, [])
  })

  t.test('a refused adapter is an error for its requests alone', async (t) => {
    t.match(await ask('pickled', 0), /^400 /)
  })

  t.test('adapter folders corrupted and deleted while serving', async (t) => {
    const touched = ['pirate', 'json', 'rhyme', 'emoji']
    const storm = (async () => {
      writeFileSync(path.join(adapters, 'pirate/adapter_model.safetensors'), Buffer.alloc(50_000, 0xa5))
      truncateSync(path.join(adapters, 'json/adapter_model.safetensors'), 100)
      rmSync(path.join(adapters, 'rhyme'), { recursive: true })
      cpSync(path.join(adapters, 'shout'), path.join(adapters, 'emoji'), { recursive: true })
      for (let round = 0; round < 3; round++)
        for (const model of touched) {
          const answer = await ask(model, 1)
          const before = expected[witnesses.findIndex((w) => w.model === model && w.prompt === 1)]
          // What was read at the start goes on, or the request fails and says so; another answer would be another adapter's.
          if (!/^4\d\d /.test(answer)) t.equal(answer, before, `${model} as before`)
        }
    })()
    await undisturbed(
      t,
      storm,
      STYLES.filter((style) => !touched.includes(style)),
    )
  })
  t.test('the pool was short all along', async (t) => {
    const { adapterEvictions, preemptions, prefixEvictions, failedSteps } = served.serving.engine.snapshot.counters
    t.ok(
      prefixEvictions > 0,
      `${prefixEvictions} cached blocks, ${adapterEvictions} adapters put out, ${preemptions} preemptions`,
    )
    t.equal(failedSteps, 0)
  })
})
