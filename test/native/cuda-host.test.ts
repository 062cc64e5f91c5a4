/** What a CUDA run is told to lack, on machines that the tests make up. */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import t from 'tap'
import { type CudaHost, cudaMissing, type LoaderPaths, loaderFinds, thisHost } from '../../native/cuda-host.ts'
import { cudaLibrary } from '../../native/index.ts'
import { temporaryFolder } from '../support/repo.ts'

const LIBRARIES = ['libcuda.so.1', 'libcudart.so.13', 'libcublas.so.13', 'libcublasLt.so.13', 'libcurand.so.10']

/** A machine that has all, but for what is given. */
function host(others: Partial<CudaHost> = {}): CudaHost {
  return {
    machine: 'linux/x64',
    kernels: true,
    provider: true,
    finds: (library) => LIBRARIES.includes(library),
    deviceMissing: () => undefined,
    ...others,
  }
}

t.test('a machine that has all lacks nothing', async (t) => {
  t.same(cudaMissing(host()), [])
})

t.test('each thing that is missing is one line that names it and says how to get it', async (t) => {
  const lines: [Partial<CudaHost>, RegExp][] = [
    [{ kernels: false }, /^the addon was built without CUDA kernels: .*nvcc.*`npm run build`$/],
    [{ provider: false }, /^ONNX Runtime's CUDA provider is not set up .*`npm run setup:cuda`$/],
    [{ deviceMissing: () => 'no CUDA-capable device is detected' }, /^no CUDA device .*: no CUDA-capable device is detected$/],
    ...LIBRARIES.map((gone): [Partial<CudaHost>, RegExp] => [
      { finds: (library) => library !== gone },
      gone === 'libcuda.so.1'
        ? /^there is no NVIDIA driver.*--gpus all/
        : new RegExp(`^${gone} .*apt install .*-13-0.*LD_LIBRARY_PATH$`),
    ]),
  ]
  for (const [lack, line] of lines) {
    const missing = cudaMissing(host(lack))
    t.equal(missing.length, 1)
    t.match(missing[0], line)
  }
})

t.test('all that is missing is told at once; the driver is asked for a device only when it is there', async (t) => {
  const nothing = host({
    kernels: false,
    provider: false,
    finds: () => false,
    deviceMissing: () => t.fail('there is no driver to ask') as never,
  })
  t.equal(cudaMissing(nothing).length, 7)
})

t.test('other machines are told that they are other machines, and no more', async (t) => {
  t.same(cudaMissing(host({ machine: 'darwin/arm64', kernels: false })), ['CUDA needs Linux on x64; this is darwin/arm64'])
})

t.test('the loader finds a library by LD_LIBRARY_PATH, its cache or the standard folders', async (t) => {
  const none: LoaderPaths = { libraryPath: '', cache: '', exists: () => false }
  const finds = (paths: Partial<LoaderPaths>) => loaderFinds('libcublas.so.13', { ...none, ...paths })
  const only = (file: string) => (asked: string) => asked === file
  t.notOk(finds({}))
  t.ok(finds({ libraryPath: '/a:/opt/cuda/lib64', exists: only('/opt/cuda/lib64/libcublas.so.13') }))
  t.notOk(finds({ libraryPath: '/a', exists: only('/opt/cuda/lib64/libcublas.so.13') }))
  t.ok(finds({ libraryPath: '/a:', exists: only('libcublas.so.13') }), 'an empty entry is the working directory')
  t.notOk(finds({ exists: only('libcublas.so.13') }))
  t.ok(finds({ exists: only('/usr/lib/x86_64-linux-gnu/libcublas.so.13') }))
  const cache = (line: string) => `2 libs found in cache\n\t${line}\n\tlibz.so.1 (libc6,x86-64) => /lib/libz.so.1\n`
  t.ok(finds({ cache: cache('libcublas.so.13 (libc6,x86-64) => /usr/local/cuda/lib64/libcublas.so.13') }))
  t.notOk(finds({ cache: cache('libcublas.so.12 (libc6,x86-64) => /usr/local/cuda/lib64/libcublas.so.12') }), 'another version')
  t.notOk(finds({ cache: cache('libcublas.so.13 (libc6) => /usr/lib32/libcublas.so.13') }), 'a 32-bit library')
})

t.test('this machine: what it tells of its loader is true', { skip: process.platform !== 'linux' && 'not Linux' }, async (t) => {
  t.ok(thisHost().finds('libstdc++.so.6'), 'Node itself links it')
  t.notOk(thisHost().finds('libno-such-library.so.1'))
})

t.test('the provider counts only beside a library of its own version', async (t) => {
  const root = temporaryFolder(t)
  const write = (name: string, text: string) => {
    mkdirSync(path.dirname(path.join(root, name)), { recursive: true })
    writeFileSync(path.join(root, name), text)
  }
  const library = path.join(root, 'build/cuda-provider/libonnxruntime.so.1')
  const versions = (provider: string, runtime: string) => {
    write('build/cuda-provider/setup.json', JSON.stringify({ onnxRuntime: provider }))
    write('node_modules/onnxruntime-node/package.json', JSON.stringify({ version: runtime }))
  }
  t.equal(cudaLibrary(root), undefined, 'nothing is there')
  versions('1.29.0', '1.29.0')
  t.equal(cudaLibrary(root), undefined, 'no libraries')
  write('build/cuda-provider/libonnxruntime.so.1', '')
  write('build/cuda-provider/libonnxruntime_providers_cuda.so', '')
  t.equal(cudaLibrary(root), library)
  versions('1.29.0', '1.30.0')
  t.equal(cudaLibrary(root), undefined, 'onnxruntime-node was updated since')
  versions('1.29.0', '1.29.0')
  rmSync(library)
  t.equal(cudaLibrary(root), undefined, 'npm ci took the library that the link names')
})
