// The threads that run an engine's steps: one begins them, in order, and one waits for them, so that a device is given the next step while it computes one.
// ONNX Runtime keeps captured graphs, and the handles they were made with, per thread: the engine is made, run and ended on the first.
#pragma once
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include "engine.h"

namespace lorikeet {

// How a step ended.
struct Outcome {
  // dropped: it was queued behind one that failed, and would have gone on with tokens that were never sampled; it did not run.
  enum Kind { fine, failed_step, device_lost, dropped } kind = fine;
  std::string error;
  bool failed() const { return kind == failed_step || kind == device_lost; }
};

class Stepper {
 public:
  // Called on the second thread, in the steps' order.
  using Done = std::function<void(const Outcome& outcome)>;

  // Throws what `make` throws.
  explicit Stepper(const std::function<std::unique_ptr<Engine>()>& make);
  Stepper(const Stepper&) = delete;
  // Waits for the steps in flight.
  ~Stepper();

  Engine& engine() { return *engine_; }
  // `failures`: how many failed steps the caller knew of when it made this one; with fewer than there were, the step is dropped.
  void push(std::shared_ptr<Step> step, int64_t failures, Done done);

 private:
  struct Job {
    std::shared_ptr<Step> step;
    int64_t failures = 0;
    Done done;
    Outcome outcome = {};
  };
  // Runs `work` on the first thread and waits for it; what it throws is thrown here.
  void run(const std::function<void()>& work);
  void end();
  void launch_all();
  void finish_all();
  static Outcome attempt(const std::function<void()>& work);

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Job> queued_, launched_;
  const std::function<void()>* work_ = nullptr;
  std::exception_ptr thrown_;
  int64_t failures_ = 0, unfinished_ = 0;
  bool ending_ = false, ended_ = false;
  std::unique_ptr<Engine> engine_;
  std::thread launcher_, finisher_;
};

}  // namespace lorikeet
