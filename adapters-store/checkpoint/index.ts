/** Reading checkpoints: safetensors files, shards and their index. The model builder and the adapters share it; it knows neither. */
export { readCheckpoint } from './checkpoint.ts'
export { bounded, CheckpointError, type CheckpointErrorCode } from './errors.ts'
export { OpenFile, withFile } from './file.ts'
export { jsonReason, systemReason } from './reasons.ts'
export { readHeader, readSafetensorsHeader, readTensor } from './safetensors.ts'
