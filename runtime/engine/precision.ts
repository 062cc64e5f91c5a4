/** Which types a model runs in, from what was asked for, the device and the checkpoint. */
import type { AdapterDtype, CacheDtype, Device, TensorType } from '../../native/types.ts'
import { EngineError } from '../errors.ts'
import type { EngineSettings } from '../types.ts'

export interface Precision {
  dtype: TensorType
  adapterDtype: AdapterDtype
  cacheDtype: CacheDtype
}

/** Throws EngineError that names the setting and what would be right. */
export function precisionOf(
  settings: Pick<EngineSettings, 'device' | 'dtype' | 'adapterDtype' | 'cacheDtype'>,
  checkpoint: Iterable<{ dtype: string }>,
): Precision {
  const { device } = settings
  const dtype = settings.dtype === 'auto' ? automatic(device, checkpoint) : settings.dtype
  if (device === 'cpu' && dtype !== 'float32') throw refusal(`--dtype ${dtype} needs --device cuda; on the CPU it is float32`)
  if (device === 'cuda' && dtype === 'float32')
    throw refusal('--dtype float32 needs --device cpu; on CUDA it is float16 or bfloat16')
  const adapterDtype = settings.adapterDtype === 'auto' ? (device === 'cuda' ? dtype : 'float16') : settings.adapterDtype
  if (device === 'cuda' && adapterDtype !== dtype)
    throw refusal(`--adapter-dtype ${adapterDtype} differs from the model's ${dtype}; on CUDA they are one: leave it at auto`)
  const { cacheDtype: wanted = 'auto' } = settings
  const cacheDtype = wanted === 'auto' ? dtype : wanted
  if (cacheDtype !== dtype && (device === 'cpu' || (cacheDtype !== 'int8' && cacheDtype !== 'float8')))
    throw refusal(`--kv-cache-dtype ${cacheDtype} cannot be had with --device ${device} and --dtype ${dtype}; leave it at auto`)
  return { dtype, adapterDtype, cacheDtype }
}

/** As vLLM: a checkpoint's own 16-bit type, float16 for one in float32. */
function automatic(device: Device, checkpoint: Iterable<{ dtype: string }>): TensorType {
  if (device === 'cpu') return 'float32'
  for (const { dtype } of checkpoint) if (dtype === 'bfloat16') return 'bfloat16'
  return 'float16'
}

const refusal = (message: string) => new EngineError('invalid_settings', message)
