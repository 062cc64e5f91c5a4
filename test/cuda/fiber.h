// Fibers: one stack each, switched by hand. On x86-64 a switch saves seven registers and makes no system call (swapcontext makes one for the signal mask,
// which costs more than everything a thread of a kernel does between two barriers); elsewhere it is swapcontext. AddressSanitizer watches fibers as it
// is, given detect_stack_use_after_return=0; its own swapcontext would take thirty times as long, to clear what it knows of the whole stack.
#pragma once
#include <cstddef>
#if defined(__x86_64__)
#define LORIKEET_FAST_FIBERS 1
#else
#include <ucontext.h>
#endif

namespace lorikeet::cuda {

class Fiber {
 public:
  // The fiber of the calling thread itself: only to be switched from and back to.
  Fiber() = default;
  // Makes this fiber begin at `entry` on `stack` when it is next switched to. `entry` never returns: it switches away for good.
  void start(char* stack, size_t bytes, void (*entry)());
  // Stops this fiber here and goes on with `to`.
  void switch_to(Fiber& to);

 private:
#ifdef LORIKEET_FAST_FIBERS
  void* stack_pointer_ = nullptr;
#else
  ucontext_t context_;
#endif
};

}  // namespace lorikeet::cuda
