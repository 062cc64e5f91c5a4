#include "graph_table.h"

namespace lorikeet::cuda {

int32_t* RecentShapes::use(const StepShape& shape) {
  const auto found = by_shape_.find(shape);
  if (found == by_shape_.end()) return nullptr;
  entries_.splice(entries_.begin(), entries_, found->second);
  return &found->second->value;
}

int32_t& RecentShapes::add(const StepShape& shape, int32_t value) {
  const auto place = by_shape_.try_emplace(shape).first;
  entries_.push_front({&place->first, value});
  place->second = entries_.begin();
  return entries_.front().value;
}

int32_t RecentShapes::remove(const StepShape& shape) {
  const auto found = by_shape_.find(shape);
  if (found == by_shape_.end()) return 0;
  const int32_t value = found->second->value;
  entries_.erase(found->second);
  by_shape_.erase(found);
  return value;
}

int32_t RecentShapes::remove_oldest() {
  const Entry oldest = entries_.back();
  entries_.pop_back();
  by_shape_.erase(by_shape_.find(*oldest.shape));
  return oldest.value;
}

int32_t GraphTable::graph_of(const StepShape& shape) {
  if (const int32_t* graph = captured_.use(shape)) return *graph;
  int32_t* runs = counted_.use(shape);
  if (!runs) {
    if (counted_.size() == limits_.counted) counted_.remove_oldest();
    runs = &counted_.add(shape, 0);
  }
  if (++*runs <= limits_.runs || last_ == limits_.total) return 0;
  counted_.remove(shape);
  if (captured_.size() == limits_.graphs) release_(captured_.remove_oldest());
  return captured_.add(shape, ++last_);
}

void GraphTable::forget(const StepShape& shape) {
  counted_.remove(shape);
  if (const int32_t graph = captured_.remove(shape)) release_(graph);
}

void GraphTable::clear() {
  counted_ = {};
  while (captured_.size()) release_(captured_.remove_oldest());
}

}  // namespace lorikeet::cuda
