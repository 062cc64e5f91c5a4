// What constraints allow next, as the threads that make masks write it into shared memory: a region per thread, in it a place per slot, which holds a ticket and
// then a bit per token id, the lowest first. A mask is the step's once its ticket is the one that the step names; the ticket is written last.
#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

namespace lorikeet {

// Statuses of a row of logits that was not sampled (StepOutput::rowStatus in native/types.ts); 1 is the kernels'.
inline constexpr uint8_t kMaskLate = 2, kNothingAllowed = 3, kNotReached = 4;

// A sequence's place, and the ticket that it must have; `place` is null for one without a constraint.
struct MaskAt {
  const uint32_t* place = nullptr;
  uint32_t ticket = 0;
};

class MaskRegions {
 public:
  MaskRegions(int32_t slots, int64_t vocab) : slots_(slots), words_((vocab + 31) / 32) {}
  // `data` stays where it is as long as there are steps. Throws std::invalid_argument when the region has not `slots` places; returns its index.
  int32_t add(const uint32_t* data, size_t words);
  // Throws std::invalid_argument for a region that is not there.
  MaskAt at(int32_t slot, int32_t region, int32_t ticket) const;
  // For any step thread. Copies a mask into `to`, without what `allowed` (null: nothing is left out) and `banned` leave out, and returns 0; or kMaskLate, or
  // kNothingAllowed. Tokens from `vocab` on are left out.
  uint8_t read(const MaskAt& mask, const uint32_t* allowed, const int32_t* banned, int32_t banned_count, int32_t vocab, std::vector<uint32_t>& to) const;
  int64_t words() const { return words_; }

 private:
  int32_t slots_;
  int64_t words_;
  std::vector<const uint32_t*> regions_;
};

}  // namespace lorikeet
