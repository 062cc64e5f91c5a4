/** What the dashboard and the alerts ask Prometheus for. */
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { parse } from 'yaml'
import { readJson, repoRoot } from '../support/repo.ts'

export const deploy = (...parts: string[]) => path.join(repoRoot(), 'deploy', ...parts)

interface Panel {
  id: number
  title: string
  gridPos: { x: number; y: number; w: number; h: number }
  datasource: { type: string; uid: string }
  targets: { expr: string }[]
}

export interface Query {
  where: string
  expr: string
}

export const panels = readJson<{ panels: Panel[] }>(deploy('grafana/dashboards/lorikeet.json')).panels
/** A YAML file of deploy/. */
export const deployed = (...parts: string[]) => parse(readFileSync(deploy(...parts), 'utf8'))

export function dashboardQueries(): Query[] {
  // Grafana's own variables stand for durations.
  return panels.flatMap(({ title, targets }) =>
    targets.map(({ expr }) => ({ where: `panel "${title}"`, expr: expr.replaceAll('$__rate_interval', '1m') })),
  )
}

export function alertQueries(): Query[] {
  const { groups } = deployed('prometheus/rules.yaml') as { groups: { rules: { alert: string; expr: string }[] }[] }
  return groups.flatMap(({ rules }) => rules.map(({ alert, expr }) => ({ where: `alert ${alert}`, expr })))
}
