/** Settings of the model's weights: what they are kept in, and where between starts. */
import type { Setting } from './setting.ts'

export const WEIGHT_SETTINGS = {
  dtype: {
    kind: 'choice',
    choices: ['auto', 'float32', 'float16', 'bfloat16'],
    spellings: { half: 'float16', float: 'float32' },
    fallback: 'auto',
    help: "of the weights; on CUDA of all that is computed; auto: float32 on the CPU, on CUDA the checkpoint's own 16-bit type",
  },
  quantization: {
    kind: 'choice',
    choices: ['none', 'int4', 'int8'],
    fallback: 'none',
    help: "round the layers' weights to 4 or 8 bits while they are loaded; on the CPU head and embedding to 8",
  },
  'weight-cache': {
    kind: 'text',
    value: 'DIR',
    help: 'CPU: folder where weights of 16, 8 or 4 bits are kept as they are packed, so that the next start maps them',
  },
  'weight-cache-size': {
    kind: 'size',
    value: 'SIZE',
    fallback: '64GiB',
    help: 'of the files in the weight cache; what was not used for longest goes',
  },
} as const satisfies Record<string, Setting>
