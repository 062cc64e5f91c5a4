// Device and pinned memory, and copies. Memory is zeros that take no room until they are written: a pool has most of a device's.
#include <sys/mman.h>
#include <cstring>
#include <iterator>
#include <map>
#include "hollow.h"

namespace hollow {
namespace {

constexpr size_t kTotal = size_t{80} << 30;
// What a context and the provider's kernels take.
constexpr size_t kContext = size_t{600} << 20;
constexpr size_t kPage = size_t{2} << 20, kPiece = 512;

std::map<const void*, size_t> allocated, pinned;
size_t taken = kContext;
uint64_t frees = 0;

// What an allocation takes of the device.
size_t rounded(size_t bytes) {
  const size_t step = bytes >= kPage / 2 ? kPage : kPiece;
  return (bytes + step - 1) / step * step;
}

cudaError_t take(std::map<const void*, size_t>& from, void** data, size_t bytes, const char* call) {
  if (const cudaError_t error = unsafe(call)) return error;
  if (const cudaError_t error = fault(call)) return error;
  const std::lock_guard guard(lock);
  const bool on_device = &from == &allocated;
  if (on_device && taken + rounded(bytes) > kTotal) return fail(cudaErrorMemoryAllocation);
  *data = mmap(nullptr, bytes + 1, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (*data == MAP_FAILED) return fail(cudaErrorMemoryAllocation);
  from[*data] = bytes;
  if (on_device) taken += rounded(bytes);
  log("%s %zu", call, bytes);
  return cudaSuccess;
}

cudaError_t give(std::map<const void*, size_t>& to, void* data, const char* call) {
  if (!data) return cudaSuccess;
  if (const cudaError_t error = unsafe(call)) return error;
  if (const cudaError_t error = fault(call)) return error;
  const std::lock_guard guard(lock);
  const auto found = to.find(data);
  if (found == to.end()) return fail(cudaErrorInvalidValue);
  log("%s %zu", call, found->second);
  if (&to == &allocated) taken -= rounded(found->second), frees++;
  munmap(data, found->second + 1);
  to.erase(found);
  return cudaSuccess;
}

bool begins_in(const std::map<const void*, size_t>& memory, const void* p, size_t bytes, bool& inside) {
  const auto after = memory.upper_bound(p);
  if (after == memory.begin()) return false;
  const auto [begin, size] = *std::prev(after);
  const size_t at = static_cast<const char*>(p) - static_cast<const char*>(begin);
  if (at >= size) return false;
  inside = at + bytes <= size;
  return true;
}

cudaError_t copy(void* to, const void* from, size_t bytes, cudaMemcpyKind kind, cudaStream_t stream, const char* call) {
  if (const cudaError_t error = fault(call)) return error;
  if (!bytes) return cudaSuccess;
  bool to_inside = true, from_inside = true;
  const Place there = place_of(to, bytes, to_inside), here = place_of(from, bytes, from_inside);
  const bool to_device = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
  const bool from_device = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
  const bool wrong = kind != cudaMemcpyDefault && (to_device != (there == Place::device) || from_device != (here == Place::device));
  const char* mark = "";
  const bool in_graph = captured(stream, mark);
  const bool refused = wrong || !to_inside || !from_inside;
  log("copy %zu%s%s%s%s", bytes, there == Place::device ? here == Place::device ? " on the device" : " to the device" : " to the host",
      there == Place::pageable || here == Place::pageable ? " PAGEABLE" : "", refused ? " REFUSED" : "", mark);
  if (refused) return fail(cudaErrorInvalidValue);
  if (!in_graph) std::memcpy(to, from, bytes);
  if (!in_graph && to_device && !from_device) step_begins(of(stream));
  return cudaSuccess;
}

cudaError_t clear(void* data, int value, size_t bytes, cudaStream_t stream, const char* call) {
  if (const cudaError_t error = fault(call)) return error;
  bool inside = true;
  const char* mark = "";
  const bool in_graph = captured(stream, mark), refused = bytes && (place_of(data, bytes, inside) == Place::pageable || !inside);
  log("clear %zu%s%s", bytes, refused ? " REFUSED" : "", mark);
  if (refused) return fail(cudaErrorInvalidValue);
  if (!in_graph) std::memset(data, value, bytes);
  return cudaSuccess;
}

}  // namespace

uint64_t device_frees() {
  const std::lock_guard guard(lock);
  return frees;
}

Place place_of(const void* p, size_t bytes, bool& inside) {
  const std::lock_guard guard(lock);
  if (begins_in(allocated, p, bytes, inside)) return Place::device;
  return begins_in(pinned, p, bytes, inside) ? Place::pinned : Place::pageable;
}

}  // namespace hollow

using namespace hollow;

extern "C" {

cudaError_t cudaMalloc(void** data, size_t bytes) { return take(allocated, data, bytes, "cudaMalloc"); }
cudaError_t cudaFree(void* data) { return give(allocated, data, "cudaFree"); }
cudaError_t cudaHostAlloc(void** data, size_t bytes, unsigned) { return take(pinned, data, bytes, "cudaHostAlloc"); }
cudaError_t cudaMallocHost(void** data, size_t bytes) { return take(pinned, data, bytes, "cudaMallocHost"); }
cudaError_t cudaFreeHost(void* data) { return give(pinned, data, "cudaFreeHost"); }
cudaError_t cudaMallocFromPoolAsync(void** data, size_t bytes, cudaMemPool_t, cudaStream_t) { return take(allocated, data, bytes, "cudaMallocFromPoolAsync"); }
cudaError_t cudaFreeAsync(void* data, cudaStream_t) { return give(allocated, data, "cudaFreeAsync"); }
cudaError_t cudaHostRegister(void* data, size_t bytes, unsigned) {
  if (const cudaError_t error = unsafe("cudaHostRegister")) return error;
  if (const cudaError_t error = fault("cudaHostRegister")) return error;
  const std::lock_guard guard(lock);
  log("cudaHostRegister %zu", bytes);
  return pinned.emplace(data, bytes).second ? cudaSuccess : fail(cudaErrorHostMemoryAlreadyRegistered);
}
cudaError_t cudaHostUnregister(void* data) {
  if (const cudaError_t error = unsafe("cudaHostUnregister")) return error;
  if (const cudaError_t error = fault("cudaHostUnregister")) return error;
  const std::lock_guard guard(lock);
  return pinned.erase(data) ? cudaSuccess : fail(cudaErrorHostMemoryNotRegistered);
}
cudaError_t cudaMemGetInfo(size_t* free, size_t* total) {
  if (const cudaError_t error = unsafe("cudaMemGetInfo")) return error;
  const std::lock_guard guard(lock);
  *total = kTotal;
  *free = kTotal - taken;
  return cudaSuccess;
}
cudaError_t cudaMemPoolCreate(cudaMemPool_t*, const cudaMemPoolProps*) { return cudaSuccess; }
cudaError_t cudaMemPoolDestroy(cudaMemPool_t) { return cudaSuccess; }
cudaError_t cudaMemPoolGetAttribute(cudaMemPool_t, cudaMemPoolAttr, void*) { return cudaSuccess; }
cudaError_t cudaMemPoolSetAttribute(cudaMemPool_t, cudaMemPoolAttr, void*) { return cudaSuccess; }
cudaError_t cudaMemPoolTrimTo(cudaMemPool_t, size_t) { return cudaSuccess; }

cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind, cudaStream_t stream) {
  return copy(to, from, bytes, kind, stream, "cudaMemcpyAsync");
}
cudaError_t cudaMemcpy(void* to, const void* from, size_t bytes, cudaMemcpyKind kind) {
  if (const cudaError_t error = unsafe("cudaMemcpy")) return error;
  return copy(to, from, bytes, kind, nullptr, "cudaMemcpy");
}
cudaError_t cudaMemcpy2DAsync(void* to, size_t to_pitch, const void* from, size_t from_pitch, size_t width, size_t height, cudaMemcpyKind kind,
                              cudaStream_t stream) {
  for (size_t row = 0; row < height; row++)
    if (const cudaError_t error = copy(static_cast<char*>(to) + row * to_pitch, static_cast<const char*>(from) + row * from_pitch, width, kind, stream,
                                       "cudaMemcpy2DAsync"))
      return error;
  return cudaSuccess;
}
cudaError_t cudaMemcpyFromSymbol(void* to, const void*, size_t bytes, size_t, cudaMemcpyKind) {
  if (const cudaError_t error = unsafe("cudaMemcpyFromSymbol")) return error;
  std::memset(to, 0, bytes);
  return cudaSuccess;
}
cudaError_t cudaMemset(void* data, int value, size_t bytes) {
  if (const cudaError_t error = unsafe("cudaMemset")) return error;
  return clear(data, value, bytes, nullptr, "cudaMemset");
}
cudaError_t cudaMemsetAsync(void* data, int value, size_t bytes, cudaStream_t stream) { return clear(data, value, bytes, stream, "cudaMemsetAsync"); }

}  // extern "C"
