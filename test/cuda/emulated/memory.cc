#include "memory.h"
#include <sys/mman.h>
#include <unistd.h>
#include <cstring>
#include <map>
#include <stdexcept>
#include <string>
#include "streams.h"

namespace lorikeet::device::emulated {
namespace {

struct Allocation {
  Place place;
  size_t bytes;
  void* pages;  // null: the host's own, pinned
  size_t mapped;
};

std::map<uint8_t*, Allocation>& allocations() {
  static std::map<uint8_t*, Allocation> all;
  return all;
}

// The allocation that holds `data`, or none.
std::map<uint8_t*, Allocation>::iterator holding(const void* data) {
  auto& all = allocations();
  auto after = all.upper_bound(static_cast<uint8_t*>(const_cast<void*>(data)));
  if (after == all.begin()) return all.end();
  --after;
  return static_cast<const uint8_t*>(data) - after->first < static_cast<ptrdiff_t>(after->second.bytes) ? after : all.end();
}

}  // namespace

uint8_t* allocate(Place place, size_t bytes) {
  const std::lock_guard guard(lock());
  if (place == Place::device && device_bytes_in_use() + bytes > kTotal)
    throw std::runtime_error("the device has no " + std::to_string(bytes) + " bytes left");
  const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  const size_t aligned = (bytes + 255) / 256 * 256, pages = (aligned + page - 1) / page * page, mapped = pages + 2 * page;
  auto* start = static_cast<uint8_t*>(mmap(nullptr, mapped, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  if (start == MAP_FAILED || mprotect(start + page, pages, PROT_READ | PROT_WRITE)) throw std::runtime_error("the host has no memory left");
  // The end at the page's end: what runs past it is seen at once.
  uint8_t* data = start + page + pages - aligned;
  std::memset(data, 0xff, bytes);
  allocations()[data] = {place, bytes, start, mapped};
  return data;
}

void release(uint8_t* data) {
  const std::lock_guard guard(lock());
  const auto found = allocations().find(data);
  // As cudaFree, which waits for the device.
  for (const auto& stream : streams())
    if (touched(data, found->second.bytes)) stream->run_to(stream->enqueued);
  munmap(found->second.pages, found->second.mapped);
  allocations().erase(found);
}

size_t device_bytes_in_use() {
  const std::lock_guard guard(lock());
  size_t bytes = 0;
  for (const auto& [data, allocation] : allocations())
    if (allocation.place == Place::device) bytes += allocation.bytes;
  return bytes;
}

bool inside(Place place, const void* data, size_t bytes) {
  const std::lock_guard guard(lock());
  const auto found = holding(data);
  return found != allocations().end() && found->second.place == place &&
         static_cast<const uint8_t*>(data) + bytes <= found->first + found->second.bytes;
}

void register_host(uint8_t* data, size_t bytes) {
  const std::lock_guard guard(lock());
  // CUDA refuses ranges that overlap pages pinned already; the same range twice is the mistake that code makes.
  if (allocations().contains(data)) throw std::runtime_error("pinning memory: it is pinned already");
  allocations()[data] = {Place::pinned, bytes, nullptr, 0};
}

void unregister_host(uint8_t* data) {
  const std::lock_guard guard(lock());
  const auto found = allocations().find(data);
  if (found == allocations().end() || found->second.pages) throw std::runtime_error("unpinning memory: it is not pinned");
  if (touched(data, found->second.bytes)) throw std::runtime_error("unpinning memory: a copy from it has not run yet");
  allocations().erase(found);
}

}  // namespace lorikeet::device::emulated
