#include <cstdlib>
#include <ctime>
#include <mutex>
#include "bench.h"

namespace lorikeet::bench {
namespace {

class Threads {
 public:
  explicit Threads(int threads) {
    for (int i = 1; i < threads; i++) workers_.emplace_back([this] { serve(); });
  }
  ~Threads() {
    closing_ = true;
    wake();
    for (auto& worker : workers_) worker.join();
  }
  void rest() { resting_ = true; }
  void run(void (*task)(void*, size_t), size_t count, void* data) {
    if (resting_) wake();
    task_ = task;
    data_ = data;
    count_ = count;
    next_ = 0;
    busy_ = static_cast<int>(workers_.size());
    generation_++;
    take();
    while (busy_) {
    }
  }

 private:
  void take() {
    for (size_t i; (i = next_++) < count_;) task_(data_, i);
  }
  void wake() {
    resting_ = false;
    resting_.notify_all();
  }
  void serve() {
    int seen = 0;
    for (int round = 0; !closing_; round++) {
      if (resting_) resting_.wait(true);
      if (generation_ == seen) {
        if (round % 4096 == 0) std::this_thread::yield();
        continue;
      }
      seen++;
      take();
      busy_--;
    }
  }
  std::vector<std::thread> workers_;
  std::atomic<bool> closing_{false}, resting_{false};
  std::atomic<int> generation_{0}, busy_{0};
  std::atomic<size_t> next_{0};
  void (*task_)(void*, size_t) = nullptr;
  void* data_ = nullptr;
  size_t count_ = 0;
};

// Independent chains enough to hide the latency of an addition; the compiler fuses a · b + c.
template <typename Vector>
inline __attribute__((always_inline)) float chains(int64_t rounds) {
  constexpr int kChains = 12;
  Vector sums[kChains] = {};
  for (int c = 0; c < kChains; c++) sums[c] += float(c);  // else they would be one
  Vector factor = {}, more = {};
  factor += 0.999f;
  more += 0.001f;
  for (int64_t i = 0; i < rounds; i++)
#pragma GCC unroll 12
    for (int c = 0; c < kChains; c++) sums[c] = sums[c] * factor + more;
  float total = 0;
  for (int c = 0; c < kChains; c++) total += sums[c][0];
  return total;
}
typedef float Wide4 __attribute__((vector_size(16)));
float work4(int64_t rounds) { return chains<Wide4>(rounds); }
#if defined(__x86_64__)
typedef float Wide8 __attribute__((vector_size(32)));
typedef float Wide16 __attribute__((vector_size(64)));
__attribute__((target("avx2,fma"))) float work8(int64_t rounds) { return chains<Wide8>(rounds); }
__attribute__((target("avx512f,fma"))) float work16(int64_t rounds) { return chains<Wide16>(rounds); }
#endif

double flops(const Parallel& parallel) {
  int lanes = 4;
  float (*work)(int64_t) = work4;
#if defined(__x86_64__)
  const std::string name = kernels().name;
  if (name.starts_with("avx512")) lanes = 16, work = work16;
  if (name == "avx2") lanes = 8, work = work8;
#endif
  constexpr int64_t kRounds = 2000000;
  struct Job {
    float (*work)(int64_t);
    std::atomic<float> sink{0};
  } job;
  job.work = work;
  const double ms = least_ms(5, [&] {
    parallel.run(parallel.context, [](void* data, size_t) {
      auto& j = *static_cast<Job*>(data);
      j.sink = j.work(kRounds);
    }, static_cast<size_t>(parallel.threads), &job);
  }, parallel.threads);
  return 2.0 * 12 * lanes * kRounds * parallel.threads / ms;
}

// The sum of `count` numbers, with loads as wide as the kernels': narrower ones do not reach the memory's speed with one thread.
template <typename Vector>
inline __attribute__((always_inline)) uint64_t sum_of(const uint64_t* from, size_t count) {
  constexpr size_t kVectors = 8, kLanes = sizeof(Vector) / sizeof(uint64_t);
  Vector sums[kVectors] = {};
  for (size_t i = 0; i + kVectors * kLanes <= count; i += kVectors * kLanes)
#pragma GCC unroll 8
    for (size_t k = 0; k < kVectors; k++) sums[k] += *reinterpret_cast<const Vector*>(from + i + k * kLanes);
  uint64_t total = 0;
  for (const Vector& v : sums)
    for (size_t k = 0; k < kLanes; k++) total += v[k];
  return total;
}
typedef uint64_t Long2 __attribute__((vector_size(16), aligned(8), may_alias));
uint64_t sum2(const uint64_t* from, size_t count) { return sum_of<Long2>(from, count); }
#if defined(__x86_64__)
typedef uint64_t Long4 __attribute__((vector_size(32), aligned(8), may_alias));
typedef uint64_t Long8 __attribute__((vector_size(64), aligned(8), may_alias));
__attribute__((target("avx2"))) uint64_t sum4(const uint64_t* from, size_t count) { return sum_of<Long4>(from, count); }
__attribute__((target("avx512f"))) uint64_t sum8(const uint64_t* from, size_t count) { return sum_of<Long8>(from, count); }
#endif

double bandwidth(const Parallel& parallel) {
  struct Job {
    std::vector<uint64_t> big = std::vector<uint64_t>(size_t{64} << 20, 1);
    size_t parts = 0;
    uint64_t (*sum)(const uint64_t*, size_t) = sum2;
    std::atomic<uint64_t> sink{0};
  } job;
#if defined(__x86_64__)
  const std::string name = kernels().name;
  if (name.starts_with("avx512")) job.sum = sum8;
  if (name == "avx2") job.sum = sum4;
#endif
  job.parts = static_cast<size_t>(parallel.threads) * 4;
  const double ms = least_ms(7, [&] {
    parallel.run(parallel.context, [](void* data, size_t part) {
      auto& j = *static_cast<Job*>(data);
      const size_t size = j.big.size() / j.parts / 64 * 64;
      j.sink += j.sum(j.big.data() + part * size, size);
    }, job.parts, &job);
  }, parallel.threads);
  return double(job.big.size()) * 8 / ms;
}

}  // namespace

double now_ms(bool own) {
  timespec now{};
  clock_gettime(own ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC, &now);
  return double(now.tv_sec) * 1e3 + double(now.tv_nsec) * 1e-6;
}

double least_ms(int rounds, const std::function<void()>& work, int threads) {
  // Others on the machine lengthen a wall clock's time, and nothing of one thread's own.
  const bool own = threads == 1 || std::getenv("LORIKEET_BENCH_CPU_TIME") != nullptr;
  double least = 1e300;
  for (int i = 0; i < rounds; i++) {
    const double start = now_ms(own);
    work();
    least = std::min(least, now_ms(own) - start);
  }
  return least;
}

Parallel thread_pool(int threads) {
  static Threads pool(threads);
  Parallel p;
  p.threads = threads;
  p.context = &pool;
  p.run = [](void* context, void (*task)(void*, size_t), size_t count, void* data) { static_cast<Threads*>(context)->run(task, count, data); };
  return p;
}

void rest(const Parallel& parallel) { static_cast<Threads*>(parallel.context)->rest(); }

Machine measure_machine(const Parallel& parallel) { return {parallel.threads, bandwidth(parallel), flops(parallel)}; }

void report(const std::string& what, double ms, double floor_ms, const char* floor) {
  std::printf("| %-56s | %9.3f | %9.3f | %5.2f | %s |\n", what.c_str(), ms, floor_ms, ms / floor_ms, floor);
  std::fflush(stdout);
}

}  // namespace lorikeet::bench
