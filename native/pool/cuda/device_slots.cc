#include "device_slots.h"
#include <cstring>
#include <exception>

namespace lorikeet {

DeviceSlots::DeviceSlots(int32_t slots, int32_t max_model_len, int32_t block_size, int64_t vocab) : vocab_(vocab), lists_(slots) {
  state_.history_stride = max_model_len + 1;  // the last token that a sequence may have is sampled behind max_model_len others
  state_.table_stride = (max_model_len + block_size - 1) / block_size;
  histories_ = device::Buffer(device::Memory::device, sizeof(int32_t) * slots * state_.history_stride);
  tables_ = device::Buffer(device::Memory::device, sizeof(int32_t) * slots * state_.table_stride);
  state_.histories = reinterpret_cast<int32_t*>(histories_.data());
  state_.tables = reinterpret_cast<int32_t*>(tables_.data());
  for (Arena* arena : {&arena_, &staging_}) arena->reserve(static_cast<size_t>(slots * (vocab / 8)));
}

DeviceSlots::~DeviceSlots() {
  try {
    device::synchronize(copies_.get());
  } catch (const std::exception&) {
    // The device is lost, and with it what it held.
  }
}

void DeviceSlots::admit(const Slot& slot) {
  device::allow_captures_elsewhere();
  if (arrived_.done()) {
    for (const auto& [piece, bytes] : staged_) staging_.release(piece, bytes);
    staged_.clear();
  }
  const SlotInput& input = slot.input;
  std::vector<int32_t> bias_tokens = input.bias_tokens;
  std::vector<float> bias_values = input.bias_values;
  cuda::sort_bias(bias_tokens.data(), bias_values.data(), bias_tokens.size());
  const size_t bias = bias_tokens.size(), banned = slot.min_tokens() > 0 ? slot.banned.size() : 0, allowed = input.allowed.size(), bad_words = slot.bad_words.size();

  Lists lists;
  lists.bytes = sizeof(int32_t) * (2 * bias + banned + bad_words + allowed);
  const size_t token_bytes = sizeof(int32_t) * slot.history.size();
  const Staged staged{staging_.allocate(lists.bytes + token_bytes), lists.bytes + token_bytes};
  staged_.push_back(staged);
  std::memcpy(staged.piece + lists.bytes, slot.history.data(), token_bytes);
  if (lists.bytes) {
    lists.piece = arena_.allocate(lists.bytes);
    size_t at = 0;
    const auto place = [&]<class T>(const T*& there, const std::vector<T>& from, size_t count) {
      if (count == 0) return;
      there = reinterpret_cast<const T*>(lists.piece + at);
      std::memcpy(staged.piece + at, from.data(), sizeof(T) * count);
      at += sizeof(T) * count;
    };
    place(lists.bias_tokens, bias_tokens, bias);
    place(lists.bias_values, bias_values, bias);
    place(lists.banned, slot.banned, banned);
    place(lists.bad_words, slot.bad_words, bad_words);
    place(lists.allowed, input.allowed, allowed);
    lists_[input.slot] = lists;  // from here on `release` knows of it
    device::copy_to_device(lists.piece, staged.piece, lists.bytes, copies_.get());
  }
  device::copy_to_device(history(input.slot), staged.piece + lists.bytes, token_bytes, copies_.get());
  arrived_.record(copies_.get());
}

void DeviceSlots::release(int32_t slot) {
  if (lists_[slot].piece) arena_.release(lists_[slot].piece, lists_[slot].bytes);
  lists_[slot] = {};
}

cuda::SampleRow DeviceSlots::row(const Slot& slot, SamplingRow asks, int32_t length, bool scores) const {
  const Lists& lists = lists_[slot.input.slot];
  asks.bias_tokens = lists.bias_tokens;
  asks.bias_values = lists.bias_values;
  if (asks.banned) asks.banned = lists.banned;
  if (asks.bad_words) asks.bad_words = lists.bad_words;
  if (asks.allowed) asks.allowed = lists.allowed;
  return cuda::sample_row(asks, {history(slot.input.slot), length, slot.input.prompt_length, scores}, vocab_);
}

}  // namespace lorikeet
