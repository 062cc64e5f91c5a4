/** One base model on one replica: what every overlay starts from. */
import { Deployment } from 'kubernetes-models/apps/v1/Deployment'
import { NetworkPolicy } from 'kubernetes-models/networking.k8s.io/v1/NetworkPolicy'
import type { INetworkPolicyEgressRule } from 'kubernetes-models/networking.k8s.io/v1/NetworkPolicyEgressRule'
import { PodDisruptionBudget } from 'kubernetes-models/policy/v1/PodDisruptionBudget'
import { Service } from 'kubernetes-models/v1/Service'
import { ServiceAccount } from 'kubernetes-models/v1/ServiceAccount'
import type { Folder } from './folder.ts'
import {
  CACHE,
  CLIENT_LABELS,
  DRAIN,
  gracePeriod,
  HUB_SECRET,
  IMAGE,
  MONITORING,
  NAME,
  PORT,
  PRE_STOP,
  SERVER_LABELS,
  VERSION,
} from './names.ts'
import { containerSecurity, podSecurity } from './security.ts'

const probe = (path: string, periodSeconds: number, timeoutSeconds: number, failureThreshold: number) => ({
  httpGet: { path, port: 'http' },
  periodSeconds,
  timeoutSeconds,
  failureThreshold,
})

/** No `replicas`: one, unless something scales. Settings are variables, which overlays can change one by one; docs/configuration.md has them all. */
const deployment = new Deployment({
  metadata: { name: NAME, labels: SERVER_LABELS },
  spec: {
    selector: { matchLabels: SERVER_LABELS },
    strategy: { type: 'RollingUpdate', rollingUpdate: { maxUnavailable: 0, maxSurge: 1 } },
    template: {
      metadata: { labels: SERVER_LABELS },
      spec: {
        serviceAccountName: NAME,
        automountServiceAccountToken: false,
        enableServiceLinks: false,
        terminationGracePeriodSeconds: gracePeriod(PRE_STOP),
        securityContext: podSecurity(1000),
        containers: [
          {
            name: NAME,
            image: IMAGE,
            args: ['serve'],
            env: [
              { name: 'LORIKEET_HOST', value: '0.0.0.0' },
              { name: 'LORIKEET_PORT', value: `${PORT}` },
              { name: 'LORIKEET_DRAIN_TIMEOUT', value: `${DRAIN}` },
              { name: 'LORIKEET_IMAGE_CACHE', value: `${CACHE}/images` },
              { name: 'HF_HUB_CACHE', value: `${CACHE}/hub` },
              { name: 'HF_TOKEN', valueFrom: { secretKeyRef: { name: HUB_SECRET, key: 'token', optional: true } } },
            ],
            ports: [{ name: 'http', containerPort: PORT }],
            // Half an hour for a model to be fetched and read.
            startupProbe: probe('/health', 2, 2, 900),
            readinessProbe: probe('/ready', 1, 1, 2),
            // A restart reads the model anew, so only what lasts counts.
            livenessProbe: probe('/health', 5, 5, 6),
            lifecycle: { preStop: { sleep: { seconds: PRE_STOP } } },
            resources: { requests: { cpu: '1', memory: '2Gi' }, limits: { memory: '4Gi' } },
            securityContext: containerSecurity,
            volumeMounts: [
              { name: 'cache', mountPath: CACHE },
              { name: 'tmp', mountPath: '/tmp' },
            ],
          },
        ],
        volumes: [
          { name: 'cache', emptyDir: { sizeLimit: '50Gi' } },
          { name: 'tmp', emptyDir: { sizeLimit: '1Gi' } },
        ],
      },
    },
  },
})

const service = new Service({
  metadata: { name: NAME, labels: SERVER_LABELS },
  spec: { selector: SERVER_LABELS, ports: [{ name: 'http', port: 80, targetPort: 'http', appProtocol: 'http' }] },
})

/** Evictions (drained nodes) take one replica at a time; a single one may go, or its node could never be drained. */
const disruptions = new PodDisruptionBudget({
  metadata: { name: NAME, labels: SERVER_LABELS },
  spec: { selector: { matchLabels: SERVER_LABELS }, maxUnavailable: 1 },
})

const dns: INetworkPolicyEgressRule = {
  to: [{ namespaceSelector: {}, podSelector: { matchLabels: { 'k8s-app': 'kube-dns' } } }],
  ports: [
    { port: 53, protocol: 'UDP' },
    { port: 53, protocol: 'TCP' },
  ],
}

/** In: clients with a label, and Prometheus. Out: names, and the hub over HTTPS. */
const network = new NetworkPolicy({
  metadata: { name: NAME, labels: SERVER_LABELS },
  spec: {
    podSelector: { matchLabels: SERVER_LABELS },
    policyTypes: ['Ingress', 'Egress'],
    ingress: [
      {
        from: [{ podSelector: { matchLabels: CLIENT_LABELS } }, { namespaceSelector: { matchLabels: MONITORING } }],
        ports: [{ port: 'http' }],
      },
    ],
    egress: [dns, { ports: [{ port: 443 }] }],
  },
})

export const base: Folder = {
  path: 'base',
  about:
    'One base model on one replica, on the CPU: without further settings the embedded demo model. Overlays and components change it.',
  resources: {
    'service-account': new ServiceAccount({
      metadata: { name: NAME, labels: SERVER_LABELS },
      automountServiceAccountToken: false,
    }),
    deployment,
    service,
    'disruption-budget': disruptions,
    'network-policy': network,
  },
  images: [{ name: IMAGE, newTag: VERSION }],
}
