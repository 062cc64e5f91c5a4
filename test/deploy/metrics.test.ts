/** The dashboard and the alerts ask only for what the server's /metrics has: names, and the labels that they group by or match. */
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { parser } from '@prometheus-io/lezer-promql'
import t from 'tap'
import { parse } from 'yaml'
import { buildApp } from '../../server/app.ts'
import { ServerMetrics } from '../../server/metrics/metrics.ts'
import { utilityServing } from '../server/routes/serving.ts'
import { notLoaded, testRegistry } from '../support/registry.ts'
import { readJson, repoRoot } from '../support/repo.ts'

const deploy = (...parts: string[]) => path.join(repoRoot(), 'deploy', ...parts)

interface Panel {
  id: number
  title: string
  gridPos: { x: number; y: number; w: number; h: number }
  datasource: { type: string; uid: string }
  targets: { expr: string }[]
}

interface Query {
  where: string
  expr: string
}

const panels = readJson<{ panels: Panel[] }>(deploy('grafana/dashboards/lorikeet.json')).panels
const yaml = (...parts: string[]) => parse(readFileSync(deploy(...parts), 'utf8'))

function dashboardQueries(): Query[] {
  // Grafana's own variables stand for durations.
  return panels.flatMap(({ title, targets }) =>
    targets.map(({ expr }) => ({ where: `panel "${title}"`, expr: expr.replaceAll('$__rate_interval', '1m') })),
  )
}

function alertQueries(): Query[] {
  const { groups } = yaml('prometheus/rules.yaml') as { groups: { rules: { alert: string; expr: string }[] }[] }
  return groups.flatMap(({ rules }) => rules.map(({ alert, expr }) => ({ where: `alert ${alert}`, expr })))
}

/** Metrics, and labels that are grouped by or matched, of a PromQL expression. Throws when it is none. */
function asked(expr: string): { metrics: string[]; labels: string[] } {
  const metrics: string[] = []
  const labels: string[] = []
  parser.parse(expr).iterate({
    enter({ name, type, from, to }) {
      if (type.isError) throw new SyntaxError(`not PromQL at ${from}: ${expr}`)
      const text = expr.slice(from, to)
      if (name === 'Identifier') metrics.push(text)
      if (name === 'LabelName') labels.push(text)
    },
  })
  return { metrics, labels }
}

/** Each sample name of the page with the labels that it has. What Prometheus itself adds is there too. */
async function served(): Promise<Map<string, Set<string>>> {
  const { engine } = utilityServing()
  const metrics = new ServerMetrics(engine, 'demo', testRegistry(notLoaded))
  // A histogram has no samples before its first observation.
  metrics.stepped({ tokens: 4, sequences: 1, scheduleMs: 1, runMs: 2, sampleMs: 3 })
  metrics.firstToken(0.1)
  metrics.interToken(0.1)
  const counts = { promptTokens: 7, generationTokens: 5, maxTokens: 16 }
  metrics.finished({
    finishReason: 'stop',
    ...counts,
    e2e: 1,
    queue: 1,
    prefill: 1,
    decode: 1,
    inference: 1,
    timePerOutputToken: 1,
  })
  const app = await buildApp(utilityServing({ engine, metrics }))
  const { body } = await app.inject('/metrics')
  await app.close()
  const found = new Map([['up', new Set(['job', 'instance'])]])
  for (const [, name, labels] of body.matchAll(/^([a-zA-Z0-9_:]+)(?:\{(.*)\})? \S+$/gm)) {
    const known = found.get(name) ?? new Set(['job', 'instance'])
    for (const [, label] of (labels ?? '').matchAll(/(\w+)="/g)) known.add(label)
    found.set(name, known)
  }
  return found
}

t.test('every metric and label of the dashboard and the alerts is served', async (t) => {
  const names = await served()
  const queries = [...dashboardQueries(), ...alertQueries()]
  t.ok(queries.length > 20)
  for (const { where, expr } of queries) {
    const { metrics, labels } = asked(expr)
    t.ok(metrics.length > 0, `${where} asks for a metric`)
    for (const metric of metrics) t.ok(names.has(metric), `${where}: ${metric}`)
    for (const label of labels)
      t.ok(
        metrics.every((metric) => names.get(metric)?.has(label)),
        `${where}: label ${label}`,
      )
  }
})

t.test('what would be missed is seen', async (t) => {
  t.same(asked('sum by (state) (rate(vllm:gone_total{engine="0"}[1m])) / other'), {
    metrics: ['vllm:gone_total', 'other'],
    labels: ['state', 'engine'],
  })
  t.throws(() => asked('sum(rate(a[1m])'), /not PromQL/)
})

t.test('the dashboard reads the provisioned source and its panels do not overlap', async (t) => {
  const [source] = yaml('grafana/provisioning/datasources/prometheus.yaml').datasources
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
