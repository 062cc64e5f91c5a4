#include "stored.h"
#include <algorithm>
#include <cstring>
#include <numeric>
#include <stdexcept>
#include <thread>
#include "half.h"
#include "stored_blocks.h"

namespace lorikeet {
namespace {

// Where AWQ keeps output 0, 1, … of eight: the place of its nibble.
constexpr int kAwqPlaces[8] = {0, 4, 1, 5, 2, 6, 3, 7};

uint32_t word_at(const StoredPart& part, int64_t i) {
  uint32_t word;
  std::memcpy(&word, part.data + 4 * i, 4);
  return word;
}

float float_at(const StoredPart& part, DType type, int64_t i) {
  if (type == DType::f32) {
    float value;
    std::memcpy(&value, part.data + 4 * i, 4);
    return value;
  }
  uint16_t value;
  std::memcpy(&value, part.data + 2 * i, 2);
  return type == DType::f16 ? from_half(value) : from_bfloat(value);
}

}  // namespace

StoredWeight::StoredWeight(const StoredForm& form, const std::string& name) : form_(form) {
  if (form_.in <= 0 || form_.out <= 0 || (form_.bits != 4 && form_.bits != 8)) throw std::runtime_error("tensor " + name + " is stored in no known way");
  if (in_blocks() || form_.layout == StoredLayout::floats) form_.group = form_.in;
  if (form_.group <= 0) throw std::runtime_error("tensor " + name + " has groups of no inputs");
  groups_ = (form_.in + form_.group - 1) / form_.group;
  require_lengths(name);
  regular_ = form_.layout != StoredLayout::floats && form_.layout != StoredLayout::q6_k && (groups_ == 1 || form_.group % kStoredGroup == 0);
  if (!form_.order.data) return;
  group_of_.resize(form_.in);
  std::memcpy(group_of_.data(), form_.order.data, 4 * form_.in);
  std::vector<int64_t> members(groups_);
  for (const int32_t g : group_of_) {
    if (g < 0 || g >= groups_) throw std::runtime_error("tensor " + name + " has an input of group " + std::to_string(g) + " of " + std::to_string(groups_));
    members[g]++;
  }
  regular_ = regular_ && std::all_of(members.begin(), members.end(), [&](int64_t count) { return count == form_.group; });
  inputs_.resize(form_.in);
  std::iota(inputs_.begin(), inputs_.end(), 0);
  std::stable_sort(inputs_.begin(), inputs_.end(), [&](int32_t a, int32_t b) { return group_of_[a] < group_of_[b]; });
}

void StoredWeight::require_lengths(const std::string& name) const {
  const auto& f = form_;
  const auto require = [&](const char* what, const StoredPart& part, int64_t bytes) {
    if (static_cast<int64_t>(part.bytes) != bytes || !part.data)
      throw std::runtime_error("tensor " + name + ": its " + what + " take " + std::to_string(part.bytes) + " bytes, where the shape makes it " + std::to_string(bytes));
  };
  const int64_t in_word = 32 / f.bits, scale = static_cast<int64_t>(element_size(f.scale_type));
  const auto words = [&](int64_t count) { return (count + in_word - 1) / in_word; };
  int64_t codes = 0, zeros = 0;
  switch (f.layout) {
    case StoredLayout::awq:
      if (f.bits != 4 || f.out % 8) throw std::runtime_error("tensor " + name + ": AWQ has 4 bits and a multiple of 8 outputs");
      codes = 4 * f.in * (f.out / 8);
      zeros = 4 * groups_ * (f.out / 8);
      break;
    case StoredLayout::gptq:
      codes = 4 * words(f.in) * f.out;
      zeros = 4 * groups_ * words(f.out);
      break;
    case StoredLayout::rows:
      codes = 4 * f.out * words(f.in);
      zeros = f.byte_zeros ? f.out * groups_ : 4 * words(f.out) * groups_;
      break;
    case StoredLayout::bytes:
      if (f.bits != 8) throw std::runtime_error("tensor " + name + ": bytes have 8 bits");
      codes = f.out * f.in;
      zeros = f.one_scale ? 1 : f.byte_zeros ? f.out * groups_ : 4 * words(f.out) * groups_;
      break;
    case StoredLayout::floats: codes = f.out * f.in * scale; break;
    default:
      if (f.in % block_inputs(f.layout)) throw std::runtime_error("tensor " + name + ": rows are no whole blocks");
      codes = f.out * (f.in / block_inputs(f.layout)) * block_bytes(f.layout);
  }
  require("numbers", f.codes, codes);
  if (in_blocks() || f.layout == StoredLayout::floats) return;
  require("scales", f.scales, scale * (f.one_scale ? 1 : f.out * groups_));
  if (f.zeros.data) require("zero points", f.zeros, zeros);
  if (f.order.data) require("groups", f.order, 4 * f.in);
}

int64_t StoredWeight::stored_row(int64_t row) const {
  if (form_.heads <= 0) return row;
  const int64_t size = form_.out / form_.heads, half = size / 2, at = row % size;
  return row - at + at % half * 2 + at / half;
}

int StoredWeight::zero_of(int64_t row, int64_t group) const {
  const auto& f = form_;
  const int middle = 1 << (f.bits - 1), mask = (1 << f.bits) - 1, in_word = 32 / f.bits;
  if (!f.zeros.data) return middle;
  if (f.layout == StoredLayout::awq) return static_cast<int>(word_at(f.zeros, group * (f.out / 8) + row / 8) >> (4 * kAwqPlaces[row % 8]) & 15);
  if (f.layout == StoredLayout::gptq) {
    const int64_t words = (f.out + in_word - 1) / in_word;
    return static_cast<int>(word_at(f.zeros, group * words + row / in_word) >> (f.bits * (row % in_word)) & static_cast<uint32_t>(mask)) + f.zero_offset;
  }
  if (f.one_scale) return static_cast<int8_t>(f.zeros.data[0]) + middle;
  if (f.byte_zeros) return static_cast<int8_t>(f.zeros.data[row * groups_ + group]) + middle;
  return static_cast<int>(word_at(f.zeros, row / in_word * groups_ + group) >> (f.bits * (row % in_word)) & static_cast<uint32_t>(mask));
}

StoredWeight::Scale StoredWeight::scale_of(int64_t row, int64_t group) const {
  const auto& f = form_;
  const bool by_group = f.layout == StoredLayout::awq || f.layout == StoredLayout::gptq;
  const int64_t at = f.one_scale ? 0 : by_group ? group * f.out + row : row * groups_ + group;
  return {float_at(f.scales, f.scale_type, at), static_cast<float>(zero_of(row, group))};
}

int StoredWeight::number_at(int64_t row, int64_t input) const {
  const auto& f = form_;
  const int in_word = 32 / f.bits;
  const auto mask = static_cast<uint32_t>((1 << f.bits) - 1);
  switch (f.layout) {
    case StoredLayout::awq: return static_cast<int>(word_at(f.codes, input * (f.out / 8) + row / 8) >> (4 * kAwqPlaces[row % 8]) & 15);
    case StoredLayout::gptq: return static_cast<int>(word_at(f.codes, input / in_word * f.out + row) >> (f.bits * (input % in_word)) & mask);
    case StoredLayout::rows: return static_cast<int>(word_at(f.codes, row * ((f.in + in_word - 1) / in_word) + input / in_word) >> (f.bits * (input % in_word)) & mask);
    default: return f.codes.data[row * f.in + input] ^ 0x80;
  }
}

void StoredWeight::read_row(int64_t row, float* to) const {
  const auto& f = form_;
  const int64_t from = stored_row(row);
  if (f.layout == StoredLayout::floats) {
    for (int64_t i = 0; i < f.in; i++) to[i] = float_at(f.codes, f.scale_type, from * f.in + i);
    return;
  }
  if (in_blocks()) {
    const uint8_t* blocks = f.codes.data + from * (f.in / block_inputs(f.layout)) * block_bytes(f.layout);
    for (int64_t run = 0; run * kStoredGroup < f.in; run++) read_block_values(f.layout, blocks, run, to + run * kStoredGroup);
    return;
  }
  int64_t known = -1;
  Scale scale{};
  for (int64_t i = 0; i < f.in; i++) {
    const int64_t group = group_of_.empty() ? i / f.group : group_of_[i];
    if (group != known) scale = scale_of(from, known = group);
    to[i] = scale.scale * (static_cast<float>(number_at(from, i)) - scale.zero);
  }
}

void StoredWeight::read_group(int64_t row, int64_t run, StoredGroup& to) const {
  const auto& f = form_;
  const int64_t from = stored_row(row), first = run * kStoredGroup, count = std::min(kStoredGroup, f.in - first);
  if (in_blocks()) {
    read_block_group(f.layout, f.codes.data + from * (f.in / block_inputs(f.layout)) * block_bytes(f.layout), run, to);
    return;
  }
  const Scale scale = scale_of(from, first / f.group);
  to = {scale.scale, scale.zero, 0, {}};
  for (int64_t i = 0; i < count; i++) to.numbers[i] = static_cast<uint8_t>(number_at(from, inputs_.empty() ? first + i : inputs_[first + i]));
}

void read_stored(const StoredWeight& weight, int64_t first, int64_t count, float* to, int threads) {
  const int64_t in = weight.form().in, parts = std::max<int64_t>(1, std::min<int64_t>(threads, count));
  const auto take = [&](int64_t part) {
    for (int64_t i = count * part / parts; i < count * (part + 1) / parts; i++) weight.read_row(first + i, to + i * in);
  };
  std::vector<std::thread> others;
  for (int64_t part = 1; part < parts; part++) others.emplace_back(take, part);
  take(0);
  for (auto& other : others) other.join();
}

}  // namespace lorikeet
