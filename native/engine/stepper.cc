#include "stepper.h"
#include <utility>

namespace lorikeet {

Stepper::Stepper(const std::function<std::unique_ptr<Engine>()>& make) : launcher_([this] { launch_all(); }), finisher_([this] { finish_all(); }) {
  try {
    run([&] { engine_ = make(); });
  } catch (...) {
    end();
    throw;
  }
}

Stepper::~Stepper() { end(); }

void Stepper::end() {
  {
    std::lock_guard lock(mutex_);
    ending_ = true;
  }
  changed_.notify_all();
  finisher_.join();  // all steps are finished by then
  run([this] { engine_.reset(); });
  {
    std::lock_guard lock(mutex_);
    ended_ = true;
  }
  changed_.notify_all();
  launcher_.join();
}

void Stepper::run(const std::function<void()>& work) {
  std::unique_lock lock(mutex_);
  work_ = &work;
  changed_.notify_all();
  changed_.wait(lock, [&] { return !work_; });
  if (thrown_) std::rethrow_exception(std::exchange(thrown_, nullptr));
}

void Stepper::push(std::shared_ptr<Step> step, int64_t failures, Done done) {
  {
    std::lock_guard lock(mutex_);
    queued_.push_back({std::move(step), failures, std::move(done)});
    unfinished_++;
  }
  changed_.notify_all();
}

void Stepper::launch_all() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [&] { return work_ || ended_ || !queued_.empty(); });
    if (work_) {
      try {
        (*work_)();
      } catch (...) {
        thrown_ = std::current_exception();
      }
      work_ = nullptr;
      changed_.notify_all();
    } else if (!queued_.empty()) {
      Job job = std::move(queued_.front());
      queued_.pop_front();
      if (job.failures < failures_) job.outcome = {Outcome::dropped, "a step before it failed"};
      lock.unlock();
      if (job.outcome.kind == Outcome::fine) job.outcome = attempt([&] { engine_->launch(*job.step); });
      lock.lock();
      if (job.outcome.failed()) failures_++;
      launched_.push_back(std::move(job));
      changed_.notify_all();
    } else {
      return;
    }
  }
}

void Stepper::finish_all() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [&] { return !launched_.empty() || (ending_ && unfinished_ == 0); });
    if (launched_.empty()) return;
    Job job = std::move(launched_.front());
    launched_.pop_front();
    lock.unlock();
    if (job.outcome.kind == Outcome::fine) {
      job.outcome = attempt([&] { engine_->finish(*job.step); });
      if (job.outcome.failed()) {
        std::lock_guard again(mutex_);
        failures_++;
      }
    }
    job.done(job.outcome);
    lock.lock();
    unfinished_--;
  }
}

Outcome Stepper::attempt(const std::function<void()>& work) {
  try {
    work();
    return {};
  } catch (const DeviceLost& e) {
    return {Outcome::device_lost, e.what()};
  } catch (const std::exception& e) {
    return {Outcome::failed_step, e.what()};
  }
}

}  // namespace lorikeet
