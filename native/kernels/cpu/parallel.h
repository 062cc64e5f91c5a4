// Running tasks on the threads that a kernel is given.
#pragma once
#include "../kernels.h"
#include "scratch_memory.h"

namespace lorikeet::LORIKEET_ISA {

// Below this many multiply-adds (a few microseconds) waking other threads costs more than they save.
constexpr int64_t kWorthThreads = 32768;

// task(data, i) for i < count. `work`: multiply-adds of all together, roughly.
inline void parallel_for(const Parallel& parallel, void (*task)(void*, size_t), size_t count, void* data, int64_t work) {
  if (count <= 1 || parallel.threads <= 1 || work < kWorthThreads)
    for (size_t i = 0; i < count; i++) task(data, i);
  else
    parallel.run(parallel.context, task, count, data);
}

}  // namespace lorikeet::LORIKEET_ISA
