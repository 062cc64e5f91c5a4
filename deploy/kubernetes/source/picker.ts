/** The endpoint picker: llm-d's router, which asks each replica what it holds and sends a request where it fits. */
import { Deployment } from 'kubernetes-models/apps/v1/Deployment'
import { NetworkPolicy } from 'kubernetes-models/networking.k8s.io/v1/NetworkPolicy'
import { Role } from 'kubernetes-models/rbac.authorization.k8s.io/v1/Role'
import { RoleBinding } from 'kubernetes-models/rbac.authorization.k8s.io/v1/RoleBinding'
import { Service } from 'kubernetes-models/v1/Service'
import { ServiceAccount } from 'kubernetes-models/v1/ServiceAccount'
import { GATEWAY_PRE_STOP, gracePeriod, NAME, PICKER, PICKER_LABELS } from './names.ts'
import { POOL_REFERENCE } from './pool.ts'
import { containerSecurity, podSecurity } from './security.ts'

export const EXT_PROC = 9002
const HEALTH = 9003

/**
 * Load by the queue and by what the router itself has in flight, which is never stale, then where the adapter lies and where the prompt's beginning was sent, and requests of which nothing is anywhere in turn. The weights are those that bench/placement found
 * good over several workloads (docs/placement.md).
 */
export const scoring = {
  apiVersion: 'llm-d.ai/v1alpha1',
  kind: 'EndpointPickerConfig',
  plugins: [
    { type: 'queue-scorer' },
    { type: 'active-request-scorer' },
    { type: 'lora-affinity-scorer' },
    { type: 'prefix-cache-scorer' },
    { type: 'no-hit-lru-scorer' },
  ],
  schedulingProfiles: [
    {
      name: 'default',
      plugins: [
        { pluginRef: 'queue-scorer', weight: 2 },
        { pluginRef: 'active-request-scorer', weight: 2 },
        { pluginRef: 'lora-affinity-scorer', weight: 6 },
        { pluginRef: 'prefix-cache-scorer', weight: 6 },
        { pluginRef: 'no-hit-lru-scorer', weight: 1 },
      ],
    },
  ],
}

const metadata = { name: PICKER, labels: PICKER_LABELS }
const probe = { grpc: { port: HEALTH, service: 'inference-extension' }, periodSeconds: 5 }

export const pickerObjects = {
  'picker-account': new ServiceAccount({ metadata }),
  'picker-role': new Role({
    metadata,
    rules: [
      { apiGroups: [''], resources: ['pods'], verbs: ['get', 'list', 'watch'] },
      { apiGroups: ['inference.networking.k8s.io'], resources: ['inferencepools'], verbs: ['get', 'list', 'watch'] },
      {
        apiGroups: ['llm-d.ai', 'inference.networking.x-k8s.io'],
        resources: ['inferenceobjectives', 'inferencemodelrewrites'],
        verbs: ['get', 'list', 'watch'],
      },
    ],
  }),
  'picker-role-binding': new RoleBinding({
    metadata,
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name: PICKER },
    subjects: [{ kind: 'ServiceAccount', name: PICKER }],
  }),
  'picker-service': new Service({
    metadata,
    spec: { selector: PICKER_LABELS, ports: [{ name: 'grpc-ext-proc', port: EXT_PROC, appProtocol: 'kubernetes.io/h2c' }] },
  }),
  'picker-deployment': new Deployment({
    metadata,
    spec: {
      // One: what it knows of prefixes is its own, and a second one would know the other half.
      replicas: 1,
      selector: { matchLabels: PICKER_LABELS },
      strategy: { type: 'Recreate' },
      template: {
        metadata: { labels: PICKER_LABELS },
        spec: {
          serviceAccountName: PICKER,
          // As long as the replicas that it sends to.
          terminationGracePeriodSeconds: gracePeriod(GATEWAY_PRE_STOP),
          securityContext: podSecurity(65532),
          containers: [
            {
              name: 'picker',
              image: 'ghcr.io/llm-d/llm-d-router-endpoint-picker:v0.9.0',
              args: [
                `--pool-name=${NAME}`,
                `--pool-group=${POOL_REFERENCE.group}`,
                `--grpc-port=${EXT_PROC}`,
                `--grpc-health-port=${HEALTH}`,
                '--config-file=/config/scoring.yaml',
                '--zap-encoder=json',
                '--tracing=false',
              ],
              env: [
                { name: 'NAMESPACE', valueFrom: { fieldRef: { fieldPath: 'metadata.namespace' } } },
                { name: 'POD_NAME', valueFrom: { fieldRef: { fieldPath: 'metadata.name' } } },
              ],
              ports: [
                { name: 'grpc-ext-proc', containerPort: EXT_PROC },
                { name: 'grpc-health', containerPort: HEALTH },
                { name: 'metrics', containerPort: 9090 },
              ],
              livenessProbe: probe,
              readinessProbe: probe,
              resources: { requests: { cpu: '2', memory: '2Gi' }, limits: { memory: '8Gi' } },
              securityContext: containerSecurity,
              volumeMounts: [
                { name: 'config', mountPath: '/config', readOnly: true },
                { name: 'tmp', mountPath: '/tmp' },
              ],
            },
          ],
          volumes: [
            { name: 'config', configMap: { name: PICKER } },
            { name: 'tmp', emptyDir: { sizeLimit: '256Mi' } },
          ],
        },
      },
    },
  }),
  'picker-network-policy': new NetworkPolicy({
    metadata,
    spec: {
      podSelector: { matchLabels: PICKER_LABELS },
      policyTypes: ['Ingress'],
      ingress: [
        {
          from: [{ podSelector: { matchLabels: { 'gateway.networking.k8s.io/gateway-name': NAME } } }],
          ports: [{ port: 'grpc-ext-proc' }],
        },
      ],
    },
  }),
}
