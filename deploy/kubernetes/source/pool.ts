/** Which group and kind the pool is of: what points to it must say so. */
import { NAME } from './names.ts'

export const POOL_REFERENCE = { group: 'inference.networking.k8s.io', kind: 'InferencePool', name: NAME }
