// Tasks that may throw, run by frames that an exception must not cross (ONNX Runtime's are C): the first exception is kept, and thrown where all are done.
#pragma once
#include <atomic>
#include <cstddef>
#include <exception>

namespace lorikeet {

class TaskGuard {
 public:
  TaskGuard(void (*task)(void*, size_t), void* data) : task_(task), data_(data) {}
  // task(data, i), in the shape of a task whose data is the guard. After a task has thrown the rest are skipped: their results are nobody's.
  static void run(void* guard, size_t i) noexcept {
    auto& self = *static_cast<TaskGuard*>(guard);
    if (self.failed_.load(std::memory_order_relaxed)) return;
    try {
      self.task_(self.data_, i);
    } catch (...) {
      if (!self.failed_.exchange(true)) self.first_ = std::current_exception();
    }
  }
  // Once every task has returned.
  void rethrow() const {
    if (first_) std::rethrow_exception(first_);
  }

 private:
  void (*task_)(void*, size_t);
  void* data_;
  std::atomic<bool> failed_ = false;
  std::exception_ptr first_;
};

}  // namespace lorikeet
