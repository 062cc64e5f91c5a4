#include "placement.h"
#include <pthread.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <climits>
#include <stdexcept>
#include <string>

namespace lorikeet {
namespace {

// linux/mempolicy.h: the nodes first, others when these are full. Since Linux 5.15.
constexpr int kPreferredMany = 5;

using Word = unsigned long;
constexpr size_t kWordBits = sizeof(Word) * CHAR_BIT;
constexpr size_t kMostNodes = 1024;

struct NodeMask {
  explicit NodeMask(const std::vector<int32_t>& nodes) {
    for (const int32_t node : nodes)
      if (node >= 0 && static_cast<size_t>(node) < kMostNodes) words[node / kWordBits] |= Word{1} << (node % kWordBits);
  }
  Word words[kMostNodes / kWordBits] = {};
};

}  // namespace

void pin_thread(int32_t cpu) {
  if (cpu < 0 || cpu >= CPU_SETSIZE) throw std::runtime_error("no thread can be pinned to CPU " + std::to_string(cpu));
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  if (pthread_setaffinity_np(pthread_self(), sizeof set, &set) != 0) throw std::runtime_error("this process may not use CPU " + std::to_string(cpu));
}

// The calls' last count is of bits and one more than is read.
void prefer_nodes(const std::vector<int32_t>& nodes) {
  if (nodes.empty()) return;
  const NodeMask mask(nodes);
  syscall(SYS_set_mempolicy, kPreferredMany, mask.words, kMostNodes + 1);
}

void prefer_nodes(const std::vector<int32_t>& nodes, void* data, size_t bytes) {
  if (nodes.empty()) return;
  const NodeMask mask(nodes);
  syscall(SYS_mbind, data, bytes, kPreferredMany, mask.words, kMostNodes + 1, 0u);
}

}  // namespace lorikeet
