// Memory that each thread keeps from call to call.
#pragma once
#include <cstddef>

namespace lorikeet {

// One buffer a thread each: a function may hold several kinds at once, but a kind only once.
enum class Scratch { tasks, shared, lora, attention, spans, queries, positions, logits, row, linear, kinds };

// At least `bytes` of this thread's scratch of one kind, 64-byte aligned; contents are undefined. Defined in kernels.cc.
void* scratch_bytes(Scratch kind, size_t bytes);

template <typename T>
inline T* scratch(Scratch kind, size_t count) {
  return static_cast<T*>(scratch_bytes(kind, count * sizeof(T)));
}

}  // namespace lorikeet
