/** The configurations that are compared. */
import { scoring } from '../../deploy/kubernetes/source/picker.ts'
import type { Policy } from './router.ts'
import type { ScorerName } from './scorers.ts'

/** What the manifests ship. */
const shipped = Object.fromEntries(
  scoring.schedulingProfiles[0].plugins.map(({ pluginRef, weight }) => [pluginRef, weight]),
) as Partial<Record<ScorerName, number>>

const load = { 'queue-scorer': 2, 'kv-cache-utilization-scorer': 2 } as const

/** Those of which the router has all the parts, and then those that only show what would be possible. */
export const POLICIES: Policy[] = [
  { name: 'random', weights: {} },
  { name: 'round robin', weights: {}, inTurn: true },
  { name: 'affinity alone', weights: { 'lora-affinity-scorer': 1 } },
  { name: 'prefix and affinity', weights: { 'lora-affinity-scorer': 3, 'prefix-cache-scorer': 3 } },
  { name: "router's default", weights: { ...load, 'prefix-cache-scorer': 3 } },
  { name: 'affinity 3, prefix 3', weights: { ...load, 'lora-affinity-scorer': 3, 'prefix-cache-scorer': 3 } },
  { name: 'shipped', weights: shipped },
]

export const BEYOND: Policy[] = [
  { name: 'shipped, host told', weights: shipped, tellsHost: true },
  { name: 'rendezvous of cold', weights: { ...shipped, 'rendezvous of cold ones': 4 } },
  { name: 'rendezvous, bounded', weights: { 'bounded rendezvous': 1 } },
]
