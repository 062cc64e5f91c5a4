// One thread that runs a session's steps: ONNX Runtime keeps captured graphs, and the handles they were made with, per thread.
#pragma once
#include <condition_variable>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <utility>

namespace lorikeet::cuda {

class StepThread {
 public:
  StepThread() : thread_([this] { loop(); }) {}
  StepThread(const StepThread&) = delete;
  ~StepThread() {
    {
      std::lock_guard lock(mutex_);
      ending_ = true;
    }
    changed_.notify_all();
    thread_.join();
  }
  // Runs `work` there and waits for it; what it throws is thrown here. One caller at a time.
  void run(const std::function<void()>& work) {
    std::unique_lock lock(mutex_);
    work_ = &work;
    changed_.notify_all();
    changed_.wait(lock, [&] { return !work_; });
    if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
  }

 private:
  void loop() {
    std::unique_lock lock(mutex_);
    for (;;) {
      changed_.wait(lock, [&] { return work_ || ending_; });
      if (!work_) return;
      try {
        (*work_)();
      } catch (...) {
        error_ = std::current_exception();
      }
      work_ = nullptr;
      changed_.notify_all();
    }
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  const std::function<void()>* work_ = nullptr;
  std::exception_ptr error_;
  bool ending_ = false;
  std::thread thread_;
};

}  // namespace lorikeet::cuda
