// Exceptions of tasks that run behind ONNX Runtime's C frames: none leaves a task, and the first is thrown to whoever started them.
#include "ops/task_guard.h"
#include <new>
#include "harness.h"

namespace lorikeet::test {
namespace {

struct Tasks {
  std::atomic<int> ran{0};
  static void count(void* data, size_t) { static_cast<Tasks*>(data)->ran++; }
  static void no_memory(void* data, size_t i) {
    static_cast<Tasks*>(data)->ran++;
    if (i == 3) throw std::bad_alloc();
    if (i > 3) throw std::runtime_error("a later one");
  }
};

}  // namespace

KERNEL_TEST(an_exception_of_a_task_is_thrown_after_all) {
  Tasks good;
  TaskGuard calm(Tasks::count, &good);
  for (size_t i = 0; i < 8; i++) TaskGuard::run(&calm, i);
  calm.rethrow();
  check(good.ran == 8, "tasks that throw nothing all run");

  Tasks bad;
  TaskGuard guard(Tasks::no_memory, &bad);
  for (size_t i = 0; i < 8; i++) TaskGuard::run(&guard, i);
  bool first = false;
  try {
    guard.rethrow();
  } catch (const std::bad_alloc&) {
    first = true;
  }
  check(first, "the first exception is the one");
  check(bad.ran == 4, "what comes after it is left out");

  Tasks many;
  TaskGuard on_all(Tasks::no_memory, &many);
  const Parallel parallel = on_threads(4);
  parallel.run(parallel.context, TaskGuard::run, 1000, &on_all);
  bool thrown = false;
  try {
    on_all.rethrow();
  } catch (const std::exception&) {
    thrown = true;
  }
  check(thrown, "on several threads at once too");
}

}  // namespace lorikeet::test
