/** What an overlay can take or leave: keys, a GPU, where adapters come from, who watches, what scales, a canary. */
import { ConfigMap } from 'kubernetes-models/v1/ConfigMap'
import { PersistentVolumeClaim } from 'kubernetes-models/v1/PersistentVolumeClaim'
import { stringify } from 'yaml'
import type { CustomObject, Folder } from './folder.ts'
import { ADAPTERS, IMAGE, KEYS_SECRET, NAME, PORT, SERVER_LABELS, VERSION } from './names.ts'
import { deploymentPatch } from './patches.ts'
import { POOL_REFERENCE } from './pool.ts'
import { containerSecurity } from './security.ts'

const component = (path: string, about: string, rest: Partial<Folder>): Folder => ({
  path: `components/${path}`,
  about,
  kind: 'Component',
  ...rest,
})

const KEYS = '/run/lorikeet/keys'

const keys = component(
  'keys',
  `Requests must bring a key. The Secret ${KEYS_SECRET} holds keys.jsonl, which \`lorikeet key\` writes (docs/keys.md); it is read again when it changes.\nWithout the Secret no pod starts: there is no default key.`,
  {
    patches: {
      'deployment-patch': deploymentPatch({
        env: { LORIKEET_API_KEY_FILE: `${KEYS}/keys.jsonl` },
        server: { volumeMounts: [{ name: 'keys', mountPath: KEYS, readOnly: true }] },
        pod: { volumes: [{ name: 'keys', secret: { secretName: KEYS_SECRET, defaultMode: 0o440 } }] },
      }),
    },
  },
)

const gpu = component('gpu', 'One NVIDIA GPU for each replica; the image of deploy/docker/Dockerfile.cuda.', {
  patches: {
    'deployment-patch': deploymentPatch({
      env: { LORIKEET_DEVICE: 'cuda' },
      server: { resources: { requests: { cpu: '4', memory: '16Gi' }, limits: { memory: '32Gi', 'nvidia.com/gpu': '1' } } },
      pod: { tolerations: [{ key: 'nvidia.com/gpu', operator: 'Exists', effect: 'NoSchedule' }] },
    }),
  },
  images: [{ name: IMAGE, newTag: `${VERSION}-cuda` }],
})

const sharedFolder = component(
  'adapters-shared-folder',
  'Adapters from a volume that all replicas read: what is put there is served a second after it is whole, what goes is let go.\nNetwork file systems tell of no changes, so the folder is looked through (CHOKIDAR_USEPOLLING).',
  {
    resources: {
      'adapters-claim': new PersistentVolumeClaim({
        metadata: { name: 'lorikeet-adapters', labels: SERVER_LABELS },
        spec: { accessModes: ['ReadWriteMany'], resources: { requests: { storage: '100Gi' } } },
      }),
    },
    patches: {
      'deployment-patch': deploymentPatch({
        env: { LORIKEET_ADAPTERS: ADAPTERS, LORIKEET_WATCH: 'true', CHOKIDAR_USEPOLLING: '1' },
        server: { volumeMounts: [{ name: 'adapters', mountPath: ADAPTERS, readOnly: true }] },
        pod: { volumes: [{ name: 'adapters', persistentVolumeClaim: { claimName: 'lorikeet-adapters', readOnly: true } }] },
      }),
    },
  },
)

const hub = component(
  'adapters-hub',
  'Adapters from the hub: a request for ORG/NAME fetches it, where the pattern allows it. Set your own organisation.',
  { patches: { 'deployment-patch': deploymentPatch({ env: { LORIKEET_HUB_ALLOW: 'my-org/*' } }) } },
)

const SYNCED = {
  vLLMLoRAConfig: {
    name: NAME,
    port: PORT,
    defaultBaseModel: 'base',
    ensureExist: { models: [{ id: 'support', source: 'my-org/support-lora' }] },
    ensureNotExist: { models: [] },
  },
}

const syncer = component(
  'adapters-syncer',
  "Adapters from a ConfigMap: the Inference Extension's LoRA syncer beside each server loads and unloads what it lists, and goes on doing so (every 5 s).\nThe syncer brings no key, so this is not for overlays with the component `keys`.",
  {
    resources: {
      'adapters-config': new ConfigMap({
        metadata: { name: 'lorikeet-adapters', labels: SERVER_LABELS },
        data: { 'configmap.yaml': stringify(SYNCED) },
      }),
    },
    patches: {
      'deployment-patch': deploymentPatch({
        env: { LORIKEET_ALLOW_ADAPTER_MANAGEMENT: 'true', LORIKEET_HUB_ALLOW: 'my-org/*' },
        pod: {
          initContainers: [
            {
              name: 'lora-syncer',
              image: 'registry.k8s.io/gateway-api-inference-extension/lora-syncer:v1.4.0',
              // A sidecar: it starts before the server, waits for its /health, and ends after it.
              restartPolicy: 'Always',
              // Its own metrics' port would be the server's.
              args: ['python', 'sidecar.py', '--metrics-port', '8082', '--health-check-timeout', '1800'],
              env: [{ name: 'DYNAMIC_LORA_ROLLOUT_CONFIG', value: '/config/configmap.yaml' }],
              resources: { requests: { cpu: '50m', memory: '128Mi' }, limits: { memory: '256Mi' } },
              securityContext: containerSecurity,
              // Not a subPath: that would not follow the ConfigMap.
              volumeMounts: [{ name: 'adapters-config', mountPath: '/config', readOnly: true }],
            },
          ],
          volumes: [{ name: 'adapters-config', configMap: { name: 'lorikeet-adapters' } }],
        },
      }),
    },
  },
)

const podMonitor: CustomObject = {
  apiVersion: 'monitoring.coreos.com/v1',
  kind: 'PodMonitor',
  metadata: { name: NAME },
  spec: {
    selector: { matchLabels: SERVER_LABELS },
    podMetricsEndpoints: [{ port: 'http', path: '/metrics', interval: '15s' }],
  },
}

const monitoring = component(
  'monitoring',
  'The Prometheus operator scrapes each replica. Alerts and dashboard: deploy/prometheus, deploy/grafana.',
  {
    resources: { 'pod-monitor': podMonitor },
  },
)

/** Of all replicas together; KEDA divides by how many there are. A replica with 4 that wait, or a pool used to 80 %, asks for another. */
const triggers = [
  { query: `sum(vllm:num_requests_waiting{namespace="${NAME}"})`, threshold: '4' },
  { query: `sum(vllm:kv_cache_usage_perc{namespace="${NAME}"})`, threshold: '0.8' },
]

const scaledObject: CustomObject = {
  apiVersion: 'keda.sh/v1alpha1',
  kind: 'ScaledObject',
  metadata: { name: NAME },
  spec: {
    scaleTargetRef: { apiVersion: 'apps/v1', kind: 'Deployment', name: NAME },
    minReplicaCount: 2,
    maxReplicaCount: 8,
    pollingInterval: 15,
    // Where Prometheus does not answer, as many as ran before are a guess; so many serve.
    fallback: { failureThreshold: 4, replicas: 4 },
    advanced: {
      horizontalPodAutoscalerConfig: {
        // A replica that goes takes its adapters and prefixes with it: one at a time, after five quiet minutes.
        behavior: {
          scaleDown: { stabilizationWindowSeconds: 300, policies: [{ type: 'Pods', value: 1, periodSeconds: 120 }] },
        },
      },
    },
    triggers: triggers.map((trigger) => ({
      type: 'prometheus',
      metricType: 'AverageValue',
      metadata: { serverAddress: 'http://prometheus-operated.monitoring.svc:9090', ...trigger },
    })),
  },
}

const autoscaling = component(
  'autoscaling',
  'Two to eight replicas by their queues and by the part of their pools in use. KEDA makes the HorizontalPodAutoscaler.\nThe queries name the namespace and ask the Prometheus that the component `monitoring` feeds.',
  { resources: { 'scaled-object': scaledObject } },
)

const rewrite: CustomObject = {
  apiVersion: 'llm-d.ai/v1alpha2',
  kind: 'InferenceModelRewrite',
  metadata: { name: 'lorikeet-canary' },
  spec: {
    poolRef: POOL_REFERENCE,
    rules: [
      {
        matches: [{ model: { type: 'Exact', value: 'support' } }],
        targets: [
          { modelRewrite: 'support-v1', weight: 95 },
          { modelRewrite: 'support-v2', weight: 5 },
        ],
      },
    ],
  },
}

const canary = component(
  'canary',
  'Requests for `support` go to the adapter support-v1, five of a hundred to support-v2; put your own names there. A server can split by itself as well\n(docs/adapters.md, "Versions in traffic"): this one splits in front of all replicas, and by names.',
  { resources: { 'model-rewrite': rewrite } },
)

export const components: Folder[] = [keys, gpu, sharedFolder, hub, syncer, monitoring, autoscaling, canary]
