#include "fiber.h"
#include <cstdint>

#ifdef LORIKEET_FAST_FIBERS
// void lorikeet_switch(void** from, void* to): System V's callee-saved registers on the old stack, the same from the new one.
asm(R"(
.text
.globl lorikeet_switch
.hidden lorikeet_switch
.type lorikeet_switch, @function
lorikeet_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size lorikeet_switch, .-lorikeet_switch
)");
extern "C" void lorikeet_switch(void** from, void* to);
#endif

namespace lorikeet::cuda {

#ifdef LORIKEET_FAST_FIBERS
void Fiber::start(char* stack, size_t bytes, void (*entry)()) {
  // `entry` finds the stack as a call leaves it: a return address (none) at a multiple of 16 less 8.
  auto* top = reinterpret_cast<uintptr_t*>(reinterpret_cast<uintptr_t>(stack + bytes) & ~uintptr_t{15});
  *--top = 0;
  *--top = reinterpret_cast<uintptr_t>(entry);
  for (int i = 0; i < 6; i++) *--top = 0;
  stack_pointer_ = top;
}

void Fiber::switch_to(Fiber& to) { lorikeet_switch(&stack_pointer_, to.stack_pointer_); }
#else
void Fiber::start(char* stack, size_t bytes, void (*entry)()) {
  getcontext(&context_);
  context_.uc_stack.ss_sp = stack;
  context_.uc_stack.ss_size = bytes;
  context_.uc_link = nullptr;
  makecontext(&context_, entry, 0);
}

void Fiber::switch_to(Fiber& to) { swapcontext(&context_, &to.context_); }
#endif

}  // namespace lorikeet::cuda
