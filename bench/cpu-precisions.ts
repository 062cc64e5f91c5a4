/** The precisions that the CPU keeps weights in, as settings of a model or an engine; the first is what the others are compared with. */
import type { EngineSettings } from '../runtime/types.ts'

export interface Precision extends Pick<EngineSettings, 'quantization'> {
  dtype?: 'float32' | 'float16' | 'bfloat16'
  cacheDtype: 'float32'
}

/** The weights alone differ: a cache that follows them would be measured with them. */
const cacheDtype = 'float32'

export const CPU_PRECISIONS: Record<string, Precision> = {
  float32: { dtype: 'float32', cacheDtype },
  bfloat16: { dtype: 'bfloat16', cacheDtype },
  float16: { dtype: 'float16', cacheDtype },
  int8: { quantization: 'int8', cacheDtype },
  int4: { quantization: 'int4', cacheDtype },
}

/** Those named, separated by commas, in the table's order and after the first. */
export function precisionsNamed(names: string): [string, Precision][] {
  const wanted = new Set(names.split(','))
  for (const name of wanted)
    if (!(name in CPU_PRECISIONS)) throw new Error(`no precision ${name}: ${Object.keys(CPU_PRECISIONS)}`)
  return Object.entries(CPU_PRECISIONS).filter(([name]) => name === 'float32' || wanted.has(name))
}
