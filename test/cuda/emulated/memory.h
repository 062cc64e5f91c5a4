// Memory of the emulated device: pages of the host between two that nobody may touch, given back to the system when freed, so that a kernel that
// leaves its buffer or uses it afterwards ends the process. New memory is 0xff throughout: NaN in every float type.
#pragma once
#include <cstddef>
#include <cstdint>

namespace lorikeet::device::emulated {

constexpr size_t kTotal = size_t{256} << 20;

enum class Place { device, pinned };
uint8_t* allocate(Place place, size_t bytes);
void release(uint8_t* data);
size_t device_bytes_in_use();
// Whether all of [data, data + bytes) lies in one live allocation of that place. Memory of the host that was pinned (register_host) counts as pinned.
bool inside(Place place, const void* data, size_t bytes);
// Throw std::runtime_error: already pinned, never pinned.
void register_host(uint8_t* data, size_t bytes);
void unregister_host(uint8_t* data);

}  // namespace lorikeet::device::emulated
