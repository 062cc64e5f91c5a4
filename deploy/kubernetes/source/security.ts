/** What Kubernetes' `restricted` policy asks of a pod, and more: nothing of the image can be written. */
import type { IPodSecurityContext } from 'kubernetes-models/v1/PodSecurityContext'
import type { ISecurityContext } from 'kubernetes-models/v1/SecurityContext'

export const podSecurity = (user: number): IPodSecurityContext => ({
  runAsNonRoot: true,
  runAsUser: user,
  runAsGroup: user,
  fsGroup: user,
  fsGroupChangePolicy: 'OnRootMismatch',
  seccompProfile: { type: 'RuntimeDefault' },
})

export const containerSecurity: ISecurityContext = {
  allowPrivilegeEscalation: false,
  readOnlyRootFilesystem: true,
  capabilities: { drop: ['ALL'] },
}
