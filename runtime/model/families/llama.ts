import { type Family, llamaLike } from '../architecture.ts'

/** transformers/models/llama: the shape that the other families are described against. */
export const llama: Family = { modelTypes: ['llama'], architecture: (config) => llamaLike(config) }
