#include "threads.h"
#include <algorithm>
#include <atomic>
#include <system_error>
#include <thread>
#include <vector>

namespace lorikeet::fold {
namespace {

std::atomic<int> working{0};

// Some 150 µs of one thread; starting another takes about 30.
constexpr int64_t kWorthThread = 16'000'000;

void run(void* context, void (*task)(void*, size_t), size_t count, void* data) {
  std::atomic<size_t> next{0};
  const auto take = [&] {
    for (size_t i; (i = next++) < count;) task(data, i);
  };
  std::vector<std::thread> helpers;
  const size_t wanted = std::min(static_cast<size_t>(*static_cast<const int*>(context)), count);
  helpers.reserve(wanted);
  while (helpers.size() + 1 < wanted) try {
      helpers.emplace_back(take);
    } catch (const std::system_error&) {
      break;  // no thread to be had: those that are there do it
    }
  take();
  for (auto& helper : helpers) helper.join();
}

}  // namespace

Threads::Threads(int threads, int64_t work) {
  const int others = working.fetch_add(1);
  if (work >= kWorthThread) count_ = std::max(1, threads - others);
  working += count_ - 1;
}

Threads::~Threads() { working -= count_; }

Parallel Threads::parallel() const { return {count_, const_cast<int*>(&count_), run}; }

}  // namespace lorikeet::fold
