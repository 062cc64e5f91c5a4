/** What kustomize makes of the folders, as a cluster would get it. */
import { spawnSync } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import type { IDeployment } from 'kubernetes-models/apps/v1/Deployment'
import { parseAllDocuments, stringify } from 'yaml'
import type { KubernetesObject } from '../../../deploy/kubernetes/source/folder.ts'
import { folders } from '../../../deploy/kubernetes/source/manifests.ts'
import { repoRoot } from '../../support/repo.ts'

const version = spawnSync('kubectl', ['version', '--client'], { encoding: 'utf8' })
/** Components came with kustomize 3.7, which kubectl has since 1.21 (Kustomize Version v4). */
const knows = /Kustomize Version: v([4-9]|\d\d)\./.test(version.stdout ?? '')
export const noKustomize = version.error
  ? 'kubectl is not installed'
  : !knows && 'this kubectl has no kustomize that knows components'

const at = (folder: string) => path.join(repoRoot(), 'deploy/kubernetes', folder)

/** Throws with kustomize's own words. */
export function build(folder: string): KubernetesObject[] {
  const { status, stdout, stderr } = spawnSync('kubectl', ['kustomize', folder], { encoding: 'utf8' })
  if (status !== 0) throw new Error(stderr)
  return parseAllDocuments(stdout).map((document) => document.toJS() as KubernetesObject)
}

export interface Built {
  name: string
  objects: KubernetesObject[]
}

/** Every overlay as it is, and every component on the base alone. `folder`: an empty one below the repository. */
export function everything(folder: string): Built[] {
  return folders
    .filter(({ path }) => path !== 'base')
    .map(({ path: name, kind }) => {
      if (kind !== 'Component') return { name, objects: build(at(name)) }
      const alone = path.join(folder, name.replace('/', '-'))
      mkdirSync(alone, { recursive: true })
      const from = (other: string) => path.relative(alone, at(other))
      writeFileSync(
        path.join(alone, 'kustomization.yaml'),
        stringify({ kind: 'Kustomization', resources: [from('base')], components: [from(name)] }),
      )
      return { name, objects: build(alone) }
    })
}

export const deployments = ({ objects }: Built) =>
  objects.filter(({ kind }) => kind === 'Deployment').map((object) => object as IDeployment)

export function podOf(deployment: IDeployment) {
  const pod = deployment.spec?.template.spec
  if (!pod) throw new Error(`${deployment.metadata?.name} has no pod`)
  return pod
}

/** Of a workload: sidecars and first ones too. */
export const containersOf = (pod: ReturnType<typeof podOf>) => [...(pod.initContainers ?? []), ...pod.containers]
