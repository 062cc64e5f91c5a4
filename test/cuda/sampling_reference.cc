// The CPU kernels' sources under a name of their own, in the vector type that every machine has: the checks link nothing of the addon.
#include "sampling_reference.h"
#include <memory>
#define LORIKEET_ISA checked
#include "kernels/cpu/vec_portable.h"
// Vec first: the kernels are written in terms of it.
#include "kernels/cpu/sampling.h"

namespace lorikeet {

void* scratch_bytes(Scratch kind, size_t bytes) {
  struct Buffer {
    std::unique_ptr<char[]> data;
    size_t bytes = 0;
  };
  static Buffer buffers[static_cast<int>(Scratch::kinds)];
  Buffer& buffer = buffers[static_cast<int>(kind)];
  if (buffer.bytes < bytes || !buffer.data) {
    buffer.bytes = bytes + 64;
    buffer.data = std::make_unique<char[]>(buffer.bytes);
  }
  return buffer.data.get();
}

namespace test {
void sample_on_cpu(const SampleArgs& args) { checked::sample(args, Parallel{}); }
}  // namespace test

}  // namespace lorikeet
