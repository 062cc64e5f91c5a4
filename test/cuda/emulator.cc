#include "emulator.h"
#include <ucontext.h>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <vector>
#include "../native/harness.h"

namespace lorikeet::cuda {

Index threadIdx, blockIdx, gridDim;
uint32_t emulated_order = 0;

float F16::decode(uint16_t bits) {
  if ((bits & 0x7c00) == 0x7c00) return bits & 0x3ff ? NAN : bits & 0x8000 ? -INFINITY : INFINITY;
  return test::from_half(bits);
}
uint16_t F16::encode(float value) { return std::isnan(value) ? 0x7fff : test::to_half(value); }
float BF16::decode(uint16_t bits) { return test::from_bfloat(bits); }
uint16_t BF16::encode(float value) { return std::isnan(value) ? 0x7fff : test::to_bfloat(value); }

namespace {

constexpr size_t kStack = 256 * 1024;

struct Fiber {
  ucontext_t context;
  std::vector<char> stack;
  bool ended = false;
  uint64_t exchanges = 0, barriers = 0;  // that it has arrived at
};

struct Warp {
  uint32_t operands[2][32][6];
  uint64_t arrived = 0;  // lanes, over all exchanges
};

ucontext_t scheduler;
std::vector<std::unique_ptr<Fiber>> fibers;
std::vector<Warp> warps;
uint32_t running, threads;
uint64_t at_barrier;
const std::function<void()>* body;

void enter() {
  (*body)();
  fibers[running]->ended = true;
  swapcontext(&fibers[running]->context, &scheduler);
}

void pause() {
  const uint32_t me = running;
  swapcontext(&fibers[me]->context, &scheduler);
}

void run_block() {
  warps.assign((threads + 31) / 32, {});
  at_barrier = 0;
  std::vector<uint32_t> order(threads);
  for (uint32_t t = 0; t < threads; t++) order[t] = emulated_order == 1 ? threads - 1 - t : t;
  test::Random random(emulated_order);
  for (uint32_t t = 0; t < threads; t++) {
    if (fibers.size() <= t) fibers.push_back(std::make_unique<Fiber>());
    Fiber& fiber = *fibers[t];
    fiber.stack.resize(kStack);
    fiber.ended = false;
    fiber.exchanges = fiber.barriers = 0;
    getcontext(&fiber.context);
    fiber.context.uc_stack.ss_sp = fiber.stack.data();
    fiber.context.uc_stack.ss_size = kStack;
    fiber.context.uc_link = nullptr;
    makecontext(&fiber.context, enter, 0);
  }
  for (uint32_t left = threads, idle = 0; left > 0;) {
    if (emulated_order > 1)
      for (uint32_t t = threads; t-- > 1;) std::swap(order[t], order[random.below(static_cast<int32_t>(t + 1))]);
    uint64_t progress = 0;
    for (const uint32_t t : order) {
      Fiber& fiber = *fibers[t];
      if (fiber.ended) continue;
      // Waiting fibers are asked again only when what they wait for is complete.
      if (warps[t / 32].arrived < fiber.exchanges * 32 || at_barrier < fiber.barriers * threads) continue;
      running = t;
      threadIdx.x = t;
      progress++;
      swapcontext(&scheduler, &fiber.context);
      if (fiber.ended) left--;
    }
    idle = progress ? 0 : idle + 1;
    if (idle) {
      std::fprintf(stderr, "emulator: deadlock in block %u: some threads wait for others that have ended or wait elsewhere\n", blockIdx.x);
      std::abort();
    }
  }
}

}  // namespace

void __syncthreads() {
  fibers[running]->barriers++;
  at_barrier++;
  pause();
}

WarpOperands exchange(const uint32_t (&mine)[6]) {
  Fiber& fiber = *fibers[running];
  Warp& warp = warps[running / 32];
  auto& slot = warp.operands[fiber.exchanges % 2];
  std::memcpy(slot[running % 32], mine, sizeof mine);
  fiber.exchanges++;
  warp.arrived++;
  pause();
  return slot;
}

void run_grid(const Grid& grid, const std::function<void()>& thread) {
  body = &thread;
  threads = grid.threads;
  gridDim.x = grid.blocks;
  for (uint32_t block = 0; block < grid.blocks; block++) {
    blockIdx.x = emulated_order == 1 ? grid.blocks - 1 - block : block;
    run_block();
  }
}

}  // namespace lorikeet::cuda
