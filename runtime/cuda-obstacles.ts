/** Whether device `cuda` can serve a model on this machine. */
import { cudaMissing } from '../native/cuda-host.ts'
import { buildModel, ModelError } from './model/index.ts'

/**
 * What keeps device `cuda` from serving the model in this folder, one sentence each with what helps; empty when nothing does. Quick: no weight is read and no
 * engine made. Throws when the addon cannot be loaded.
 */
export function cudaObstacles(modelDir: string): string[] {
  const missing = cudaMissing()
  return missing.length > 0 ? missing : modelObstacles(modelDir)
}

/** Those of the model's shape; any machine can tell. */
export function modelObstacles(modelDir: string): string[] {
  try {
    // One position, so that no rope tables are made.
    buildModel(modelDir, { device: 'cuda', maxModelLen: 1 })
    return []
  } catch (error) {
    if (error instanceof ModelError) return [error.message]
    throw error
  }
}
