#include "emulator.h"
#include <sys/mman.h>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <utility>
#include <vector>
#include "../native/harness.h"
#include "fiber.h"

namespace lorikeet::cuda {

Index threadIdx, blockIdx, gridDim;
uint32_t emulated_order = 0;
void (*before_grid)(CUstream_st* stream) = nullptr;
void (*host_value)(const char* what, const void* data, size_t bytes) = nullptr;

// Not inline, so that the compiler can fuse nothing of the caller's into them.
float fused(float a, float b, float c) { return std::fma(a, b, c); }
float product(float a, float b) { return a * b; }

namespace {

constexpr size_t kStack = 256 * 1024;  // of which a kernel touches a page or two

struct Thread {
  Fiber fiber;
  char* stack = nullptr;
  bool ended = false;
  uint64_t meetings = 0, barriers = 0;  // with its warp, with its block: that it has arrived at
};

struct Warp {
  uint32_t operands[2][32][6];
  MmaLane lanes[32];
  uint64_t arrived = 0;  // lanes, over all meetings
};

std::mutex one_grid;
Fiber caller;
std::vector<Thread> pool;  // grows, and is kept between grids
std::vector<Warp> warps;
std::vector<uint32_t> order;
size_t next_in_order;
uint32_t running, threads, left;
uint64_t at_barrier;
test::Random shuffler(0);
const std::function<void()>* body;

char* new_stack(size_t index) {
  void* memory = mmap(nullptr, kStack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) {
    std::fprintf(stderr, "emulator: no memory for the stack of thread %zu\n", index);
    std::abort();
  }
  return static_cast<char*>(memory);
}

bool ready(uint32_t t) {
  const Thread& thread = pool[t];
  return !thread.ended && warps[t / 32].arrived >= thread.meetings * 32 && at_barrier >= thread.barriers * threads;
}

// The next thread of the block that waits for nothing. Never returns when there is none: then some wait for others that never come.
uint32_t next_ready() {
  for (uint32_t tried = 0; tried < threads; tried++) {
    if (next_in_order == threads) {
      next_in_order = 0;
      if (emulated_order > 1)
        for (uint32_t t = threads; t-- > 1;) std::swap(order[t], order[shuffler.below(static_cast<int32_t>(t + 1))]);
    }
    const uint32_t t = order[next_in_order++];
    if (ready(t)) return t;
  }
  // A shuffle on the way may have put one where the search had been.
  for (uint32_t t = 0; t < threads; t++)
    if (ready(t)) return t;
  std::fprintf(stderr, "emulator: deadlock in block %u: some threads wait for others that have ended or wait elsewhere\n", blockIdx.x);
  std::abort();
}

void go_on_with(uint32_t next, Fiber& from) {
  running = next;
  threadIdx.x = next;
  from.switch_to(pool[next].fiber);
}

void pause() {
  const uint32_t me = running, next = next_ready();
  if (next != me) go_on_with(next, pool[me].fiber);
}

void enter() {
  (*body)();
  Thread& me = pool[running];
  me.ended = true;
  if (--left == 0)
    me.fiber.switch_to(caller);
  else
    go_on_with(next_ready(), me.fiber);
  std::abort();  // nobody switches to a thread that has ended
}

void run_block() {
  warps.assign((threads + 31) / 32, {});
  at_barrier = 0;
  left = threads;
  next_in_order = 0;
  order.resize(threads);
  shuffler = test::Random(emulated_order);
  for (uint32_t t = 0; t < threads; t++) order[t] = emulated_order == 1 ? threads - 1 - t : t;
  for (uint32_t t = 0; t < threads; t++) {
    Thread& thread = pool[t];
    thread.ended = false;
    thread.meetings = thread.barriers = 0;
    // Stacks that begin at the same place of their pages would fall into the same few lines of the cache.
    thread.fiber.start(thread.stack, kStack - t % 61 * 64, enter);
  }
  go_on_with(order[next_in_order++], caller);
}

}  // namespace

void __syncthreads() {
  pool[running].barriers++;
  at_barrier++;
  pause();
}

WarpOperands exchange(const uint32_t (&mine)[6]) {
  Thread& thread = pool[running];
  Warp& warp = warps[running / 32];
  auto& slot = warp.operands[thread.meetings % 2];
  std::memcpy(slot[running % 32], mine, sizeof mine);
  thread.meetings++;
  warp.arrived++;
  pause();
  return slot;
}

void gather(const MmaLane& mine, void (*all)(const MmaLane (&lanes)[32])) {
  Warp& warp = warps[running / 32];
  warp.lanes[running % 32] = mine;
  pool[running].meetings++;
  if (++warp.arrived % 32 == 0) all(warp.lanes);
  pause();
}

void run_grid(const Grid& grid, const std::function<void()>& thread) {
  if (before_grid) before_grid(grid.stream);
  const std::lock_guard<std::mutex> lock(one_grid);
  body = &thread;
  threads = grid.threads;
  gridDim.x = grid.blocks;
  while (pool.size() < threads) {
    pool.emplace_back();
    pool.back().stack = new_stack(pool.size());
  }
  for (uint32_t block = 0; block < grid.blocks; block++) {
    blockIdx.x = emulated_order == 1 ? grid.blocks - 1 - block : block;
    run_block();
  }
}

}  // namespace lorikeet::cuda
