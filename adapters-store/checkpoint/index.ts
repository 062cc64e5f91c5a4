/** Reading checkpoints: safetensors files, shards and their index. The model builder and the adapters share it; it knows neither. */
export { readCheckpoint } from './checkpoint.ts'
export { CheckpointError, type CheckpointErrorCode } from './errors.ts'
export { OpenFile, readTensor, withFile } from './file.ts'
export { parseSafetensors, readSafetensorsHeader, type TensorRef } from './safetensors.ts'
