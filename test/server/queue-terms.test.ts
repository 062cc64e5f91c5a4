/** Fair service and times for first tokens over HTTP. */
import t from 'tap'
import { KeyHolder } from '../../server/access/caller.ts'
import { parseKey } from '../../server/access/key.ts'
import { type QueueSettings, queueTerms } from '../../server/queue-terms.ts'
import { demoModel } from '../support/repo.ts'
import { startServed } from '../support/served.ts'

t.test('whom service is counted for, and by when a first token is wanted', async (t) => {
  const caller = new KeyHolder(parseKey('acme=sk-1'))
  const adapters = [
    { name: 'a', digest: '1', weight: 1 },
    { name: 'b', digest: '2', weight: 1 },
  ]
  const of = (settings: QueueSettings, headers: Record<string, string> = {}) =>
    queueTerms(settings, { headers, caller }, adapters)
  t.same(of({ scheduling: 'fcfs' }), {})
  t.same(of({ scheduling: 'fair', fairness: 'tenant' }), { flow: 'acme' })
  t.same(of({ scheduling: 'fair', fairness: 'adapter' }), { flow: 'a, b' })
  adapters.reverse()
  t.same(of({ scheduling: 'fair', fairness: 'adapter' }), { flow: 'a, b' }, 'in whatever order they are named')
  const gateway: QueueSettings = { scheduling: 'fair', fairness: 'tenant', tenantHeader: 'X-Tenant' }
  t.same(of(gateway, { 'x-tenant': 'other' }), { flow: 'other' })
  t.same(of(gateway), { flow: 'acme' })
  t.equal(of(gateway, { 'x-tenant': 'x'.repeat(5000) }).flow?.length, 256)
  t.same(of({ scheduling: 'fair', fairness: 'tenant' }, { 'x-tenant': 'other' }), { flow: 'acme' }, 'nobody trusts it')
  t.same(of({ ttftTarget: 2 }), { firstTokenMs: 2000 })
  t.same(of({ ttftTarget: 2 }, { 'x-ttft-target': '0.25' }), { firstTokenMs: 250 })
  for (const wrong of ['0', '-1', 'soon', '1e9', '', '9999', '1, 2'])
    t.throws(() => of({}, { 'x-ttft-target': wrong }), { code: 'invalid_request', param: 'x-ttft-target' }, wrong)
})

t.test('what cannot have its first token in time is told by the status, whether it streams or not', async (t) => {
  const served = await startServed(t, {
    model: demoModel('base'),
    adapters: demoModel('adapters'),
    'max-sequences': 2,
    scheduling: 'fair',
    'tenant-header': 'x-tenant',
  })
  const ask = (tenant: string, maxTokens: number, more: object = {}, headers: Record<string, string> = {}) =>
    fetch(`${served.url}/v1/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'x-tenant': tenant, ...headers },
      body: JSON.stringify({ model: 'pirate', prompt: 'Once', max_tokens: maxTokens, ignore_eos: true, ...more }),
    })
  const flood = Array.from({ length: 12 }, () => ask('flood', 600))
  while (served.serving.engine.snapshot.waiting < 8) await new Promise((resolve) => setTimeout(resolve, 5))
  for (const stream of [false, true]) {
    const late = await ask('flood', 4, { stream }, { 'x-ttft-target': '0.02' })
    t.equal(late.status, 429)
    t.ok(Number(late.headers.get('retry-after')) >= 1)
    const { error } = (await late.json()) as { error: object }
    t.match(error, {
      code: 'too_many_requests',
      type: 'rate_limit_error',
      message: /first token could be expected .* wanted within 0\.02 s/,
    })
  }
  const started = performance.now()
  const quiet = await ask('quiet', 4, { stream: true }, { 'x-ttft-target': '30' })
  t.equal(quiet.status, 200)
  t.match(await quiet.text(), /data: \[DONE\]\n\n$/)
  const waited = performance.now() - started
  const { waiting } = served.serving.engine.snapshot
  t.ok(waiting > 0, `it went before ${waiting} of the flood, after ${Math.round(waited)} ms`)
  for (const one of flood) t.equal((await one).status, 200)
  // The first of six choices is admitted at once, and four wait for longer than the target.
  const several = await ask('x', 150, { stream: true, n: 6 }, { 'x-ttft-target': '0.02' })
  t.equal(several.status, 200)
  const events = await several.text()
  t.notMatch(events, /"error"/, 'whoever has begun to be answered is not refused for a choice that waits')
  t.equal(events.match(/"finish_reason":"length"/g)?.length, 6)
  t.same(await served.idleComplaints(), [])
  t.equal((await ask('x', 1, {}, { 'x-ttft-target': 'soon' })).status, 400)
})
