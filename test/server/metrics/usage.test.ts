/** What /metrics tells of each tenant and adapter, of how requests end, and of why adapters come and go. */
import { setTimeout } from 'node:timers/promises'
import t from 'tap'
import { Usage } from '../../../server/metrics/usage.ts'
import { RequestRecord } from '../../../server/records/record.ts'
import { request } from '../../support/http.ts'
import { startServed } from '../../support/served.ts'

/** A request that is over. */
function ended(tenant: string | undefined, names: string[], tokens = 0): RequestRecord {
  const record = new RequestRecord({ id: 'x', method: 'POST', route: '/x', headers: {} }, { prompt: 0, output: 0 })
  const uses = names.map((name) => ({ name, digest: 'ab', weight: 1 }))
  record.take({ kind: 'chat', model: 'm', base: 'b', uses, tenant })
  const times = { submittedAt: 1000, scheduledAt: 1500, deviceMs: 250 }
  record.work = { counts: { promptTokens: tokens, completionTokens: 2, cachedTokens: 1 }, times, finishes: ['stop'] }
  record.end()
  return record
}

/** By metric and labels. */
const series = (page: string) =>
  new Map(
    [...page.matchAll(/^lorikeet_tenant_(\w+)_total\{engine="0",(.*)\} (\S+)$/gm)].map(([, name, labels, value]) => [
      `${name} ${labels}`,
      Number(value),
    ]),
  )

t.test('a pair is what a tenant has of an adapter; mixes are one, whatever their order', async (t) => {
  const usage = new Usage({ engine: '0' }, 10)
  usage.note(ended('acme', ['a'], 5))
  usage.note(ended('acme', ['a'], 6))
  usage.note(ended('acme', ['b', 'a'], 1))
  usage.note(ended('acme', ['a', 'b'], 1))
  usage.note(ended(undefined, [], 9))
  const all = series(usage.render())
  const of = (name: string, tenant: string, adapter: string) => all.get(`${name} tenant="${tenant}",adapter="${adapter}"`)
  t.equal(of('prompt_tokens', 'acme', 'a'), 11)
  t.equal(of('prompt_tokens', 'acme', 'a,b'), 2)
  t.equal(of('prompt_tokens', '', ''), 9)
  t.equal(of('cached_tokens', 'acme', 'a'), 2)
  t.equal(of('generation_tokens', 'acme', 'a'), 4)
  t.equal(of('queue_seconds', 'acme', 'a'), 1)
  t.equal(of('device_seconds', 'acme', 'a'), 0.5)
  t.equal(all.get('requests tenant="acme",adapter="a",outcome="done"'), 2)
})

t.test('of more pairs than may be named the one used longest ago is counted among others, and no count is lost', async (t) => {
  const usage = new Usage({ engine: '0' }, 3)
  for (const name of ['a', 'b', 'c', 'a', 'd', 'e']) usage.note(ended('t', [name], 10))
  const all = series(usage.render())
  const prompts = [...all].filter(([key]) => key.startsWith('prompt_tokens'))
  t.same(
    prompts.map(([key, value]) => [/adapter="(.*)"/.exec(key)?.[1], value]),
    [
      ['a', 20],
      ['d', 10],
      ['e', 10],
      ['other', 20],
    ],
  )
  for (let i = 0; i < 1000; i++) usage.note(ended(`tenant ${i}`, ['a'], 1))
  const later = series(usage.render())
  t.equal(later.size, (3 + 1) * 9, 'it is bounded')
  const sum = [...later].filter(([key]) => key.startsWith('prompt_tokens')).reduce((total, [, value]) => total + value, 0)
  t.equal(sum, 1060)
})

t.test('names are quoted as the text format has it', async (t) => {
  const usage = new Usage({ engine: '0' }, 3)
  usage.note(ended('a"b\\c\nd', []))
  t.match(usage.render(), 'tenant="a\\"b\\\\c\\nd",adapter=""')
})

t.test('a server counts by tenant and adapter, for who may see names; by outcome and reason, for all', async (t) => {
  const { url, serving } = await startServed(t, {
    'api-key': ['acme=one', 'other=two'],
    'metrics-key': 'page',
    'log-level': 'silent',
  })
  const page = async () => (await request(`${url}/metrics`, { headers: { authorization: 'Bearer page' } })).text
  const value = async (name: string, ...labels: string[]) => {
    const lines = (await page())
      .split('\n')
      .filter((line) => line.startsWith(`${name}{`) && labels.every((label) => line.includes(label)))
    return lines.reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0)
  }
  const ask = (key: string, body: object) =>
    request(`${url}/v1/completions`, { body: JSON.stringify(body), headers: { authorization: `Bearer ${key}` } })
  const body = { model: 'pirate', prompt: 'Once upon a time', max_tokens: 8, ignore_eos: true }
  const { json } = await ask('one', body)
  await ask('one', body)
  await ask('two', { ...body, model: undefined })
  await ask('two', { ...body, model: 'nobody' })
  await ask('three', body)
  await serving.engine.idle()
  await setTimeout(50)
  t.equal(await value('lorikeet_tenant_prompt_tokens_total', 'tenant="acme"', 'adapter="pirate"'), 2 * json.usage.prompt_tokens)
  t.equal(await value('lorikeet_tenant_generation_tokens_total', 'tenant="acme"'), 16)
  t.equal(await value('lorikeet_tenant_requests_total', 'tenant="other"', 'adapter=""', 'outcome="done"'), 1)
  t.equal(await value('lorikeet_requests_total', 'outcome="done"'), 3)
  t.equal(await value('lorikeet_requests_total', 'outcome="refused"', 'code="model_not_found"'), 1)
  t.equal(await value('lorikeet_requests_total', 'outcome="refused"', 'code="invalid_api_key"'), 1)
  const device = await value('lorikeet_device_seconds_total')
  const shared = await value('lorikeet_tenant_device_seconds_total')
  t.ok(shared > 0 && Math.abs(device - shared) < 0.01 * device + 1e-6, `all was computed for somebody: ${shared} of ${device} s`)
  t.equal(await value('lorikeet_adapter_loads_total'), 1)
  t.equal(await value('lorikeet_ready'), 1)
  serving.readiness.drain()
  t.equal(await value('lorikeet_ready'), 0)
})
