#include "streams.h"
#include <utility>

void CUstream_st::add(Work work, bool later) {
  waiting.push_back(std::move(work));
  enqueued++;
  if (!later) run_to(enqueued);
}

void CUstream_st::run_to(uint64_t place) {
  while (done < place) {
    Work work = std::move(waiting.front());
    waiting.pop_front();
    done++;
    work.run();
  }
}

namespace lorikeet::device::emulated {

std::recursive_mutex& lock() {
  static std::recursive_mutex one;
  return one;
}

std::vector<std::shared_ptr<CUstream_st>>& streams() {
  static std::vector<std::shared_ptr<CUstream_st>> all;
  return all;
}

bool touched(const uint8_t* data, size_t bytes) {
  auto overlaps = [&](const uint8_t* start, size_t length) { return start && start < data + bytes && data < start + length; };
  for (const auto& stream : streams())
    for (const CUstream_st::Work& work : stream->waiting)
      if (overlaps(work.from, work.bytes) || overlaps(work.to, work.bytes)) return true;
  return false;
}

bool& beside() {
  thread_local bool is_beside = false;
  return is_beside;
}

}  // namespace lorikeet::device::emulated
