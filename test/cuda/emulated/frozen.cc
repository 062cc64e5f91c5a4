#include "frozen.h"
#include <cstring>
#include <map>
#include <mutex>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>
#include "memory.h"

namespace lorikeet::device::emulated {
namespace {

struct Value {
  std::string what;
  std::vector<uint8_t> bytes;
};
using Record = std::vector<Value>;

struct Run {
  Record* record = nullptr;  // null: not captured
  bool first = false;
  size_t at = 0;
};

Run& current() {
  thread_local Run run;
  return run;
}

// Where an activation may lie on x86-64 and AArch64 Linux: heaps and mappings are at the upper end of the lower half. Two 32-bit numbers that look
// like that have 0x5000 to 0x7fff as the upper one.
bool is_activation(uint64_t word) {
  return word >= uint64_t{0x500000000000} && word < uint64_t{0x800000000000} &&
         !inside(Place::device, reinterpret_cast<const void*>(word), 1) && !inside(Place::pinned, reinterpret_cast<const void*>(word), 1);
}

bool same(const std::vector<uint8_t>& then, const uint8_t* now) {
  size_t i = 0;
  for (; i + 8 <= then.size(); i += 8) {
    uint64_t a, b;
    std::memcpy(&a, then.data() + i, 8);
    std::memcpy(&b, now + i, 8);
    if (a != b && !(is_activation(a) && is_activation(b))) return false;
  }
  return std::memcmp(then.data() + i, now + i, then.size() - i) == 0;
}

std::map<std::pair<const void*, int32_t>, Record> records;  // by session and graph
std::mutex mutex;

[[noreturn]] void differs(const std::string& how) {
  current() = {};
  throw std::runtime_error("a captured graph would go wrong at its replay: " + how);
}

}  // namespace

void captured_run_begins(const void* session, int32_t graph) {
  current() = {};
  if (graph <= 0) return;
  const std::lock_guard guard(mutex);
  const auto [record, is_new] = records.try_emplace({session, graph});
  current() = {&record->second, is_new, 0};
}

void captured_run_ends() {
  const Run run = std::exchange(current(), {});
  if (run.record && !run.first && run.at != run.record->size()) differs((*run.record)[run.at].what + " is missing");
}

void captured_graph_released(const void* session, int32_t graph) {
  const std::lock_guard guard(mutex);
  if (!records.erase({session, graph})) throw std::runtime_error("graph " + std::to_string(graph) + " is given back and was never captured");
}

void captured_session_ended(const void* session) {
  const std::lock_guard guard(mutex);
  std::erase_if(records, [&](const auto& record) { return record.first.first == session; });
}

void captured_run_abandoned() { current() = {}; }

void frozen_bytes(const char* what, const void* data, size_t bytes) {
  Run& run = current();
  if (!run.record) return;
  const auto* now = static_cast<const uint8_t*>(data);
  if (run.first) {
    run.record->push_back({what, {now, now + bytes}});
    return;
  }
  if (run.at == run.record->size()) differs(std::string(what) + " comes after all that the first run had");
  const Value& then = (*run.record)[run.at++];
  if (then.what != what || then.bytes.size() != bytes) differs(std::string(what) + " instead of " + then.what);
  if (!same(then.bytes, now)) differs("item " + std::to_string(run.at) + ", " + what + ", is not what it was when it was captured");
}

}  // namespace lorikeet::device::emulated
