/** The dashboard and the alerts ask only for what the server's /metrics has: names, and the labels that they group by or match. */
import { setTimeout } from 'node:timers/promises'
import { parser } from '@prometheus-io/lezer-promql'
import t, { type Test } from 'tap'
import { startServed } from '../support/served.ts'
import { alertQueries, dashboardQueries, deployed, panels } from './queries.ts'

/** Metrics of a PromQL expression, labels that it groups by, and those that it matches of a metric. Throws when it is none. */
function asked(expr: string): { metrics: string[]; labels: string[]; matched: [metric: string, label: string][] } {
  const metrics: string[] = []
  const labels: string[] = []
  const matched: [string, string][] = []
  parser.parse(expr).iterate({
    enter({ name, type, from, to, node }) {
      if (type.isError) throw new SyntaxError(`not PromQL at ${from}: ${expr}`)
      const text = expr.slice(from, to)
      if (name === 'Identifier') metrics.push(text)
      if (name !== 'LabelName') return
      let around = node.parent
      while (around && around.name !== 'VectorSelector') around = around.parent
      // Its own metric stands before it.
      if (around) matched.push([metrics.at(-1) as string, text])
      else labels.push(text)
    },
  })
  return { metrics, labels, matched }
}

/** Each sample name that a server's page has, once it has served, with the labels that it has. What Prometheus itself adds is there too. */
async function served(t: Test): Promise<Map<string, Set<string>>> {
  const { url, post, serving } = await startServed(t, { 'rate-limit': 3, 'log-level': 'silent' })
  const body = { model: 'pirate', prompt: 'Once upon a time', max_tokens: 4, ignore_eos: true }
  for (const status of [200, 200, 200, 429]) t.equal((await post('/v1/completions', body)).status, status)
  await serving.engine.idle()
  // The record of a request is told after its answer.
  await setTimeout(50)
  const page = await (await fetch(`${url}/metrics`)).text()
  const found = new Map([['up', new Set(['job', 'instance'])]])
  for (const [, name, labels] of page.matchAll(/^([a-zA-Z0-9_:]+)(?:\{(.*)\})? \S+$/gm)) {
    const known = found.get(name) ?? new Set(['job', 'instance'])
    for (const [, label] of (labels ?? '').matchAll(/(\w+)="/g)) known.add(label)
    found.set(name, known)
  }
  return found
}

t.test('every metric and label of the dashboard and the alerts is served', async (t) => {
  const names = await served(t)
  const queries = [...dashboardQueries(), ...alertQueries()]
  t.ok(queries.length > 20)
  for (const { where, expr } of queries) {
    const { metrics, labels, matched } = asked(expr)
    t.ok(metrics.length > 0, `${where} asks for a metric`)
    for (const metric of metrics) t.ok(names.has(metric), `${where}: ${metric}`)
    for (const label of labels)
      t.ok(
        metrics.every((metric) => names.get(metric)?.has(label)),
        `${where}: label ${label}`,
      )
    for (const [metric, label] of matched) t.ok(names.get(metric)?.has(label), `${where}: ${metric}{${label}}`)
  }
})

t.test('what would be missed is seen', async (t) => {
  t.same(asked('sum by (state) (rate(vllm:gone_total{engine="0"}[1m])) / other'), {
    metrics: ['vllm:gone_total', 'other'],
    labels: ['state'],
    matched: [['vllm:gone_total', 'engine']],
  })
  t.throws(() => asked('sum(rate(a[1m])'), /not PromQL/)
})

t.test('the dashboard reads the provisioned source and its panels do not overlap', async (t) => {
  const [source] = deployed('grafana/provisioning/datasources/prometheus.yaml').datasources
  for (const { datasource, title } of panels) t.same(datasource, { type: source.type, uid: source.uid }, title)
  t.equal(new Set(panels.map(({ id }) => id)).size, panels.length, 'ids are unique')
  const taken = new Set<string>()
  for (const { title, gridPos } of panels)
    for (let x = gridPos.x; x < gridPos.x + gridPos.w; x++)
      for (let y = gridPos.y; y < gridPos.y + gridPos.h; y++) {
        if (taken.has(`${x},${y}`) || x > 23) t.fail(`${title} overlaps another panel or the edge at ${x},${y}`)
        taken.add(`${x},${y}`)
      }
})
