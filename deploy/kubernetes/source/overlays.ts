/** A laptop, and one GPU. */
import { PersistentVolumeClaim } from 'kubernetes-models/v1/PersistentVolumeClaim'
import type { Folder } from './folder.ts'
import { NAME, SERVER_LABELS } from './names.ts'
import { namespace } from './namespace.ts'
import { cacheVolume, deploymentPatch } from './patches.ts'

const laptop: Folder = {
  path: 'overlays/laptop',
  about: 'A cluster on a laptop (kind, k3d, minikube): the demo model and its nine adapters on the CPU, with keys.',
  namespace: NAME,
  bases: ['../../base'],
  components: ['../../components/keys'],
  resources: { namespace },
  patches: {
    'deployment-patch': deploymentPatch({
      env: { LORIKEET_POOL: '256MiB' },
      server: { resources: { requests: { cpu: '500m', memory: '1Gi' }, limits: { memory: '2Gi' } } },
    }),
  },
}

const gpu: Folder = {
  path: 'overlays/gpu',
  about:
    "One GPU: a model of the hub, adapters of the hub, with keys, and a disk that keeps what was fetched and packed.\nSet LORIKEET_MODEL, LORIKEET_HUB_ALLOW and your registry's name.",
  namespace: NAME,
  bases: ['../../base'],
  components: ['gpu', 'keys', 'adapters-hub'].map((name) => `../../components/${name}`),
  resources: {
    namespace,
    'cache-claim': new PersistentVolumeClaim({
      metadata: { name: 'lorikeet-cache', labels: SERVER_LABELS },
      spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '200Gi' } } },
    }),
  },
  patches: {
    'deployment-patch': deploymentPatch({
      env: { LORIKEET_MODEL: 'Qwen/Qwen2.5-7B-Instruct', LORIKEET_SERVED_MODEL_NAME: 'base' },
      pod: { volumes: [cacheVolume({ persistentVolumeClaim: { claimName: 'lorikeet-cache' } })] },
      // The disk, and perhaps the only GPU, are one pod's at a time.
      deployment: { strategy: { type: 'Recreate', rollingUpdate: null } },
    }),
  },
}

export const overlays: Folder[] = [laptop, gpu]
