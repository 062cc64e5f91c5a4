/** Which device a configuration runs on, and why. */
import { existsSync } from 'node:fs'
import type { EngineInfo } from '../../runtime/types.ts'
import { type Config, type Device, keyOf, SETTINGS, type Setting, type SettingName } from './settings.ts'
import { ConfigError } from './values.ts'

/** What is asked of the machine. */
export interface Machine {
  /** What keeps CUDA from serving the model, one sentence each with what helps; empty when nothing does. */
  cudaObstacles(): string[]
  /** Whether it has an NVIDIA GPU that this process was given. */
  hasGpu(): boolean
}

/** What the NVIDIA driver makes where a process may use it: on Linux, and on Linux under Windows. */
const GPU_FILES = ['/dev/nvidiactl', '/dev/dxg']
export const hasGpu = () => GPU_FILES.some((file) => existsSync(file))

export interface Choice {
  device: Device
  /** Why `auto` did not take CUDA; empty otherwise. */
  obstacles: string[]
  /** What the user should know before it bites. */
  warnings: string[]
}

/** Settles `--device`: auto is CUDA if nothing stands against it. Throws ConfigError when what was asked for cannot be had. */
export function chooseDevice(config: Config, machine: Machine): Choice {
  const demanding = cudaDemands(config)
  const idle = (Object.keys(SETTINGS) as SettingName[]).filter((name) => {
    const { only }: Setting = SETTINGS[name]
    return only === 'cuda' && config[keyOf(name)]
  })
  if (config.device === 'cpu') {
    const wrong = [...demanding, ...idle.map((name) => `--${name}`)]
    if (wrong.length > 0) throw new ConfigError(`${wrong.join(' and ')}: only with --device cuda; this is --device cpu`)
    return { device: 'cpu', obstacles: [], warnings: [] }
  }
  const cpuAlone = cpuDemands(config)
  const obstacles = cpuAlone.length > 0 ? cpuAlone : machine.cudaObstacles()
  if (obstacles.length === 0) {
    const unused = config.pool !== undefined && config.gpuMemoryUtilization !== undefined
    const warnings = unused ? ['--gpu-memory-utilization has no effect: --pool says how much'] : []
    if (config.weightCache !== undefined) warnings.push('--weight-cache has no effect: it is for the CPU, and this is CUDA')
    return { device: 'cuda', obstacles, warnings }
  }
  if (config.device === 'cuda') throw refusal('--device cuda cannot be used here', obstacles)
  if (demanding.length > 0) throw refusal(`${demanding.join(' and ')}: only on CUDA, which cannot be used here`, obstacles)
  const warnings = idle.map((name) => `--${name} has no effect: it is for CUDA, and this is the CPU`)
  if (machine.hasGpu())
    warnings.push(
      `there is an NVIDIA GPU, but the model runs on the CPU (--device cpu if that is meant): ${obstacles.join('; ')}`,
    )
  return { device: 'cpu', obstacles, warnings }
}

/** What only the CPU can honour, one sentence each. */
function cpuDemands({ dtype, adapterDtype, cpuAffinity }: Config): string[] {
  return [
    ...(cpuAffinity === undefined ? [] : ['--cpu-affinity pins the threads of the CPU engine alone']),
    ...(dtype === 'float32' ? ['--dtype float32 is computed on the CPU alone; CUDA takes auto, float16 or bfloat16'] : []),
    ...(adapterDtype === 'int8'
      ? ['--adapter-dtype int8 is served on the CPU alone; on CUDA rank rows have the type of the activations: auto']
      : []),
  ]
}

/** Settings that only CUDA can honour: another device would give other answers. */
function cudaDemands({ kvCacheDtype }: Config): string[] {
  return kvCacheDtype === 'fp8' ? ['--kv-cache-dtype fp8'] : []
}

const refusal = (what: string, obstacles: string[]) =>
  new ConfigError(`${what}\n${obstacles.map((obstacle) => `  - ${obstacle}`).join('\n')}`)

/** In one line for people: `cuda (NVIDIA H100 80GB HBM3), bfloat16, int4 weights, fp8 KV cache`. */
export function describeDevice(
  { device, deviceName, dtype, cacheDtype }: Pick<EngineInfo, 'device' | 'deviceName' | 'dtype' | 'cacheDtype'>,
  quantization: Config['quantization'],
): string {
  const parts = [`${device} (${deviceName})`, dtype]
  if (quantization !== 'none') parts.push(`${quantization} weights`)
  if (cacheDtype !== dtype) parts.push(`${cacheDtype === 'float8' ? 'fp8' : cacheDtype} KV cache`)
  return parts.join(', ')
}
