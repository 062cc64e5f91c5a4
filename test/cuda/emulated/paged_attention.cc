#include "paged_attention.h"
#include <algorithm>
#include <bit>
#include <cmath>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>
#include "../emulator.h"

namespace lorikeet::emulated {
namespace {

using cuda::BF16, cuda::F16;

void require(bool ok, const std::string& what) {
  if (!ok) throw std::invalid_argument("PagedAttention: " + what);
}

float decode(Float type, uint16_t bits) { return type == Float::f16 ? F16::decode(bits) : BF16::decode(bits); }
uint16_t encode(Float type, float value) { return type == Float::f16 ? F16::encode(value) : BF16::encode(value); }

void check_shapes(const PagedAttentionArgs& a) {
  require(a.block_size >= 16 && std::has_single_bit(static_cast<uint64_t>(a.block_size)), "block_size must be a power of two and at least 16");
  require(a.head_size % 16 == 0 && a.head_size <= 256, "head_size must be a multiple of 16, 256 at most");
  require(a.kv_heads > 0 && a.heads % a.kv_heads == 0, "num_heads must be a multiple of kv_num_heads");
  require(a.rotary % 16 == 0 && a.rotary <= a.head_size, "the rotation must cover a multiple of 16 channels, head_size at most");
  require(!a.q_norm == !a.k_norm, "q_norm_weight and k_norm_weight must be given together");
  require(!a.q_norm || a.norm_epsilon > 0, "qk_norm_epsilon must be positive");
  require(!a.key == !a.value, "key and value must be given together");
}

void check_batch(const PagedAttentionArgs& a) {
  require(a.cumulative[0] == 0 && a.cumulative[a.batch] == a.tokens, "cumulative_sequence_length must go from 0 to the number of tokens");
  std::set<int32_t> written;
  for (int64_t b = 0; b < a.batch; b++) {
    const std::string who = "sequence " + std::to_string(b);
    const int32_t first = a.cumulative[b], count = a.cumulative[b + 1] - first, past = a.past[b];
    require(count >= 0 && past >= 0, who + " has a negative length");
    require(count <= a.bounds[0] && past + count <= a.bounds[1], who + " is longer than attention_metadata says");
    require(past + count <= a.max_blocks * a.block_size, who + " is longer than its row of block_table");
    require(!a.rotary || past + count <= a.positions, who + " is longer than the rotation's tables");
    const int32_t* table = a.block_table + b * a.max_blocks;
    if (count > 0)
      for (int64_t i = 0; i * a.block_size < past + count; i++)
        require(table[i] >= 0 && table[i] < a.blocks, who + " has a block outside the cache");
    for (int32_t t = 0; t < count; t++) {
      const int64_t position = past + t, slot = a.slots[first + t];
      if (slot == -1) continue;
      require(slot == table[position / a.block_size] * a.block_size + position % a.block_size, who + " writes to a slot that its block_table does not read");
      require(written.insert(static_cast<int32_t>(slot)).second, who + " writes to a slot that another token writes to");
    }
  }
}

// A head as attention sees it: normalised, rotated, and rounded to the activations' type, as it goes into the cache.
void prepare(const PagedAttentionArgs& a, const uint16_t* from, const uint16_t* norm, int64_t position, std::vector<float>& head) {
  for (int64_t i = 0; i < a.head_size; i++) head[i] = decode(a.type, from[i]);
  if (norm) {
    float squares = 0;
    for (const float v : head) squares += v * v;
    const float factor = 1 / std::sqrt(squares / static_cast<float>(a.head_size) + a.norm_epsilon);
    for (int64_t i = 0; i < a.head_size; i++) head[i] *= factor * decode(a.type, norm[i]);
  }
  const int64_t half = a.rotary / 2;
  for (int64_t i = 0; i < half; i++) {
    const float cos = decode(a.type, a.cos[position * half + i]), sin = decode(a.type, a.sin[position * half + i]);
    float &x = head[a.interleaved ? 2 * i : i], &y = head[a.interleaved ? 2 * i + 1 : i + half];
    const float rotated = x * cos - y * sin;
    y = x * sin + y * cos;
    x = rotated;
  }
  if (norm || half)
    for (float& v : head) v = decode(a.type, encode(a.type, v));
}

void write(const PagedAttentionArgs& a, void* cache, float scale, int64_t place, const std::vector<float>& head) {
  for (int64_t i = 0; i < a.head_size; i++) {
    if (a.cache_type == CacheElement::same)
      static_cast<uint16_t*>(cache)[place + i] = encode(a.type, head[i]);
    else if (a.cache_type == CacheElement::int8)
      static_cast<int8_t*>(cache)[place + i] = static_cast<int8_t>(std::clamp(std::nearbyint(head[i] / scale), -128.0f, 127.0f));
    else
      static_cast<uint8_t*>(cache)[place + i] = to_float8(head[i] / scale);
  }
}

void read(const PagedAttentionArgs& a, const void* cache, float scale, int64_t place, float* head) {
  for (int64_t i = 0; i < a.head_size; i++) {
    if (a.cache_type == CacheElement::same)
      head[i] = decode(a.type, static_cast<const uint16_t*>(cache)[place + i]);
    else if (a.cache_type == CacheElement::int8)
      head[i] = scale * static_cast<float>(static_cast<const int8_t*>(cache)[place + i]);
    else
      head[i] = scale * from_float8(static_cast<const uint8_t*>(cache)[place + i]);
  }
}

// Eight sums in a fixed order, which the compiler may keep in one register.
float dot(const float* x, const float* y, int64_t n) {
  float sums[8] = {};
  for (int64_t i = 0; i < n; i += 8)
    for (int lane = 0; lane < 8; lane++) sums[lane] += x[i + lane] * y[i + lane];
  return ((sums[0] + sums[1]) + (sums[2] + sums[3])) + ((sums[4] + sums[5]) + (sums[6] + sums[7]));
}

class Attention {
 public:
  explicit Attention(const PagedAttentionArgs& a) : a_(a), width_((a.key ? a.heads : a.heads + 2 * a.kv_heads) * a.head_size), head_(a.head_size) {}

  void write_new(int64_t b) {
    for (int32_t t = a_.cumulative[b]; t < a_.cumulative[b + 1]; t++)
      for (int64_t h = 0; h < a_.kv_heads && a_.slots[t] >= 0; h++) {
        const int64_t place = (int64_t{a_.slots[t]} * a_.kv_heads + h) * a_.head_size;
        prepare(a_, key(t) + h * a_.head_size, a_.k_norm, a_.past[b] + t - a_.cumulative[b], head_);
        write(a_, a_.key_cache, a_.k_scale, place, head_);
        for (int64_t i = 0; i < a_.head_size; i++) head_[i] = decode(a_.type, value(t)[h * a_.head_size + i]);
        write(a_, a_.value_cache, a_.v_scale, place, head_);
      }
  }

  void attend(int64_t b) {
    const int32_t first = a_.cumulative[b], count = a_.cumulative[b + 1] - first, length = a_.past[b] + count;
    if (count == 0) return;
    keys_.resize(length * a_.head_size);
    values_.resize(length * a_.head_size);
    weights_.resize(length);
    for (int64_t kv = 0; kv < a_.kv_heads; kv++) {
      for (int64_t j = 0; j < length; j++) {
        const int64_t slot = a_.block_table[b * a_.max_blocks + j / a_.block_size] * a_.block_size + j % a_.block_size;
        const int64_t place = (slot * a_.kv_heads + kv) * a_.head_size;
        read(a_, a_.key_cache, a_.k_scale, place, keys_.data() + j * a_.head_size);
        read(a_, a_.value_cache, a_.v_scale, place, values_.data() + j * a_.head_size);
      }
      const int64_t group = a_.heads / a_.kv_heads;
      for (int32_t t = 0; t < count; t++)
        for (int64_t h = kv * group; h < (kv + 1) * group; h++) one(first + t, h, a_.past[b] + t);
    }
  }

 private:
  const uint16_t* query(int64_t t) const { return a_.query + t * width_; }
  const uint16_t* key(int64_t t) const { return a_.key ? a_.key + t * a_.kv_heads * a_.head_size : query(t) + a_.heads * a_.head_size; }
  const uint16_t* value(int64_t t) const {
    return a_.value ? a_.value + t * a_.kv_heads * a_.head_size : query(t) + (a_.heads + a_.kv_heads) * a_.head_size;
  }

  // One query of one head, at its position.
  void one(int64_t t, int64_t h, int64_t position) {
    const int64_t n = a_.head_size, from = a_.window < 0 ? 0 : std::max<int64_t>(0, position + 1 - a_.window);
    prepare(a_, query(t) + h * n, a_.q_norm, position, head_);
    float most = -INFINITY, sum = 0;
    for (int64_t j = from; j <= position; j++) {
      float score = a_.scale * dot(head_.data(), keys_.data() + j * n, n);
      if (a_.softcap > 0) score = a_.softcap * std::tanh(score / a_.softcap);
      weights_[j] = score;
      most = std::max(most, score);
    }
    out_.assign(n, 0);
    for (int64_t j = from; j <= position; j++) {
      const float weight = std::exp(weights_[j] - most);
      sum += weight;
      for (int64_t i = 0; i < n; i++) out_[i] += weight * values_[j * n + i];
    }
    for (int64_t i = 0; i < n; i++) a_.out[(t * a_.heads + h) * n + i] = encode(a_.type, out_[i] / sum);
  }

  const PagedAttentionArgs& a_;
  int64_t width_;
  std::vector<float> head_, keys_, values_, weights_, out_;
};

}  // namespace

void paged_attention(const PagedAttentionArgs& args) {
  check_shapes(args);
  check_batch(args);
  Attention attention(args);
  // As the kernels: everything is written before anything is read.
  for (int64_t b = 0; b < args.batch; b++) attention.write_new(b);
  for (int64_t b = 0; b < args.batch; b++) attention.attend(b);
}

uint8_t to_float8(float value) {
  const uint8_t sign = std::signbit(value) ? 0x80 : 0;
  if (std::isnan(value)) return sign | 0x7f;
  const float magnitude = std::min(std::abs(value), 448.0f);
  if (magnitude == 0) return sign;
  // Three bits behind the point; below 2^-6 the step stays that of 2^-6.
  const int exponent = std::max(std::ilogb(magnitude), -6);
  const auto steps = static_cast<int>(std::nearbyint(std::ldexp(magnitude, 3 - exponent)));
  return static_cast<uint8_t>(sign | ((exponent + 6) * 8 + steps));
}

float from_float8(uint8_t bits) {
  const int exponent = bits >> 3 & 15, mantissa = bits & 7;
  if ((bits & 0x7f) == 0x7f) return NAN;
  const float magnitude = exponent ? std::ldexp(static_cast<float>(8 + mantissa), exponent - 10) : std::ldexp(static_cast<float>(mantissa), -9);
  return bits & 0x80 ? -magnitude : magnitude;
}

}  // namespace lorikeet::emulated
