/** From a configuration and its device to what the engine is started with. */
import { placementOf } from '../../runtime/cpu-affinity.ts'
import type { EngineSettings } from '../../runtime/types.ts'
import { cacheFolder } from '../folders.ts'
import { type Config, type Device, SETTINGS, type Setting } from './settings.ts'
import { ConfigError, readValue } from './values.ts'

/** vLLM calls it fp8; there are several, and this is the one of com.microsoft.PagedAttention (e4m3). */
const cacheType = (name: Config['kvCacheDtype']) => (name === 'fp8' ? 'float8' : name)

/** Fills in the defaults that depend on the device; what neither names is left to the engine. Throws ConfigError where the weight cache's folder cannot be written or CPUs cannot be had. */
export function engineSettings(config: Config, device: Device, modelDir: string): EngineSettings {
  const cuda = device === 'cuda'
  return {
    modelDir,
    device,
    dtype: config.dtype,
    adapterDtype: config.adapterDtype,
    cacheDtype: cacheType(config.kvCacheDtype),
    quantization: config.quantization === 'none' ? undefined : config.quantization,
    weightCache: weightCacheOf(config),
    poolBytes: config.pool ?? defaultOn(device, 'pool'),
    memoryFraction: cuda ? (config.gpuMemoryUtilization ?? SETTINGS['gpu-memory-utilization'].fallback) : undefined,
    blockSize: config.blockSize ?? defaultOn(device, 'block-size'),
    leastFrameBytes: config.adapterFrameSize,
    maxBatchTokens: config.maxBatchTokens ?? (defaultOn(device, 'max-batch-tokens') as number),
    longPrefillTokens: config.longPrefillTokenThreshold,
    maxStepMs: config.maxStepMs,
    fair: config.scheduling === 'fair',
    adapterCluster: config.adapterCluster,
    speculation: config.speculativeConfig,
    maxSequences: config.maxSequences ?? (defaultOn(device, 'max-sequences') as number),
    maxModelLen: config.maxModelLen,
    extraTokens: config.maxExtraTokens,
    ...placement(config),
    prefixCache: config.prefixCache,
    asyncScheduling: config.asyncScheduling === 'auto' ? undefined : config.asyncScheduling === 'on',
    captureGraphs: cuda ? !(config.enforceEager ?? SETTINGS['enforce-eager'].fallback) : undefined,
  }
}

function placement({ threads, cpuAffinity }: Config): ReturnType<typeof placementOf> {
  try {
    return placementOf(cpuAffinity, threads)
  } catch (error) {
    throw new ConfigError((error as Error).message)
  }
}

function weightCacheOf({ weightCache, weightCacheSize }: Config): EngineSettings['weightCache'] {
  if (weightCache === undefined) return undefined
  return { directory: cacheFolder('the weight cache', weightCache), maxBytes: weightCacheSize }
}

/** undefined where the device leaves it open. */
function defaultOn(device: Device, name: 'pool' | 'block-size' | 'max-batch-tokens' | 'max-sequences'): number | undefined {
  const setting: Setting = SETTINGS[name]
  const fallback = setting.fallbackOn?.[device]
  return typeof fallback === 'object' ? undefined : (readValue(name, setting, fallback) as number)
}
