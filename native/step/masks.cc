#include "masks.h"
#include <algorithm>
#include <atomic>
#include <stdexcept>
#include <string>

namespace lorikeet {

int32_t MaskRegions::add(const uint32_t* data, size_t words) {
  const auto wanted = static_cast<size_t>(slots_) * static_cast<size_t>(1 + words_);
  if (words != wanted) throw std::invalid_argument("masks.length is " + std::to_string(words) + "; it must be " + std::to_string(wanted));
  regions_.push_back(data);
  return static_cast<int32_t>(regions_.size()) - 1;
}

MaskAt MaskRegions::at(int32_t slot, int32_t region, int32_t ticket) const {
  if (region < 0 || static_cast<size_t>(region) >= regions_.size())
    throw std::invalid_argument("a mask's region is " + std::to_string(region) + "; it must be 0 to below " + std::to_string(regions_.size()));
  return {regions_[region] + slot * (1 + words_), static_cast<uint32_t>(ticket)};
}

uint8_t MaskRegions::read(const MaskAt& mask, const uint32_t* allowed, const int32_t* banned, int32_t banned_count, int32_t vocab, std::vector<uint32_t>& to) const {
  // Another thread's Atomics.store: what it wrote before is seen after this.
  if (std::atomic_ref<uint32_t>(*const_cast<uint32_t*>(mask.place)).load(std::memory_order_acquire) != mask.ticket) return kMaskLate;
  to.assign(mask.place + 1, mask.place + 1 + words_);
  if (allowed)
    for (int64_t i = 0; i < words_; i++) to[i] &= allowed[i];
  for (int32_t i = 0; i < banned_count; i++) to[banned[i] >> 5] &= ~(uint32_t{1} << (banned[i] & 31));
  const int64_t last = vocab >> 5;
  if (last < words_) {
    to[last] &= (uint32_t{1} << (vocab & 31)) - 1;
    std::fill(to.begin() + last + 1, to.end(), 0);
  }
  return std::any_of(to.begin(), to.end(), [](uint32_t word) { return word != 0; }) ? 0 : kNothingAllowed;
}

}  // namespace lorikeet
