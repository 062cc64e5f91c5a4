/** The gateway's endpoint picker: weighted sums of scores, the highest wins, equals by lot. */
import { seeded } from '../../test/support/pace.ts'
import { blocksOf, PrefixIndex } from './prefix-index.ts'
import type { Replica } from './replica.ts'
import { type Asking, type Endpoint, SCORERS, type ScorerName } from './scorers.ts'
import type { Request } from './workload.ts'

/** `weights`: of scorers. Without any: by lot, or in turn. */
export interface Policy {
  name: string
  weights: Partial<Record<ScorerName, number>>
  inTurn?: boolean
  /** What if replicas told of host memory's adapters too. */
  tellsHost?: boolean
}

/** What the router knows of a replica by itself. */
interface Known {
  replica: Replica
  index: PrefixIndex
  inFlight: number
  coldAt: number
}

export class Router {
  private readonly policy: Policy
  private readonly known: Known[]
  private readonly next: () => number
  private turn = 0
  private sent = 0

  constructor(policy: Policy, replicas: readonly Replica[], blocks: number, seed: number) {
    this.policy = policy
    this.known = replicas.map((replica) => ({ replica, index: new PrefixIndex(blocks), inFlight: 0, coldAt: 0 }))
    this.next = seeded(seed).next
  }

  route(request: Request, now: number): Replica {
    const endpoints = this.known.map(({ replica, index, inFlight, coldAt }): Endpoint => {
      // In the index and in the prompt: blocks that both have from the beginning.
      const matched = Math.min(index.matched(request.adapter), blocksOf(request.prompt))
      return { id: replica.id, told: replica.metrics(now), inFlight, matched, coldAt }
    })
    const chosen = this.known[this.pick(endpoints, { adapter: request.adapter, blocks: blocksOf(request.prompt) })]
    this.sent++
    if (!endpoints.some(({ matched }) => matched > 0)) chosen.coldAt = this.sent
    chosen.index.add(request.adapter, request.prompt, request.shared)
    chosen.inFlight++
    return chosen.replica
  }

  /** A request has ended there. */
  ended(replica: Replica): void {
    const known = this.known.find((one) => one.replica === replica)
    if (known) known.inFlight--
  }

  /** The replica is gone. */
  drop(replica: Replica): void {
    this.known.splice(
      this.known.findIndex((one) => one.replica === replica),
      1,
    )
  }

  private pick(endpoints: readonly Endpoint[], asking: Asking): number {
    const { weights, inTurn } = this.policy
    if (inTurn) return this.turn++ % endpoints.length
    return highest(scored(endpoints, asking, weights), this.next)
  }
}

/** The weighted sum of each endpoint's scores. */
export function scored(endpoints: readonly Endpoint[], asking: Asking, weights: Policy['weights']): number[] {
  const sums = endpoints.map(() => 0)
  for (const [name, weight] of Object.entries(weights)) {
    const scores = SCORERS[name as ScorerName](endpoints, asking)
    for (let i = 0; i < sums.length; i++) sums[i] += scores[i] * weight
  }
  return sums
}

/** The place of the highest; of equals any, each as likely as the others. */
export function highest(sums: readonly number[], random: () => number): number {
  const most = Math.max(...sums)
  const best = sums.flatMap((sum, i) => (sum === most ? [i] : []))
  return best[Math.floor(random() * best.length)]
}
