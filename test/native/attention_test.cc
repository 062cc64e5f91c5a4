// PagedAttention against float64 over a scattered cache of each type, in all its variants; and that a prompt in chunks gives the bits of the prompt in one piece.
#include <algorithm>
#include <limits>
#include <map>
#include "harness.h"

namespace {
using namespace lorikeet;
using namespace lorikeet::test;

struct Variant {
  const char* name;
  int32_t heads, kv_heads, head_size, block_size, window;
  int64_t rotary_dim;  // 0 = none
  float softcap;
  bool norms, interleaved;
};

const Variant kVariants[] = {
    {"plain", 4, 4, 16, 16, -1, 16, 0, false, false},   {"gqa, window", 6, 2, 64, 16, 20, 64, 0, false, false},
    {"soft cap", 4, 2, 24, 8, -1, 24, 5, false, false}, {"qk norm, partial rotary", 2, 1, 40, 4, 33, 20, 0, true, false},
    {"interleaved", 8, 1, 32, 32, -1, 32, 0, false, true}, {"no rotary", 3, 3, 7, 1, 1, 0, 0, false, false},
    {"wide head, soft cap", 4, 1, 256, 16, 100, 256, 50, true, false},
};
constexpr int64_t kPositions = 1400;

// What rounding the keys and values, all in [−1, 1] before the norms, may change of a mean of values.
struct Cache {
  CacheType type;
  const char* name;
  double tolerance;
};
constexpr Cache kCaches[] = {
    {CacheType::f32, "float32", 5e-6}, {CacheType::f16, "float16", 2e-3}, {CacheType::bf16, "bfloat16", 1.5e-2}, {CacheType::i8, "int8", 3e-2}};

// One sequence of `length` tokens with its own blocks in one shared cache.
struct Fixture {
  const Variant& v;
  int64_t length;
  std::vector<float> q, k, v_rows, cos, sin, q_norm, k_norm;
  std::vector<int32_t> table;

  Fixture(const Variant& variant, int64_t n, Random& random, int32_t first_view, int32_t step) : v(variant), length(n) {
    q = random.floats(n * v.heads * v.head_size);
    k = random.floats(n * v.kv_heads * v.head_size);
    v_rows = random.floats(n * v.kv_heads * v.head_size);
    const int64_t half = v.rotary_dim / 2;
    for (int64_t p = 0; p < kPositions; p++)
      for (int64_t i = 0; i < half; i++) {
        const double angle = double(p) * std::pow(100.0, -2.0 * double(i) / double(v.rotary_dim));
        cos.push_back(float(std::cos(angle)));
        sin.push_back(float(std::sin(angle)));
      }
    if (v.norms) {
      q_norm = random.floats(v.head_size);
      k_norm = random.floats(v.head_size);
    }
    const auto blocks = static_cast<int32_t>((n + v.block_size - 1) / v.block_size);
    for (int32_t b = 0; b < blocks; b++) table.push_back(first_view + (blocks - 1 - b) * step);  // in no natural order
  }

  void rotate(double* x, int64_t position) const {
    const int64_t half = v.rotary_dim / 2;
    for (int64_t i = 0; i < half; i++) {
      double& a = v.interleaved ? x[2 * i] : x[i];
      double& b = v.interleaved ? x[2 * i + 1] : x[i + half];
      const double c = cos[position * half + i], s = sin[position * half + i], first = a * c - b * s;
      b = b * c + a * s;
      a = first;
    }
  }
  std::vector<double> prepared(const float* from, const std::vector<float>& norm, int64_t position) const {
    std::vector<double> x(from, from + v.head_size);
    if (!norm.empty()) {
      double square = 0;
      for (double e : x) square += e * e;
      const double scale = 1 / std::sqrt(square / v.head_size + 1e-6);
      for (int i = 0; i < v.head_size; i++) x[i] *= scale * norm[i];
    }
    rotate(x.data(), position);
    return x;
  }
  // Attention of all tokens, in double.
  std::vector<double> reference(float scale) const {
    std::vector<double> out(length * v.heads * v.head_size, 0.0);
    for (int64_t t = 0; t < length; t++)
      for (int32_t h = 0; h < v.heads; h++) {
        const int32_t kv = h / (v.heads / v.kv_heads);
        const auto query = prepared(&q[(t * v.heads + h) * v.head_size], q_norm, t);
        std::vector<double> score;
        const int64_t first = v.window < 0 ? 0 : std::max<int64_t>(0, t - v.window + 1);
        double most = -1e300, sum = 0;
        for (int64_t s = first; s <= t; s++) {
          const auto key = prepared(&k[(s * v.kv_heads + kv) * v.head_size], k_norm, s);
          double dot = 0;
          for (int i = 0; i < v.head_size; i++) dot += query[i] * key[i];
          dot *= scale;
          if (v.softcap > 0) dot = v.softcap * std::tanh(dot / v.softcap);
          score.push_back(dot);
          most = std::max(most, dot);
        }
        for (double& s : score) sum += s = std::exp(s - most);
        for (int64_t s = first; s <= t; s++)
          for (int i = 0; i < v.head_size; i++)
            out[(t * v.heads + h) * v.head_size + i] += score[s - first] / sum * v_rows[(s * v.kv_heads + kv) * v.head_size + i];
      }
    return out;
  }
};

// Runs tokens [from[i], to[i]) of each sequence as one batch on the caches.
std::vector<float> attend(const Kernels& kernels, const Cache& cache, const std::vector<const Fixture*>& sequences, const std::vector<int64_t>& from, const std::vector<int64_t>& to,
                          std::vector<uint8_t>& key_cache, std::vector<uint8_t>& value_cache, float scale, int threads, bool write = true) {
  const Variant& v = sequences[0]->v;
  std::vector<float> q, k, values;
  std::vector<int32_t> cumulative{0}, past, table, slots;
  size_t widest = 0;
  for (const auto* s : sequences) widest = std::max(widest, s->table.size());
  for (size_t i = 0; i < sequences.size(); i++) {
    const Fixture& s = *sequences[i];
    q.insert(q.end(), &s.q[from[i] * v.heads * v.head_size], s.q.data() + to[i] * v.heads * v.head_size);
    k.insert(k.end(), &s.k[from[i] * v.kv_heads * v.head_size], s.k.data() + to[i] * v.kv_heads * v.head_size);
    values.insert(values.end(), &s.v_rows[from[i] * v.kv_heads * v.head_size], s.v_rows.data() + to[i] * v.kv_heads * v.head_size);
    for (int64_t t = from[i]; t < to[i]; t++) slots.push_back(write ? static_cast<int32_t>(s.table[t / v.block_size] * v.block_size + t % v.block_size) : -1);
    cumulative.push_back(static_cast<int32_t>(slots.size()));
    past.push_back(static_cast<int32_t>(from[i]));
    auto row = s.table;
    row.resize(widest, 0);
    table.insert(table.end(), row.begin(), row.end());
  }
  std::vector<float> out(q.size(), std::numeric_limits<float>::quiet_NaN());
  AttentionArgs args;
  args.query = q.data();
  args.key = k.data();
  args.value = values.data();
  args.cache = cache.type;
  args.key_cache = key_cache.data();
  args.value_cache = value_cache.data();
  args.cumulative = cumulative.data();
  args.past = past.data();
  args.block_table = table.data();
  const Fixture& s = *sequences[0];
  if (v.rotary_dim) {
    args.cos = s.cos.data();
    args.sin = s.sin.data();
  }
  args.slots = slots.data();
  if (v.norms) {
    args.q_norm = s.q_norm.data();
    args.k_norm = s.k_norm.data();
  }
  args.out = out.data();
  args.tokens = static_cast<int64_t>(slots.size());
  args.batch = static_cast<int64_t>(sequences.size());
  args.max_blocks = static_cast<int64_t>(widest);
  args.rotary_dim = v.rotary_dim;
  args.heads = v.heads;
  args.kv_heads = v.kv_heads;
  args.head_size = v.head_size;
  args.block_size = v.block_size;
  args.scale = scale;
  args.softcap = v.softcap;
  args.window = v.window;
  args.interleaved = v.interleaved;
  kernels.paged_attention(args, on_threads(threads));
  return out;
}

// Of any type: all ones are NaN, in the elements or in int8's scales.
std::vector<uint8_t> poisoned_cache(const Cache& cache, const Variant& v, int64_t views) {
  return std::vector<uint8_t>(views * cache_view_bytes(cache.type, v.block_size, v.kv_heads, v.head_size), 0xff);
}

std::string named(const Variant& v, const Cache& cache) { return std::string(v.name) + ", " + cache.name; }

KERNEL_TEST(attention_equals_float64) {
  Random random(11);
  for (const Cache& cache : kCaches)
    for (const Variant& v : kVariants) {
      const int64_t views = 3 * (150 / v.block_size + 2);
      Fixture a(v, 150, random, 0, 2), b(v, 65, random, 1, 2);
      b.q_norm = a.q_norm;  // the layer's, the same for all
      b.k_norm = a.k_norm;
      auto keys = poisoned_cache(cache, v, views), values = poisoned_cache(cache, v, views);
      const float scale = 1 / std::sqrt(float(v.head_size));
      const auto got = attend(kernels, cache, {&a, &b}, {0, 0}, {150, 65}, keys, values, scale, 3);
      auto want = a.reference(scale);
      const auto second = b.reference(scale);
      want.insert(want.end(), second.begin(), second.end());
      double worst = 0;
      for (size_t i = 0; i < want.size(); i++) worst = std::max(worst, std::isnan(got[i]) ? 1e9 : std::abs(got[i] - want[i]));
      check_near(worst, 0, cache.tolerance, named(v, cache));
    }
}

KERNEL_TEST(attention_in_chunks_gives_the_same_bits) {
  Random random(12);
  for (const Cache& cache : kCaches)
    for (const Variant& v : kVariants) {
      const int64_t views = 3 * (140 / v.block_size + 2);
      Fixture a(v, 140, random, 0, 2), other(v, 90, random, 1, 2);
      other.q_norm = a.q_norm;
      other.k_norm = a.k_norm;
      const float scale = 0.3f;
      auto keys = poisoned_cache(cache, v, views), values = poisoned_cache(cache, v, views);
      const auto whole = attend(kernels, cache, {&a}, {0}, {140}, keys, values, scale, 1);
      const int64_t row = int64_t{v.heads} * v.head_size;
      auto chunk_keys = poisoned_cache(cache, v, views), chunk_values = poisoned_cache(cache, v, views);
      const int64_t cuts[] = {0, 1, 2, 19, 64, 65, 130, 139, 140};
      for (size_t c = 0; c + 1 < std::size(cuts); c++) {
        // Beside another sequence, on other threads.
        const auto part = attend(kernels, cache, {&other, &a}, {static_cast<int64_t>(c) * 10, cuts[c]}, {static_cast<int64_t>(c) * 10 + 10, cuts[c + 1]}, chunk_keys,
                                 chunk_values, scale, 4);
        check(std::memcmp(&part[10 * row], &whole[cuts[c] * row], sizeof(float) * (cuts[c + 1] - cuts[c]) * row) == 0,
              named(v, cache) + ": chunk from " + std::to_string(cuts[c]) + " has other bits");
      }
    }
}

bool same_bits(const float* a, const float* b, int64_t n) { return std::memcmp(a, b, sizeof(float) * n) == 0; }

// Contexts of more than two spans, which threads share when there are few sequences.
KERNEL_TEST(attention_over_long_contexts_has_the_same_bits_on_any_threads) {
  Random random(13);
  for (const Cache& cache : kCaches)
    for (const Variant& v : {Variant{"long", 2, 1, 16, 16, -1, 16, 0, false, false}, Variant{"long, window", 2, 1, 16, 16, 700, 16, 0, false, false}}) {
      constexpr int64_t kLength = 1300;
      Fixture a(v, kLength, random, 0, 1);
      const int64_t row = int64_t{v.heads} * v.head_size;
      auto keys = poisoned_cache(cache, v, kLength / v.block_size + 1), values = keys;
      const auto whole = attend(kernels, cache, {&a}, {0}, {kLength}, keys, values, 0.7f, 1);
      const auto want = a.reference(0.7f);
      double worst = 0;
      for (size_t i = 0; i < want.size(); i++) worst = std::max(worst, std::isnan(whole[i]) ? 1e9 : std::abs(whole[i] - want[i]));
      check_near(worst, 0, cache.tolerance, named(v, cache));
      for (int64_t t : {511, 512, 513, 1100, 1299})
        for (int threads : {1, 2, 16}) {
          const auto alone = attend(kernels, cache, {&a}, {t}, {t + 1}, keys, values, 0.7f, threads);
          check(same_bits(alone.data(), &whole[t * row], row), named(v, cache) + ": token " + std::to_string(t) + " on " + std::to_string(threads) + " threads");
        }
      const auto tail = attend(kernels, cache, {&a}, {1020}, {kLength}, keys, values, 0.7f, 64);
      check(same_bits(tail.data(), &whole[1020 * row], (kLength - 1020) * row), named(v, cache) + ": a chunk across spans");
    }
}

KERNEL_TEST(attention_without_a_slot_reads_what_the_cache_holds) {
  Random random(14);
  const Variant& v = kVariants[1];
  for (const Cache& cache : kCaches) {
    Fixture a(v, 50, random, 0, 1);
    auto keys = poisoned_cache(cache, v, 4), values = keys;
    const auto whole = attend(kernels, cache, {&a}, {0}, {50}, keys, values, 0.3f, 1);
    const auto keys_before = keys, values_before = values;
    Fixture other = a;  // the same query, another key and value: they go nowhere
    for (float& x : other.k) x = 9;
    for (float& x : other.v_rows) x = 9;
    const auto again = attend(kernels, cache, {&other}, {49}, {50}, keys, values, 0.3f, 2, false);
    const int64_t row = int64_t{v.heads} * v.head_size;
    check(same_bits(again.data(), &whole[49 * row], row), "the cached key and value are used");
    check(keys == keys_before && values == values_before, "nothing is written");
  }
}

KERNEL_TEST(a_broken_token_does_not_reach_those_before_it) {
  Random random(15);
  for (const Cache& cache : kCaches)
    for (const Variant& v : kVariants) {
      Fixture a(v, 90, random, 0, 1);
      const int64_t views = 90 / v.block_size + 1, row = int64_t{v.heads} * v.head_size, kv_row = int64_t{v.kv_heads} * v.head_size;
      auto keys = poisoned_cache(cache, v, views), values = keys;
      const auto sound = attend(kernels, cache, {&a}, {0}, {90}, keys, values, 0.3f, 1);
      for (int64_t i = 0; i < kv_row; i++) a.k[70 * kv_row + i] = a.v_rows[70 * kv_row + i] = std::numeric_limits<float>::quiet_NaN();
      auto other_keys = poisoned_cache(cache, v, views), other_values = other_keys;
      const auto broken = attend(kernels, cache, {&a}, {0}, {90}, other_keys, other_values, 0.3f, 1);
      check(same_bits(broken.data(), sound.data(), 70 * row), named(v, cache) + ": earlier tokens are as they were");
      check(std::isnan(broken[70 * row]), named(v, cache) + ": the token itself shows it");
    }
}

}  // namespace
