// Threads for the folding of adapters. Several loads may be under way: each call takes only the cores that the others leave.
#pragma once
#include <cstdint>
#include "../kernels/kernels.h"

namespace lorikeet::fold {

// What an element that is only read or written costs, in multiply-adds of a product.
constexpr int64_t kElementWork = 32;

// Counts this call among those that are working, for as long as it lives, and takes up to `threads` threads, itself included, where `work` multiply-adds are worth it.
// On Linux new threads have their maker's priority, which loader threads have lowered.
class Threads {
 public:
  Threads(int threads, int64_t work);
  Threads(const Threads&) = delete;
  ~Threads();
  Parallel parallel() const;

 private:
  int count_ = 1;
};

// task(i) for i < count on those threads.
template <typename Task>
void each(const Threads& threads, int64_t count, const Task& task) {
  const Parallel p = threads.parallel();
  p.run(p.context, [](void* data, size_t i) { (*static_cast<const Task*>(data))(static_cast<int64_t>(i)); }, static_cast<size_t>(count),
        const_cast<Task*>(&task));
}

}  // namespace lorikeet::fold
