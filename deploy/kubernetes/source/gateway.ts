/** Many replicas behind the gateway: the pool, what leads to it, and what the base changes for it. */
import type { CustomObject, Folder } from './folder.ts'
import { GATEWAY_PRE_STOP, gracePeriod, MONITORING, NAME, PICKER, PICKER_LABELS, PORT, SERVER_LABELS } from './names.ts'
import { namespace } from './namespace.ts'
import { cacheVolume, deploymentPatch } from './patches.ts'
import { EXT_PROC, pickerObjects, scoring } from './picker.ts'
import { POOL_REFERENCE } from './pool.ts'

const pool: CustomObject = {
  apiVersion: 'inference.networking.k8s.io/v1',
  kind: 'InferencePool',
  metadata: { name: NAME },
  spec: {
    selector: { matchLabels: SERVER_LABELS },
    targetPorts: [{ number: PORT }],
    // Without the picker any replica can answer: it is slower, not wrong.
    endpointPickerRef: { group: '', kind: 'Service', name: PICKER, port: { number: EXT_PROC }, failureMode: 'FailOpen' },
  },
}

/** A request names one in `x-llm-d-inference-objective`; without one its priority is 0. */
const objective = (name: string, priority: number): CustomObject => ({
  apiVersion: 'llm-d.ai/v1alpha2',
  kind: 'InferenceObjective',
  metadata: { name },
  spec: { priority, poolRef: POOL_REFERENCE },
})

const gateway: CustomObject = {
  apiVersion: 'gateway.networking.k8s.io/v1',
  kind: 'Gateway',
  metadata: { name: NAME },
  spec: {
    gatewayClassName: 'istio',
    listeners: [{ name: 'http', port: 80, protocol: 'HTTP', allowedRoutes: { namespaces: { from: 'Same' } } }],
  },
}

/** What clients may reach, and nothing else: no metrics, no page, nothing that manages adapters. The `model` is in the body where a POST is. */
export const ROUTES = [
  ['GET', 'Exact', '/v1/models'],
  ['POST', 'Exact', '/v1/chat/completions'],
  ['POST', 'Exact', '/v1/completions'],
  ['POST', 'Exact', '/v1/embeddings'],
  ['POST', 'Exact', '/v1/messages'],
] as const

const route: CustomObject = {
  apiVersion: 'gateway.networking.k8s.io/v1',
  kind: 'HTTPRoute',
  metadata: { name: NAME },
  spec: {
    parentRefs: [{ group: 'gateway.networking.k8s.io', kind: 'Gateway', name: NAME }],
    rules: [
      {
        matches: ROUTES.map(([method, type, value]) => ({ method, path: { type, value } })),
        backendRefs: [POOL_REFERENCE],
        // Long answers stream for minutes.
        timeouts: { request: '900s' },
      },
    ],
  },
}

const from = (labels: Record<string, string>) => ({ podSelector: { matchLabels: labels } })

/** A pod's own cache, large and gone with it: a claim that many replicas share would have to be of a network file system, which packed images are mapped from. */
const cache = cacheVolume({
  ephemeral: {
    volumeClaimTemplate: { spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '200Gi' } } } },
  },
})

export const gatewayOverlay: Folder = {
  path: 'overlays/gateway',
  about:
    "Many replicas with a GPU each behind a gateway with the Inference Extension and llm-d's endpoint picker; adapters from a shared folder.\nThe replicas ask for no key: with keys /metrics hides the names of adapters, which the picker places by, and it brings none. The gateway asks who is there;\nthe NetworkPolicy lets only the gateway, the picker and Prometheus reach the replicas. Set LORIKEET_MODEL, the class of the gateway, and the tag of your registry.",
  namespace: NAME,
  bases: ['../../base'],
  components: ['gpu', 'adapters-shared-folder', 'monitoring', 'autoscaling'].map((name) => `../../components/${name}`),
  resources: {
    namespace,
    'inference-pool': pool,
    'objective-interactive': objective('interactive', 10),
    'objective-batch': objective('batch', -10),
    gateway,
    'http-route': route,
    ...pickerObjects,
  },
  patches: {
    'deployment-patch': deploymentPatch({
      env: {
        LORIKEET_MODEL: 'Qwen/Qwen2.5-7B-Instruct',
        LORIKEET_SERVED_MODEL_NAME: 'base',
        LORIKEET_SCHEDULING: 'fair',
        LORIKEET_TENANT_HEADER: 'x-llm-d-inference-fairness-id',
      },
      server: { lifecycle: { preStop: { sleep: { seconds: GATEWAY_PRE_STOP } } } },
      pod: {
        terminationGracePeriodSeconds: gracePeriod(GATEWAY_PRE_STOP),
        topologySpreadConstraints: [
          {
            maxSkew: 1,
            topologyKey: 'kubernetes.io/hostname',
            whenUnsatisfiable: 'ScheduleAnyway',
            labelSelector: { matchLabels: SERVER_LABELS },
          },
        ],
        volumes: [cache],
      },
    }),
    'network-policy-patch': {
      apiVersion: 'networking.k8s.io/v1',
      kind: 'NetworkPolicy',
      metadata: { name: NAME },
      spec: {
        ingress: [
          {
            from: [
              from({ 'gateway.networking.k8s.io/gateway-name': NAME }),
              from(PICKER_LABELS),
              { namespaceSelector: { matchLabels: MONITORING } },
            ],
            ports: [{ port: 'http' }],
          },
        ],
      },
    },
  },
  config: { name: PICKER, files: { scoring } },
}
