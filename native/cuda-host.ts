/** What a CUDA run lacks on this machine, in words that say how to get it. */
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import path from 'node:path'
import { cudaLibrary, loadNative } from './index.ts'

/** What `cudaMissing` asks of a machine. */
export interface CudaHost {
  /** process.platform/process.arch */
  machine: string
  /** Whether the addon has CUDA kernels. */
  kernels: boolean
  /** Whether ONNX Runtime's CUDA provider is set up for the installed onnxruntime-node. */
  provider: boolean
  /** Whether the dynamic loader would find this shared library. */
  finds(library: string): boolean
  /** Why the driver offers no device; undefined when it does. Asked only when nothing else is missing. */
  deviceMissing(): string | undefined
}

/** Where the dynamic loader looks (ld.so(8)). */
export interface LoaderPaths {
  /** LD_LIBRARY_PATH */
  libraryPath: string
  /** What `ldconfig -p` prints. */
  cache: string
  exists(file: string): boolean
}

/** The driver that CUDA 13 asks for, and the libraries that the provider links, each with the package of NVIDIA's repository that has it. */
const DRIVER = 'libcuda.so.1'
const RUNTIME_LIBRARIES: [library: string, aptPackage: string][] = [
  ['libcudart.so.13', 'cuda-cudart-13-0'],
  ['libcublas.so.13', 'libcublas-13-0'],
  ['libcublasLt.so.13', 'libcublas-13-0'],
  ['libcurand.so.10', 'libcurand-13-0'],
]

/** The folders that the loader searches last, on Debian and elsewhere. */
const STANDARD_FOLDERS = ['/lib/x86_64-linux-gnu', '/usr/lib/x86_64-linux-gnu', '/lib64', '/usr/lib64', '/lib', '/usr/lib']

/** What device `cuda` lacks here, one sentence each with how to get it; empty when it can be used. Throws when the addon cannot be loaded. */
export function cudaMissing(host: CudaHost = thisHost()): string[] {
  if (host.machine !== 'linux/x64') return [`CUDA needs Linux on x64; this is ${host.machine}`]
  const missing: string[] = []
  if (!host.kernels)
    missing.push('the addon was built without CUDA kernels: install the CUDA 13 toolkit (nvcc), then `npm run build`')
  if (!host.provider)
    missing.push("ONNX Runtime's CUDA provider is not set up for the installed onnxruntime-node: `npm run setup:cuda`")
  if (!host.finds(DRIVER))
    missing.push(
      `there is no NVIDIA driver (${DRIVER}): install 580 or newer (Ubuntu: \`ubuntu-drivers install\`; Debian: \`apt install cuda-drivers\` from ` +
        "NVIDIA's repository); in a container, give it the GPU (`docker run --gpus all`)",
    )
  for (const [library, aptPackage] of RUNTIME_LIBRARIES)
    if (!host.finds(library))
      missing.push(
        `${library} of CUDA 13 is not found: \`apt install ${aptPackage}\` from NVIDIA's repository, or name the folder that has it in LD_LIBRARY_PATH`,
      )
  const device = missing.length === 0 ? host.deviceMissing() : undefined
  return device === undefined ? missing : [`no CUDA device can be used: ${device}`]
}

/** This machine, with the provider of the checkout at `root` (default: the one that this file is in). */
export function thisHost(root?: string): CudaHost {
  const addon = loadNative()
  const loader: LoaderPaths = {
    libraryPath: process.env.LD_LIBRARY_PATH ?? '',
    cache: spawnSync('/sbin/ldconfig', ['-p'], { encoding: 'utf8' }).stdout ?? '',
    exists: existsSync,
  }
  return {
    machine: `${process.platform}/${process.arch}`,
    kernels: addon.info().cuda,
    provider: cudaLibrary(root) !== undefined,
    finds: (library) => loaderFinds(library, loader),
    deviceMissing() {
      const device = addon.cudaDevice()
      return 'missing' in device ? device.missing : undefined
    },
  }
}

/** Whether the loader finds a 64-bit x86 library of that name: in LD_LIBRARY_PATH, the cache or the standard folders. */
export function loaderFinds(library: string, { libraryPath, cache, exists }: LoaderPaths): boolean {
  // An empty entry is the working directory, an empty variable is none.
  const named = libraryPath === '' ? [] : libraryPath.split(/[:;]/)
  return (
    named.some((folder) => exists(path.join(folder, library))) ||
    cache.split('\n').some((line) => line.trimStart().startsWith(`${library} (libc6,x86-64`)) ||
    STANDARD_FOLDERS.some((folder) => exists(path.join(folder, library)))
  )
}
