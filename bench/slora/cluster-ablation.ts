/** Adapter clustering, off and on. */
import { against } from '../report.ts'
import type { Result } from './core-load.ts'
import { type Ground, loadOf, resultTable } from './ground.ts'

/** `--adapter-cluster`; 0: off. */
const CLUSTERS = [0, 4, 8, 16, 32, 64]
const ALPHAS = [0.1, 0.3, 0.6, 1]
const AT_LEAST = 0.99

export async function clusterAblation(ground: Ground, adapters: number): Promise<void> {
  const rows: [string[], Result][] = []
  const worst: string[] = []
  for (const alpha of ALPHAS) {
    const load = loadOf(ground, { adapters, alpha })
    const results: Result[] = []
    for (const adapterCluster of CLUSTERS) results.push(await ground.machine.virtually(ground.cost, load, { adapterCluster }))
    for (const [i, cluster] of CLUSTERS.entries()) rows.push([[`${alpha}`, cluster === 0 ? 'off' : `${cluster}`], results[i]])
    const ratios = results.slice(1).map((one) => one.requestsPerS / results[0].requestsPerS)
    const least = Math.min(...ratios)
    const said = ratios.map((ratio) => ratio.toFixed(3)).join(', ')
    worst.push(
      against(
        `power ${alpha}: clusters of ${CLUSTERS.slice(1).join(', ')} complete × ${said} (≥ ${AT_LEAST})`,
        least >= AT_LEAST,
      ),
    )
  }
  console.log(resultTable(['power', 'cluster'], rows))
  for (const line of worst) console.log(line)
}
