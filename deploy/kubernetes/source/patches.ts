/** Changes of the base's Deployment. */
import type { IDeployment } from 'kubernetes-models/apps/v1/Deployment'
import type { Patch } from './folder.ts'
import { NAME } from './names.ts'

type PodSpec = NonNullable<NonNullable<IDeployment['spec']>['template']['spec']>
type Container = PodSpec['containers'][number]

interface Change {
  /** Variables of the server. */
  env?: Record<string, string>
  server?: Patch<Container>
  pod?: Patch<Omit<PodSpec, 'containers'>>
  deployment?: Patch<NonNullable<IDeployment['spec']>>
}

/** A patch that names the server's container, so that lists with names (variables, mounts, volumes) are laid over those of the base. */
export function deploymentPatch({ env, server, pod, deployment }: Change) {
  const variables = env && Object.entries(env).map(([name, value]) => ({ name, value }))
  const container = { name: NAME, ...(variables && { env: variables }), ...server }
  const changesContainer = env !== undefined || server !== undefined
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name: NAME },
    spec: { ...deployment, template: { spec: { ...pod, ...(changesContainer && { containers: [container] }) } } },
  }
}

/** In place of the base's empty folder, which would stay beside it. */
export const cacheVolume = (volume: object) => ({ name: 'cache', emptyDir: null, ...volume })
