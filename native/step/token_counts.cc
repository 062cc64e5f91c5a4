#include "token_counts.h"

namespace lorikeet {
namespace {

constexpr size_t kFirstPlaces = 64;

// Fibonacci hashing (Knuth, TAOCP vol. 3, 6.4): neighbouring ids spread over the table.
size_t place_of(int32_t token, size_t places) { return (static_cast<uint32_t>(token) * 2654435769u) & (places - 1); }

}  // namespace

void TokenCounts::count(const std::vector<int32_t>& history, int32_t prompt_length, int32_t length) {
  for (; counted_ > length; counted_--) {
    TokenCount& item = of(history[counted_ - 1]);
    item.occurrences--;
    item.output -= counted_ - 1 >= prompt_length;
  }
  for (; counted_ < length; counted_++) {
    TokenCount& item = of(history[counted_]);
    item.occurrences++;
    item.output += counted_ >= prompt_length;
  }
}

TokenCount& TokenCounts::of(int32_t token) {
  if (2 * items_.size() >= places_.size()) grow();
  size_t at = place_of(token, places_.size());
  for (; places_[at]; at = (at + 1) & (places_.size() - 1))
    if (items_[places_[at] - 1].token == token) return items_[places_[at] - 1];
  items_.push_back({token, 0, 0});
  places_[at] = static_cast<int32_t>(items_.size());
  return items_.back();
}

void TokenCounts::grow() {
  places_.assign(places_.empty() ? kFirstPlaces : 2 * places_.size(), 0);
  for (size_t i = 0; i < items_.size(); i++) {
    size_t at = place_of(items_[i].token, places_.size());
    while (places_[at]) at = (at + 1) & (places_.size() - 1);
    places_[at] = static_cast<int32_t>(i + 1);
  }
}

void TokenCounts::clear() {
  counted_ = 0;
  items_.clear();
  places_.clear();
}

}  // namespace lorikeet
