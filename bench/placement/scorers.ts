/**
 * How replicas are scored, each from 0 to 1: the router's own scorers by what llm-d-router v0.9.0 computes (pkg/epp/framework/plugins/scheduling/scorer), in our words, and two that it does not have.
 */
import type { Told } from './replica.ts'

/** A replica as the router sees it when a request comes. */
export interface Endpoint {
  id: number
  /** As last scraped. */
  told: Told
  /** Requests that it was sent and has not ended: the router's own count, never stale. */
  inFlight: number
  /** Blocks of this prompt that the router thinks are there. */
  matched: number
  /** When it was last sent a request with nothing matched anywhere; 0: never. */
  coldAt: number
}

export interface Asking {
  adapter: number
  /** Blocks of the prompt as the router counts. */
  blocks: number
}

export type Scorer = (endpoints: readonly Endpoint[], asking: Asking) => number[]

/** Between the smallest and the largest of them; all 1 where they are alike. */
function byLeast(endpoints: readonly Endpoint[], of: (endpoint: Endpoint) => number): number[] {
  const values = endpoints.map(of)
  const [least, most] = [Math.min(...values), Math.max(...values)]
  return values.map((value) => (most === least ? 1 : (most - value) / (most - least)))
}

/** By what the router itself has in flight: an idle one 1, the busiest 0. */
const activeRequest: Scorer = (endpoints) => {
  const most = Math.max(...endpoints.map(({ inFlight }) => inFlight))
  return endpoints.map(({ inFlight }) => (inFlight === 0 ? 1 : (most - inFlight) / most))
}

/** There 1; room for one more 0.8; awaited 0.6; full 0. */
const loraAffinity: Scorer = (endpoints, { adapter }) =>
  endpoints.map(({ told: { active, awaited, maxLora } }) => {
    if (active.has(adapter)) return 1
    if (active.size + awaited.size < maxLora) return 0.8
    return awaited.has(adapter) ? 0.6 : 0
  })

/** Requests of which nothing is cached go where none such went for the longest; the others are all the same to it. */
const noHitLru: Scorer = (endpoints) => {
  if (endpoints.some(({ matched }) => matched > 0)) return endpoints.map(() => 0.5)
  if (endpoints.length === 1) return [1]
  const order = [...endpoints].sort((a, b) => a.coldAt - b.coldAt)
  const rank = new Map(order.map((endpoint, i) => [endpoint, i]))
  return endpoints.map((endpoint) => 1 - (rank.get(endpoint) as number) / (endpoints.length - 1))
}

/** Of rendezvous hashing: each adapter has an order of replicas of its own, which others' coming and going does not change. */
export function rendezvousWeight(adapter: number, endpoint: number): number {
  let x = Math.imul(adapter + 1, 0x9e3779b1) ^ Math.imul(endpoint + 1, 0x85ebca6b)
  x = Math.imul(x ^ (x >>> 16), 0x7feb352d)
  x = Math.imul(x ^ (x >>> 15), 0x846ca68b)
  return (x ^ (x >>> 16)) >>> 0
}

/** Not a scorer of the router: an adapter that is nowhere belongs to the first of its order. */
const rendezvousOfCold: Scorer = (endpoints, { adapter }) => {
  if (endpoints.some(({ told }) => told.active.has(adapter))) return endpoints.map(() => 0)
  const weights = endpoints.map(({ id }) => rendezvousWeight(adapter, id))
  const most = Math.max(...weights)
  return weights.map((weight) => (weight === most ? 1 : 0))
}

/** Nor is this: the first of an adapter's order that has no more than 1.25 times the mean in flight. */
const boundedRendezvous: Scorer = (endpoints, { adapter }) => {
  const bound = (1.25 * (1 + endpoints.reduce((sum, { inFlight }) => sum + inFlight, 0))) / endpoints.length
  const weights = endpoints.map(({ id, inFlight }) => (inFlight + 1 <= Math.ceil(bound) ? rendezvousWeight(adapter, id) + 1 : 0))
  const most = Math.max(...weights)
  return weights.map((weight) => (weight === most ? 1 : 0))
}

/** By the router's names, where it has them. */
export const SCORERS = {
  'queue-scorer': (endpoints) => byLeast(endpoints, ({ told }) => told.waiting),
  'running-requests-size-scorer': (endpoints) => byLeast(endpoints, ({ told }) => told.running),
  'kv-cache-utilization-scorer': (endpoints) => endpoints.map(({ told }) => 1 - told.usage),
  'active-request-scorer': activeRequest,
  'lora-affinity-scorer': loraAffinity,
  'prefix-cache-scorer': (endpoints, { blocks }) => endpoints.map(({ matched }) => matched / blocks),
  'no-hit-lru-scorer': noHitLru,
  'rendezvous of cold ones': rendezvousOfCold,
  'bounded rendezvous': boundedRendezvous,
} satisfies Record<string, Scorer>

export type ScorerName = keyof typeof SCORERS
