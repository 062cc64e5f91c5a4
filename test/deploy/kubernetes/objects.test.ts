/** Every object is one of its kind: as it is written, and as kustomize lays them over each other. */
import t from 'tap'
import { folders } from '../../../deploy/kubernetes/source/manifests.ts'
import { everything, noKustomize } from './built.ts'
import { modelsIn } from './models.ts'

const models = modelsIn(t.testdir())

t.test('as written', async (t) => {
  const objects = folders.flatMap(({ resources = {} }) => Object.values(resources))
  t.ok(objects.length > 20)
  for (const object of objects) {
    const plain = JSON.parse(JSON.stringify(object))
    await t.resolves(models.validate(plain), `${plain.kind} ${plain.metadata.name}`)
  }
})

t.test('as kustomize builds them', { skip: noKustomize }, async (t) => {
  const all = everything(t.testdir())
  t.equal(all.length, folders.length - 1)
  for (const { name, objects } of all) {
    t.ok(objects.length >= 5, `${name} has objects`)
    for (const object of objects) await t.resolves(models.validate(object), `${name}: ${object.kind} ${object.metadata?.name}`)
  }
})

t.test('what would be wrong is seen', async (t) => {
  const pool = (spec: object) => ({
    apiVersion: 'inference.networking.k8s.io/v1',
    kind: 'InferencePool',
    metadata: { name: 'x' },
    spec,
  })
  const right = { selector: { matchLabels: { app: 'x' } }, targetPorts: [{ number: 8080 }] }
  await t.resolves(models.validate(pool(right)))
  await t.rejects(models.validate(pool({ ...right, extensionRef: { name: 'x' } })), 'a field of an older version')
  await t.rejects(models.validate(pool({ ...right, targetPorts: [{ number: 70000 }] })), 'a port that is none')
  await t.rejects(models.validate({ ...pool(right), data: {} } as ReturnType<typeof pool>), 'a field beside spec')
  await t.rejects(models.validate({ apiVersion: 'apps/v1', kind: 'Deployment', spec: { selector: {} } }), 'no template')
  await t.rejects(models.validate({ apiVersion: 'llm-d.ai/v1alpha1', kind: 'InferencePool' }), 'a kind that nobody knows')
})
