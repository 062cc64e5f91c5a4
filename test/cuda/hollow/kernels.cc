// Kernels: registered, named, their launches checked against an H100's limits, and not run.
#include <cctype>
#include <cstdlib>
#include <map>
#include <string>
#include <vector>
#include "hollow.h"
#include "product.h"

namespace hollow {
namespace {

constexpr size_t kShared = 48 << 10, kMostShared = 227 << 10;
std::map<const void*, const char*> kernels;
std::map<const void*, size_t> shared_limits;  // of kernels that asked for more dynamic shared memory

struct Configuration {
  dim3 grid, block;
  size_t shared;
  cudaStream_t stream;
};
thread_local std::vector<Configuration> configurations;

// The function's own name out of the mangled one: the last of the names before template arguments or parameters (Itanium C++ ABI, "nested-name").
std::string short_name(const char* mangled) {
  std::string name = mangled;
  const char* at = mangled;
  if (*at == '_' && at[1] == 'Z') at += at[2] == 'N' ? 3 : 2;
  while (std::isdigit(static_cast<unsigned char>(*at))) {
    char* text = nullptr;
    const size_t length = std::strtoul(at, &text, 10);
    name.assign(text, length);
    at = text + length;
  }
  return name;
}

cudaError_t launch(const void* kernel, dim3 grid, dim3 block, size_t shared, cudaStream_t stream) {
  if (const cudaError_t error = fault("kernel")) return error;
  const std::lock_guard guard(lock);
  const auto found = kernels.find(kernel);
  const auto limit = shared_limits.find(kernel);
  const size_t threads = size_t{block.x} * block.y * block.z;
  const bool fits = grid.x && grid.y && grid.z && threads && grid.x <= 2147483647u && grid.y <= 65535 && grid.z <= 65535 && threads <= 1024 && block.z <= 64;
  const bool has_shared = shared <= (limit == shared_limits.end() ? kShared : limit->second);
  const char* mark = "";
  if (!captured(stream, mark)) step_works(of(stream));
  log("kernel %s %ux%ux%u %ux%ux%u%s%s", found == kernels.end() ? "?" : short_name(found->second).c_str(), grid.x, grid.y, grid.z, block.x, block.y,
      block.z, fits && has_shared ? "" : " REFUSED", mark);
  return !fits ? fail(cudaErrorInvalidConfiguration) : !has_shared ? fail(cudaErrorInvalidValue) : cudaSuccess;
}

cudaError_t set_attribute(const void* kernel, cudaFuncAttribute attribute, int value) {
  if (attribute != cudaFuncAttributeMaxDynamicSharedMemorySize) return cudaSuccess;
  if (value < 0 || static_cast<size_t>(value) > kMostShared) return fail(cudaErrorInvalidValue);
  const std::lock_guard guard(lock);
  shared_limits[kernel] = value;
  return cudaSuccess;
}

}  // namespace
}  // namespace hollow

using namespace hollow;

extern "C" {

int hollow_product(const char* size, cudaStream_t stream) {
  if (const cudaError_t error = fault("kernel")) return error;
  const char* mark = "";
  if (!captured(stream, mark)) step_works(of(stream));
  log("product %s%s", size, mark);
  return cudaSuccess;
}

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
cudaError_t __cudaLaunchKernel(cudaKernel_t kernel, dim3 grid, dim3 block, void**, size_t shared, cudaStream_t stream) {
  return launch(kernel, grid, block, shared, stream);
}
cudaError_t cudaLaunchKernel(const void* kernel, dim3 grid, dim3 block, void**, size_t shared, cudaStream_t stream) {
  return launch(kernel, grid, block, shared, stream);
}
cudaError_t cudaLaunchKernelExC(const cudaLaunchConfig_t* c, const void* kernel, void**) {
  return launch(kernel, c->gridDim, c->blockDim, c->dynamicSmemBytes, c->stream);
}
cudaError_t cudaLaunchHostFunc(cudaStream_t stream, cudaHostFn_t function, void* data) {
  const char* mark = "";
  if (!captured(stream, mark)) function(data);
  log("host function%s", mark);
  return cudaSuccess;
}
cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* a, const void*) {
  *a = {};
  a->numRegs = 64;
  a->maxThreadsPerBlock = 1024;
  a->binaryVersion = a->ptxVersion = 90;
  return cudaSuccess;
}
cudaError_t cudaFuncSetAttribute(const void* kernel, cudaFuncAttribute attribute, int value) { return set_attribute(kernel, attribute, value); }
cudaError_t cudaKernelSetAttributeForDevice(cudaKernel_t kernel, cudaFuncAttribute attribute, int value, int) {
  return set_attribute(kernel, attribute, value);
}
cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int* blocks, const void*, int, size_t, unsigned) { return *blocks = 2, cudaSuccess; }
cudaError_t cudaLibraryLoadData(cudaLibrary_t*, const void*, cudaJitOption*, void**, unsigned, cudaLibraryOption*, void**, unsigned) { return cudaSuccess; }
cudaError_t cudaLibraryUnload(cudaLibrary_t) { return cudaSuccess; }
cudaError_t cudaLibraryGetKernel(cudaKernel_t*, cudaLibrary_t, const char*) { return cudaSuccess; }

}  // extern "C"
