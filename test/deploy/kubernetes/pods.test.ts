/** What the manifests say of the server is true of it: settings, ports, probes, times, names of metrics; and every pod is as locked up as it can be. */
import { existsSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { parser } from '@prometheus-io/lezer-promql'
import t from 'tap'
import { ROUTES } from '../../../deploy/kubernetes/source/gateway.ts'
import { HUB_SECRET, KEYS_SECRET, NAME } from '../../../deploy/kubernetes/source/names.ts'
import { scoring } from '../../../deploy/kubernetes/source/picker.ts'
import { buildApp } from '../../../server/app.ts'
import { readConfig } from '../../../server/config/config.ts'
import { utilityServing } from '../../server/routes/serving.ts'
import { readJson, repoRoot } from '../../support/repo.ts'
import { type Built, containersOf, deployments, everything, noKustomize, podOf } from './built.ts'

const read = (file: string) => readFileSync(path.join(repoRoot(), file), 'utf8')
const all = noKustomize ? [] : everything(t.testdir())
const pods = all.flatMap((built) => deployments(built).map((deployment) => ({ built, deployment, pod: podOf(deployment) })))
const servers = pods
  .filter(({ deployment }) => deployment.metadata?.name === NAME)
  .map(({ built, deployment, pod }) => {
    const server = pod.containers.find(({ name }) => name === NAME)!
    const environment = Object.fromEntries((server.env ?? []).map(({ name, value }) => [name, value]))
    return { built, deployment, pod, server, environment, config: () => readConfig((server.args ?? []).slice(1), environment) }
  })
const app = await buildApp(utilityServing())
t.teardown(() => app.close())

t.test('there are overlays and servers', { skip: noKustomize }, async (t) => {
  t.equal(servers.length, all.length)
  t.ok(all.some(({ name }) => name === 'overlays/gateway'))
})

t.test('every setting is one of the server', { skip: noKustomize }, async (t) => {
  for (const { built, server, environment, config } of servers) {
    t.equal(server.args?.[0], 'serve')
    t.equal(config().host, '0.0.0.0', `${built.name} is reached from outside of its pod`)
    for (const name of Object.keys(environment)) t.match(name, /^(LORIKEET_|HF_|CHOKIDAR_USEPOLLING$)/)
  }
  t.throws(() => readConfig([], { LORIKEET_DRAIN_TIME: '60' }), /did you mean|unknown/)
})

t.test('ports and probes are where the server answers', { skip: noKustomize }, async (t) => {
  for (const { built, server, config } of servers) {
    t.same(server.ports, [{ name: 'http', containerPort: config().port }], built.name)
    for (const probe of [server.startupProbe, server.livenessProbe, server.readinessProbe]) t.equal(probe?.httpGet?.port, 'http')
    t.equal(server.startupProbe?.httpGet?.path, '/health')
    t.equal(server.livenessProbe?.httpGet?.path, '/health')
    t.equal(server.readinessProbe?.httpGet?.path, '/ready')
  }
  for (const url of ['/health', '/ready', '/metrics']) t.ok(app.hasRoute({ method: 'GET', url }), url)
})

t.test("the gateway's routes are routes of the server", async (t) => {
  for (const [method, , url] of ROUTES) t.ok(app.hasRoute({ method, url }), `${method} ${url}`)
})

t.test('a pod that ends has time for its answers', { skip: noKustomize }, async (t) => {
  const lastWords = Number(/LAST_WORDS = (\d+)/.exec(read('server/drain.ts'))?.[1])
  t.ok(lastWords > 0)
  for (const { built, pod, server, config } of servers) {
    const sleeps = server.lifecycle?.preStop?.sleep?.seconds ?? 0
    t.ok(sleeps >= 5, `${built.name}: it is out of rotation before it is told to end`)
    t.ok((pod.terminationGracePeriodSeconds ?? 0) > sleeps + config().drainTimeout + lastWords, built.name)
  }
})

t.test('nothing runs as root, writes to its image, or may become more', { skip: noKustomize }, async (t) => {
  for (const { built, pod } of pods) {
    t.match(pod.securityContext, { runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } }, built.name)
    t.ok(Number(pod.securityContext?.runAsUser) > 0)
    for (const { name, securityContext, resources, image, volumeMounts = [] } of containersOf(pod)) {
      t.same(
        securityContext,
        { allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: { drop: ['ALL'] } },
        `${built.name}: ${name}`,
      )
      t.ok(resources?.limits?.memory, `${built.name}: ${name} has a bound of memory`)
      t.match(image, /:v?\d+\.\d+\.\d+(-cuda)?$/, `${built.name}: ${name} has a version`)
      for (const mount of volumeMounts)
        t.ok(
          pod.volumes?.some((volume) => volume.name === mount.name),
          `${built.name}: ${name} mounts ${mount.name}`,
        )
    }
  }
  for (const { built, server, environment } of servers)
    for (const written of ['LORIKEET_IMAGE_CACHE', 'HF_HUB_CACHE'])
      t.ok(
        server.volumeMounts?.some(({ mountPath, readOnly }) => !readOnly && environment[written]?.startsWith(`${mountPath}/`)),
        `${built.name}: ${written} can be written`,
      )
})

t.test('images are those that deploy/docker builds, of this version', { skip: noKustomize }, async (t) => {
  const { version } = readJson<{ version: string }>(path.join(repoRoot(), 'package.json'))
  const operations = read('docs/operations.md')
  for (const { built, server, environment, pod } of servers) {
    const cuda = environment.LORIKEET_DEVICE === 'cuda'
    t.equal(server.image, `lorikeet:${version}${cuda ? '-cuda' : ''}`, built.name)
    t.equal(server.resources?.limits?.['nvidia.com/gpu'], cuda ? '1' : undefined)
    t.match(operations, `-f deploy/docker/Dockerfile${cuda ? '.cuda' : ''} -t ${server.image}`)
    t.equal(pod.automountServiceAccountToken, false)
  }
  for (const file of ['Dockerfile', 'Dockerfile.cuda']) t.ok(existsSync(path.join(repoRoot(), 'deploy/docker', file)))
})

t.test('what a pod names is there, or made by the operator as the docs say', { skip: noKustomize }, async (t) => {
  const operations = read('docs/operations.md')
  for (const { built, pod } of pods) {
    const named = (kind: string, name = '') =>
      built.objects.some((object) => object.kind === kind && object.metadata?.name === name)
    t.ok(named('ServiceAccount', pod.serviceAccountName), built.name)
    for (const { configMap, persistentVolumeClaim, secret } of pod.volumes ?? []) {
      if (configMap) t.ok(named('ConfigMap', configMap.name), `${built.name}: ${configMap.name}`)
      if (persistentVolumeClaim) t.ok(named('PersistentVolumeClaim', persistentVolumeClaim.claimName), built.name)
      if (secret) t.equal(secret.secretName, KEYS_SECRET)
    }
  }
  for (const secret of [KEYS_SECRET, HUB_SECRET]) t.match(operations, `kubectl -n lorikeet create secret generic ${secret}`)
  t.notOk(
    all.some(({ objects }) => objects.some(({ kind }) => kind === 'Secret')),
    'no secret is committed',
  )
})

interface Selecting {
  spec?: {
    selector?: { matchLabels?: Record<string, string> } & Record<string, unknown>
    podSelector?: { matchLabels: Record<string, string> }
  }
}

t.test('whatever selects pods selects some', { skip: noKustomize }, async (t) => {
  const kinds = ['Service', 'PodDisruptionBudget', 'NetworkPolicy', 'PodMonitor', 'InferencePool', 'Deployment']
  const seen = new Set<string>()
  for (const built of all) {
    const labels = deployments(built).map(({ spec }) => spec?.template.metadata?.labels ?? {})
    for (const { kind, metadata, spec } of built.objects as ((typeof built.objects)[number] & Selecting)[]) {
      if (!kinds.includes(kind)) continue
      seen.add(kind)
      const wanted = spec?.podSelector?.matchLabels ?? spec?.selector?.matchLabels ?? spec?.selector ?? {}
      t.ok(Object.keys(wanted).length > 0)
      t.ok(
        labels.some((of) => Object.entries(wanted).every(([name, value]) => of[name] === value)),
        `${built.name}: ${kind} ${metadata?.name}`,
      )
    }
  }
  t.same([...seen].sort(), kinds.sort())
})

t.test(
  'every replica that is asked for a key has one, and none that something without a key must read',
  { skip: noKustomize },
  async (t) => {
    const asksFor = (name: string) => servers.find(({ built }) => built.name === name)?.environment.LORIKEET_API_KEY_FILE
    t.ok(asksFor('overlays/laptop'))
    t.ok(asksFor('overlays/gpu'))
    // The picker and the syncer bring none; with keys, /metrics names no adapter to who has none.
    const keyless = (built: Built) =>
      built.objects.some(({ kind }) => kind === 'InferencePool') || JSON.stringify(built.objects).includes('lora-syncer')
    for (const { built, environment } of servers) if (keyless(built)) t.notOk(environment.LORIKEET_API_KEY_FILE, built.name)
  },
)

t.test('what scales asks for metrics that are served', { skip: noKustomize }, async (t) => {
  const documented = new Set([...read('docs/metrics.md').matchAll(/^\| `([a-z_:]+)/gm)].map(([, name]) => name))
  t.ok(documented.has('vllm:num_requests_waiting'))
  const scaled = all.flatMap(({ objects }) => objects.filter(({ kind }) => kind === 'ScaledObject'))
  t.ok(scaled.length > 1)
  for (const { spec } of scaled as { spec: { triggers: { metadata: { query: string } }[] } }[])
    for (const { metadata } of spec.triggers)
      parser.parse(metadata.query).iterate({
        enter({ name, type, from, to }) {
          const text = metadata.query.slice(from, to)
          if (type.isError) t.fail(`not PromQL: ${metadata.query}`)
          if (name === 'Identifier') t.ok(documented.has(text), text)
          // The Prometheus operator adds it.
          if (name === 'LabelName') t.equal(text, 'namespace')
        },
      })
})

t.test("the endpoint picker's profile names plugins that are there", async (t) => {
  const known = new Set(scoring.plugins.map(({ type }) => type))
  for (const { plugins } of scoring.schedulingProfiles)
    for (const { pluginRef, weight } of plugins) t.ok(known.delete(pluginRef) && weight > 0, pluginRef)
  t.equal(known.size, 0, 'each of them is used')
})
