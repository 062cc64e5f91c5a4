// Runs of rows whose deltas a thread computes one after another, and the lines of memory that it will read for them.
#pragma once
#include <algorithm>
#include "../kernels.h"

namespace lorikeet::LORIKEET_ISA {

// A run of rows of one segment, and where its h lies.
struct LoraTask {
  const LoraSegment* segment;
  int64_t row, rows, rank;  // rank: of all entries and products together
  int64_t before;           // work of the runs before it

  // One row of one plain LoRA a product: then every line of its rank rows is read exactly once, A's of all products before B's.
  bool streams(int32_t products) const {
    if (rows != 1 || segment->entry_count != 1) return false;
    for (int32_t p = 0; p < products; p++)
      if (const SiteDelta* d = segment->entries[0].delta[p]; d && (!d->b || d->out_scale || d->bias)) return false;
    return true;
  }
};

// The lines of a thread's runs of one row in the order in which they are read, asked for kLead lines before that: rank rows are too short for the processor to see a
// stream coming, and fetching one step of the tiles ahead comes later than memory answers.
class Lines {
 public:
  static constexpr int64_t kLead = 512;

  // task … end: [n] runs, of which those that stream count.
  Lines(const LoraArgs& args, int64_t element_bytes, const LoraTask* task, const LoraTask* end) : args_(args), element_bytes_(element_bytes), task_(task), end_(end) {
    fetch(kLead);
  }

  // Called as so many lines are read.
  void fetch(int64_t count) {
    while (count > 0) {
      if (left_ == 0 && !next_row()) return;
      const int64_t n = std::min(count, left_);
      for (int64_t i = 0; i < n; i++) __builtin_prefetch(at_ + 64 * i, 0, 3);
      at_ += 64 * n;
      left_ -= n;
      count -= n;
    }
  }

 private:
  bool next_row() {
    const int32_t products = args_.products;
    for (; task_ < end_; task_++, part_ = 0) {
      if (part_ == 0 && row_ == 0 && !task_->streams(products)) continue;
      for (; part_ < 2 * products; part_++, row_ = 0) {
        const int32_t p = part_ % products;
        const SiteDelta* d = task_->segment->entries[0].delta[p];
        if (!d || row_ == d->rank) continue;
        at_ = static_cast<const char*>((part_ < products ? d->a : d->b)[row_++]);
        left_ = ((part_ < products ? args_.in : args_.out[p]) * element_bytes_ + 63) / 64;
        return true;
      }
    }
    return false;
  }

  const LoraArgs& args_;
  const int64_t element_bytes_;
  const LoraTask* task_;
  const LoraTask* const end_;
  int32_t part_ = 0, row_ = 0;  // of A's rows of all products, then B's; the next row
  const char* at_ = nullptr;
  int64_t left_ = 0;
};

}  // namespace lorikeet::LORIKEET_ISA
