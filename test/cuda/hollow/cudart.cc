// A hollow CUDA runtime: device memory is the host's, kernels do nothing, and everything else answers as on an H100. ONNX Runtime's real CUDA provider and
// the addon's real CUDA build run on it here: providers load, nodes are placed, shapes are checked, graphs are captured. What is computed is nothing.
// It holds the rules of stream capture (CUDA C++ Programming Guide, "CUDA Graphs"): a call that a capture forbids fails and spoils the capture.
// HOLLOW_LOG=FILE gets a line for every kernel, copy and capture.
#include <cuda_runtime_api.h>
#include <sys/mman.h>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <string>
#include <utility>
#include <vector>
#include "log.h"

struct CUstream_st {
  bool capturing = false, spoilt = false;
  cudaStreamCaptureMode mode = cudaStreamCaptureModeGlobal;
  int nodes = 0;
};
struct CUevent_st {
  bool recorded = false;
};
struct CUgraph_st {
  int nodes;
};
struct CUgraphExec_st {
  int nodes;
};

namespace {

constexpr size_t kTotal = size_t{80} << 30;
std::mutex lock;
std::map<void*, size_t> allocated, pinned;
size_t taken = 0;
std::map<const void*, std::string> kernels;
CUstream_st default_stream;
CUstream_st* capturing_stream = nullptr;
thread_local cudaStreamCaptureMode interaction = cudaStreamCaptureModeGlobal;
thread_local bool captures_here = false;
thread_local cudaError_t last = cudaSuccess;

// Null, cudaStreamLegacy and cudaStreamPerThread are one stream here.
CUstream_st* of(cudaStream_t stream) { return reinterpret_cast<uintptr_t>(stream) > 2 ? stream : &default_stream; }
cudaError_t fail(cudaError_t error) { return last = error; }

// Allocating, asking and waiting: what a capture somewhere may forbid to this thread.
cudaError_t unsafe(const char* call) {
  if (!capturing_stream || interaction == cudaStreamCaptureModeRelaxed) return cudaSuccess;
  const bool here = captures_here && capturing_stream->mode != cudaStreamCaptureModeRelaxed;
  const bool elsewhere = !captures_here && interaction == cudaStreamCaptureModeGlobal && capturing_stream->mode == cudaStreamCaptureModeGlobal;
  if (!here && !elsewhere) return cudaSuccess;
  hollow::log("FORBIDDEN %s while a graph is captured", call);
  capturing_stream->spoilt = true;
  return fail(cudaErrorStreamCaptureUnsupported);
}
cudaError_t waits(cudaStream_t stream, const char* call) {
  if (!of(stream)->capturing) return cudaSuccess;
  hollow::log("FORBIDDEN %s of the stream that is captured", call);
  of(stream)->spoilt = true;
  return fail(cudaErrorStreamCaptureUnsupported);
}
bool captured(cudaStream_t stream) {
  if (!of(stream)->capturing) return false;
  of(stream)->nodes++;
  return true;
}

cudaError_t take(std::map<void*, size_t>& from, void** data, size_t bytes, const char* call) {
  if (cudaError_t error = unsafe(call)) return error;
  const std::lock_guard guard(lock);
  if (taken + bytes > kTotal) return fail(cudaErrorMemoryAllocation);
  // Zeros that take no memory until they are written: a pool has most of a device's.
  *data = mmap(nullptr, bytes + 1, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (*data == MAP_FAILED) return fail(cudaErrorMemoryAllocation);
  from[*data] = bytes;
  if (&from == &allocated) taken += bytes;
  hollow::log("%s %zu", call, bytes);
  return cudaSuccess;
}
cudaError_t give(std::map<void*, size_t>& to, void* data, const char* call) {
  if (!data) return cudaSuccess;
  if (cudaError_t error = unsafe(call)) return error;
  const std::lock_guard guard(lock);
  const auto found = to.find(data);
  if (found == to.end()) return fail(cudaErrorInvalidValue);
  if (&to == &allocated) taken -= found->second;
  munmap(data, found->second + 1);
  to.erase(found);
  return cudaSuccess;
}
bool is_host(const void* p) {
  const std::lock_guard guard(lock);
  auto found = allocated.upper_bound(const_cast<void*>(p));
  if (found != allocated.begin() && static_cast<const char*>(p) < static_cast<char*>(std::prev(found)->first) + std::prev(found)->second) return false;
  found = pinned.upper_bound(const_cast<void*>(p));
  return found == pinned.begin() || static_cast<const char*>(p) >= static_cast<char*>(std::prev(found)->first) + std::prev(found)->second;
}
cudaError_t copy(void* to, const void* from, size_t bytes, cudaStream_t stream) {
  const bool in_graph = captured(stream);
  hollow::log("copy %zu%s%s", bytes, in_graph ? " captured" : "", in_graph && (is_host(to) || is_host(from)) ? " PAGEABLE" : "");
  if (!in_graph) std::memcpy(to, from, bytes);
  return cudaSuccess;
}

struct Configuration {
  dim3 grid, block;
  size_t shared;
  cudaStream_t stream;
};
thread_local std::vector<Configuration> configurations;

cudaError_t launch(const void* kernel, dim3 grid, dim3 block, cudaStream_t stream) {
  const bool in_graph = captured(stream);
  const auto found = kernels.find(kernel);
  hollow::log("kernel %s %ux%ux%u %ux%ux%u%s", found == kernels.end() ? "?" : found->second.c_str(), grid.x, grid.y, grid.z, block.x, block.y, block.z,
              in_graph ? " captured" : "");
  return cudaSuccess;
}

}  // namespace

extern "C" {

void** __cudaRegisterFatBinary(void*) {
  static void* handle = &handle;
  return &handle;
}
void __cudaRegisterFatBinaryEnd(void**) {}
void __cudaUnregisterFatBinary(void**) {}
void __cudaRegisterFunction(void**, const char* host, char*, const char* name, int, void*, void*, void*, void*, int*) { kernels[host] = name; }
void __cudaRegisterVar(void**, char*, char*, const char*, int, size_t, int, int) {}
unsigned __cudaPushCallConfiguration(dim3 grid, dim3 block, size_t shared, struct CUstream_st* stream) {
  configurations.push_back({grid, block, shared, stream});
  return 0;
}
cudaError_t __cudaPopCallConfiguration(dim3* grid, dim3* block, size_t* shared, void* stream) {
  const Configuration top = configurations.back();
  configurations.pop_back();
  *grid = top.grid;
  *block = top.block;
  *shared = top.shared;
  *static_cast<cudaStream_t*>(stream) = top.stream;
  return cudaSuccess;
}
cudaError_t __cudaGetKernel(cudaKernel_t* kernel, const void* host) {
  *kernel = reinterpret_cast<cudaKernel_t>(const_cast<void*>(host));
  return cudaSuccess;
}
cudaError_t __cudaLaunchKernel(cudaKernel_t kernel, dim3 grid, dim3 block, void**, size_t, cudaStream_t stream) {
  return launch(kernel, grid, block, stream);
}
cudaError_t cudaLaunchKernel(const void* kernel, dim3 grid, dim3 block, void**, size_t, cudaStream_t stream) { return launch(kernel, grid, block, stream); }
cudaError_t cudaLaunchKernelExC(const cudaLaunchConfig_t* c, const void* kernel, void**) { return launch(kernel, c->gridDim, c->blockDim, c->stream); }
cudaError_t cudaLaunchHostFunc(cudaStream_t stream, cudaHostFn_t function, void* data) {
  if (!captured(stream)) function(data);
  return cudaSuccess;
}

cudaError_t cudaGetDeviceCount(int* count) { return *count = 1, cudaSuccess; }
cudaError_t cudaGetDevice(int* device) { return *device = 0, cudaSuccess; }
cudaError_t cudaSetDevice(int) { return cudaSuccess; }
cudaError_t cudaDriverGetVersion(int* version) { return *version = CUDART_VERSION, cudaSuccess; }
cudaError_t cudaRuntimeGetVersion(int* version) { return *version = CUDART_VERSION, cudaSuccess; }
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* p, int) {
  std::memset(p, 0, sizeof *p);
  std::strcpy(p->name, "hollow (no GPU)");
  p->major = 9;
  p->totalGlobalMem = kTotal;
  p->multiProcessorCount = 132;
  p->warpSize = 32;
  p->maxThreadsPerBlock = 1024;
  p->maxThreadsPerMultiProcessor = 2048;
  p->maxBlocksPerMultiProcessor = 32;
  p->sharedMemPerBlock = 48 << 10;
  p->sharedMemPerBlockOptin = 227 << 10;
  p->sharedMemPerMultiprocessor = 228 << 10;
  p->regsPerBlock = p->regsPerMultiprocessor = 65536;
  p->l2CacheSize = 50 << 20;
  for (int i = 0; i < 3; i++) p->maxThreadsDim[i] = i < 2 ? 1024 : 64, p->maxGridSize[i] = i ? 65535 : 2147483647;
  return cudaSuccess;
}
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int) {
  cudaDeviceProp p;
  cudaGetDeviceProperties(&p, 0);
  switch (attribute) {
    case cudaDevAttrComputeCapabilityMajor: *value = p.major; break;
    case cudaDevAttrComputeCapabilityMinor: *value = p.minor; break;
    case cudaDevAttrMultiProcessorCount: *value = p.multiProcessorCount; break;
    case cudaDevAttrMaxThreadsPerBlock: *value = p.maxThreadsPerBlock; break;
    case cudaDevAttrMaxThreadsPerMultiProcessor: *value = p.maxThreadsPerMultiProcessor; break;
    case cudaDevAttrWarpSize: *value = p.warpSize; break;
    case cudaDevAttrMaxSharedMemoryPerBlock: *value = static_cast<int>(p.sharedMemPerBlock); break;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin: *value = static_cast<int>(p.sharedMemPerBlockOptin); break;
    case cudaDevAttrMaxSharedMemoryPerMultiprocessor: *value = static_cast<int>(p.sharedMemPerMultiprocessor); break;
    case cudaDevAttrL2CacheSize: *value = p.l2CacheSize; break;
    case cudaDevAttrMaxGridDimX: *value = p.maxGridSize[0]; break;
    default: *value = 1;
  }
  return cudaSuccess;
}
cudaError_t cudaDeviceSynchronize() { return unsafe("cudaDeviceSynchronize"); }
cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* a, const void*) {
  std::memset(a, 0, sizeof *a);
  a->numRegs = 64;
  a->maxThreadsPerBlock = 1024;
  a->binaryVersion = a->ptxVersion = 90;
  return cudaSuccess;
}
cudaError_t cudaFuncSetAttribute(const void*, cudaFuncAttribute, int) { return cudaSuccess; }
cudaError_t cudaKernelSetAttributeForDevice(cudaKernel_t, cudaFuncAttribute, int, int) { return cudaSuccess; }
cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int* blocks, const void*, int, size_t, unsigned) { return *blocks = 2, cudaSuccess; }
cudaError_t cudaGetDriverEntryPointByVersion(const char*, void** function, unsigned, unsigned long long, cudaDriverEntryPointQueryResult* found) {
  static const auto nothing = +[] { return 0; };
  *function = reinterpret_cast<void*>(nothing);
  if (found) *found = cudaDriverEntryPointSuccess;
  return cudaSuccess;
}
cudaError_t cudaLibraryLoadData(cudaLibrary_t*, const void*, cudaJitOption*, void**, unsigned, cudaLibraryOption*, void**, unsigned) { return cudaSuccess; }
cudaError_t cudaLibraryUnload(cudaLibrary_t) { return cudaSuccess; }
cudaError_t cudaLibraryGetKernel(cudaKernel_t*, cudaLibrary_t, const char*) { return cudaSuccess; }

const char* cudaGetErrorName(cudaError_t error) { return error ? "cudaError (hollow)" : "cudaSuccess"; }
const char* cudaGetErrorString(cudaError_t error) {
  switch (error) {
    case cudaSuccess: return "no error";
    case cudaErrorMemoryAllocation: return "out of memory";
    case cudaErrorStreamCaptureUnsupported: return "operation not permitted when stream is capturing";
    case cudaErrorStreamCaptureInvalidated: return "operation failed due to a previous error during capture";
    default: return "an error";
  }
}
cudaError_t cudaGetLastError() { return std::exchange(last, cudaSuccess); }
cudaError_t cudaPeekAtLastError() { return last; }

cudaError_t cudaMalloc(void** data, size_t bytes) { return take(allocated, data, bytes, "cudaMalloc"); }
cudaError_t cudaFree(void* data) { return give(allocated, data, "cudaFree"); }
cudaError_t cudaHostAlloc(void** data, size_t bytes, unsigned) { return take(pinned, data, bytes, "cudaHostAlloc"); }
cudaError_t cudaMallocHost(void** data, size_t bytes) { return take(pinned, data, bytes, "cudaMallocHost"); }
cudaError_t cudaFreeHost(void* data) { return give(pinned, data, "cudaFreeHost"); }
cudaError_t cudaHostRegister(void* data, size_t bytes, unsigned) {
  if (cudaError_t error = unsafe("cudaHostRegister")) return error;
  const std::lock_guard guard(lock);
  if (!pinned.emplace(data, bytes).second) return fail(cudaErrorHostMemoryAlreadyRegistered);
  return cudaSuccess;
}
cudaError_t cudaHostUnregister(void* data) {
  if (cudaError_t error = unsafe("cudaHostUnregister")) return error;
  const std::lock_guard guard(lock);
  return pinned.erase(data) ? cudaSuccess : fail(cudaErrorHostMemoryNotRegistered);
}
cudaError_t cudaMemGetInfo(size_t* free, size_t* total) {
  if (cudaError_t error = unsafe("cudaMemGetInfo")) return error;
  const std::lock_guard guard(lock);
  return *total = kTotal, *free = kTotal - taken, cudaSuccess;
}
cudaError_t cudaMallocFromPoolAsync(void** data, size_t bytes, cudaMemPool_t, cudaStream_t) { return take(allocated, data, bytes, "cudaMallocFromPoolAsync"); }
cudaError_t cudaFreeAsync(void* data, cudaStream_t) { return give(allocated, data, "cudaFreeAsync"); }
cudaError_t cudaMemPoolCreate(cudaMemPool_t*, const cudaMemPoolProps*) { return cudaSuccess; }
cudaError_t cudaMemPoolDestroy(cudaMemPool_t) { return cudaSuccess; }
cudaError_t cudaMemPoolGetAttribute(cudaMemPool_t, cudaMemPoolAttr, void*) { return cudaSuccess; }
cudaError_t cudaMemPoolSetAttribute(cudaMemPool_t, cudaMemPoolAttr, void*) { return cudaSuccess; }
cudaError_t cudaMemPoolTrimTo(cudaMemPool_t, size_t) { return cudaSuccess; }

cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind, cudaStream_t stream) { return copy(to, from, bytes, stream); }
cudaError_t cudaMemcpy(void* to, const void* from, size_t bytes, cudaMemcpyKind) {
  if (cudaError_t error = unsafe("cudaMemcpy")) return error;
  return copy(to, from, bytes, nullptr);
}
cudaError_t cudaMemcpy2DAsync(void* to, size_t to_pitch, const void* from, size_t from_pitch, size_t width, size_t height, cudaMemcpyKind,
                              cudaStream_t stream) {
  for (size_t row = 0; row < height; row++) copy(static_cast<char*>(to) + row * to_pitch, static_cast<const char*>(from) + row * from_pitch, width, stream);
  return cudaSuccess;
}
cudaError_t cudaMemcpyFromSymbol(void* to, const void*, size_t bytes, size_t, cudaMemcpyKind) { return std::memset(to, 0, bytes), cudaSuccess; }
cudaError_t cudaMemset(void* data, int value, size_t bytes) { return std::memset(data, value, bytes), cudaSuccess; }
cudaError_t cudaMemsetAsync(void* data, int value, size_t bytes, cudaStream_t stream) {
  if (!captured(stream)) std::memset(data, value, bytes);
  return cudaSuccess;
}

cudaError_t cudaStreamCreate(cudaStream_t* stream) { return *stream = new CUstream_st, cudaSuccess; }
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) { return cudaStreamCreate(stream); }
cudaError_t cudaStreamDestroy(cudaStream_t stream) { return delete stream, cudaSuccess; }
cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  if (cudaError_t error = waits(stream, "cudaStreamSynchronize")) return error;
  return unsafe("cudaStreamSynchronize");
}
cudaError_t cudaStreamWaitEvent(cudaStream_t, cudaEvent_t, unsigned) { return cudaSuccess; }
cudaError_t cudaStreamIsCapturing(cudaStream_t stream, cudaStreamCaptureStatus* status) {
  *status = !of(stream)->capturing ? cudaStreamCaptureStatusNone : of(stream)->spoilt ? cudaStreamCaptureStatusInvalidated : cudaStreamCaptureStatusActive;
  return cudaSuccess;
}
cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode) {
  if (!stream || stream->capturing) return fail(cudaErrorStreamCaptureUnsupported);
  *stream = {true, false, mode, 0};
  capturing_stream = stream;
  captures_here = true;
  hollow::log("capture begins, mode %d", mode);
  return cudaSuccess;
}
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  *graph = nullptr;
  if (!stream->capturing) return fail(cudaErrorIllegalState);
  const bool spoilt = stream->spoilt;
  stream->capturing = false;
  capturing_stream = nullptr;
  captures_here = false;
  hollow::log("capture ends, %d nodes%s", stream->nodes, spoilt ? ", SPOILT" : "");
  if (spoilt) return fail(cudaErrorStreamCaptureInvalidated);
  *graph = new CUgraph_st{stream->nodes};
  return cudaSuccess;
}
cudaError_t cudaThreadExchangeStreamCaptureMode(cudaStreamCaptureMode* mode) { return std::swap(*mode, interaction), cudaSuccess; }
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* exec, cudaGraph_t graph, unsigned long long) {
  return *exec = new CUgraphExec_st{graph->nodes}, cudaSuccess;
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t) { return hollow::log("replay, %d nodes", exec->nodes), cudaSuccess; }
cudaError_t cudaGraphDestroy(cudaGraph_t graph) { return delete graph, cudaSuccess; }
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec) { return delete exec, cudaSuccess; }

cudaError_t cudaEventCreate(cudaEvent_t* event) { return *event = new CUevent_st, cudaSuccess; }
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) { return cudaEventCreate(event); }
cudaError_t cudaEventDestroy(cudaEvent_t event) { return delete event, cudaSuccess; }
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) { return event->recorded = !captured(stream), cudaSuccess; }
cudaError_t cudaEventRecordWithFlags(cudaEvent_t event, cudaStream_t stream, unsigned flags) {
  if (of(stream)->capturing && flags != cudaEventRecordExternal) return fail(cudaErrorStreamCaptureUnsupported);
  return captured(stream), event->recorded = true, cudaSuccess;
}
cudaError_t cudaEventQuery(cudaEvent_t) { return unsafe("cudaEventQuery"); }
cudaError_t cudaEventSynchronize(cudaEvent_t) { return unsafe("cudaEventSynchronize"); }
cudaError_t cudaEventElapsedTime(float* ms, cudaEvent_t from, cudaEvent_t to) {
  return *ms = 0.01f, from->recorded && to->recorded ? cudaSuccess : fail(cudaErrorInvalidResourceHandle);
}

}  // extern "C"
