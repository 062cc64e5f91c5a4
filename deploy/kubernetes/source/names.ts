/** What more than one object calls by name. */

/** The Deployment, its Service, its pool and what belongs to them, and the namespace. A second base model is a second overlay in a namespace of its own. */
export const NAME = 'lorikeet'
export const PICKER = 'lorikeet-picker'
export const PORT = 8080

/** Kustomize puts the registry and the tag there (`images:`). Built by deploy/docker. */
export const IMAGE = 'lorikeet'
export const VERSION = '0.1.0'

export const SERVER_LABELS = { 'app.kubernetes.io/name': NAME, 'app.kubernetes.io/component': 'server' }
export const PICKER_LABELS = { 'app.kubernetes.io/name': NAME, 'app.kubernetes.io/component': 'picker' }
/** Pods of the same namespace that may reach the server. */
export const CLIENT_LABELS = { 'lorikeet.dev/client': 'true' }
/** Where Prometheus runs. */
export const MONITORING = { 'kubernetes.io/metadata.name': 'monitoring' }

export const CACHE = '/cache'
export const ADAPTERS = '/adapters'

/** Made by the operator, never by these manifests: docs/operations.md says how. */
export const KEYS_SECRET = 'lorikeet-keys'
export const HUB_SECRET = 'lorikeet-hub'

/** Seconds. */
export const DRAIN = 60
/** For the last words to those whose answers did not end in time (server/drain.ts), and for the process to end. */
export const LAST_WORDS = 15
export const PRE_STOP = 5
/** What the gateway's own manifests for model servers have: so long a load balancer may go on sending requests to a pod that leaves. */
export const GATEWAY_PRE_STOP = 30

/** Of a pod that is told to end: until Kubernetes kills it. */
export const gracePeriod = (preStop: number) => preStop + DRAIN + LAST_WORDS
