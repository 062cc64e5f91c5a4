/** Where all of it lives. Kubernetes itself refuses a pod that is laxer than these manifests. */
import { Namespace } from 'kubernetes-models/v1/Namespace'
import { NAME } from './names.ts'

export const namespace = new Namespace({
  metadata: { name: NAME, labels: { 'pod-security.kubernetes.io/enforce': 'restricted' } },
})
