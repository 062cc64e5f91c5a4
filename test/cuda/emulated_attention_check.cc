// The kernels that stand in for ONNX Runtime's: Gemm, and PagedAttention against float64 over contiguous keys and values, and what it refuses.
#include <stdexcept>
#include "../native/harness.h"
#include "emulated/gemm.h"
#include "emulated/paged_attention.h"
#include "emulated_check.h"
#include "emulator.h"

namespace lorikeet::test {
namespace {

using emulated::CacheElement, emulated::Float, emulated::PagedAttentionArgs;

struct Sequence {
  int32_t past, count;
};

// A batch in pages that lie anywhere; the past is written by a step of its own.
struct Scene {
  static constexpr int32_t kBlock = 16, kHeads = 4, kKvHeads = 2, kSize = 32, kRotary = 16, kPositions = 128, kColumns = 5;
  PagedAttentionArgs args;
  std::vector<Sequence> sequences;
  bool packed, norms;
  std::vector<uint16_t> qkv, query, key, value, cos, sin, q_norm, k_norm, out;
  std::vector<uint8_t> key_cache, value_cache;
  std::vector<int32_t> cumulative{0}, past, table, slots;
  int32_t bounds[2] = {0, 0};
  Random random{11};

  float decode(uint16_t bits) const { return args.type == Float::f16 ? cuda::F16::decode(bits) : cuda::BF16::decode(bits); }
  uint16_t encode(float value) const { return args.type == Float::f16 ? cuda::F16::encode(value) : cuda::BF16::encode(value); }
  std::vector<uint16_t> draw(size_t n) {
    std::vector<uint16_t> v(n);
    for (uint16_t& x : v) x = encode(random.uniform());
    return v;
  }

  Scene(Float type, CacheElement cache, std::vector<Sequence> all, bool packed, bool norms) : sequences(std::move(all)), packed(packed), norms(norms) {
    args.type = type;
    args.cache_type = cache;
    args.heads = kHeads;
    args.kv_heads = kKvHeads;
    args.head_size = kSize;
    args.block_size = kBlock;
    args.max_blocks = kColumns;
    args.batch = static_cast<int64_t>(sequences.size());
    args.blocks = args.batch * kColumns + 3;
    args.scale = 0.4f;
    args.norm_epsilon = 1e-5f;
    if (cache != CacheElement::same) args.k_scale = args.v_scale = cache == CacheElement::int8 ? 1 / 64.0f : 1 / 16.0f;
    key_cache.assign(args.blocks * kBlock * kKvHeads * kSize * 2, 0xff);
    value_cache = key_cache;
    std::vector<int32_t> free(args.blocks);
    for (int32_t i = 0; i < args.blocks; i++) free[i] = i;
    for (size_t i = free.size(); i-- > 1;) std::swap(free[i], free[random.below(static_cast<int32_t>(i + 1))]);
    for (size_t b = 0; b < sequences.size(); b++) {
      cumulative.push_back(cumulative.back() + sequences[b].count);
      past.push_back(sequences[b].past);
      for (int32_t i = 0; i < kColumns; i++) table.push_back(free[b * kColumns + i]);
      for (int32_t t = 0; t < sequences[b].count; t++) {
        const int32_t position = sequences[b].past + t;
        slots.push_back(table[b * kColumns + position / kBlock] * kBlock + position % kBlock);
      }
      bounds[0] = std::max(bounds[0], sequences[b].count);
      bounds[1] = std::max(bounds[1], sequences[b].past + sequences[b].count);
    }
    args.tokens = cumulative.back();
    query = draw(args.tokens * kHeads * kSize);
    key = draw(args.tokens * kKvHeads * kSize);
    value = draw(args.tokens * kKvHeads * kSize);
    for (int64_t t = 0; t < args.tokens; t++)
      for (const auto& [part, width] : {std::pair(&query, kHeads * kSize), std::pair(&key, kKvHeads * kSize), std::pair(&value, kKvHeads * kSize)})
        qkv.insert(qkv.end(), part->begin() + t * width, part->begin() + (t + 1) * width);
    for (int32_t p = 0; p < kPositions; p++)
      for (int32_t i = 0; i < kRotary / 2; i++) {
        cos.push_back(encode(static_cast<float>(std::cos(p / (1.0 + i)))));
        sin.push_back(encode(static_cast<float>(std::sin(p / (1.0 + i)))));
      }
    q_norm = draw(kSize);
    k_norm = draw(kSize);
    out.assign(args.tokens * kHeads * kSize, 0xffff);
  }

  void run() {
    args.query = packed ? qkv.data() : query.data();
    args.key = packed ? nullptr : key.data();
    args.value = packed ? nullptr : value.data();
    args.key_cache = key_cache.data();
    args.value_cache = value_cache.data();
    args.cumulative = cumulative.data();
    args.past = past.data();
    args.block_table = table.data();
    args.slots = slots.data();
    args.bounds = bounds;
    args.cos = cos.data();
    args.sin = sin.data();
    args.positions = kPositions;
    args.rotary = kRotary;
    args.q_norm = norms ? q_norm.data() : nullptr;
    args.k_norm = norms ? k_norm.data() : nullptr;
    args.out = out.data();
    emulated::paged_attention(args);
  }

  std::vector<double> head(const std::vector<uint16_t>& from, int64_t at, const std::vector<uint16_t>* norm, int32_t position) const {
    std::vector<double> v(kSize), rotated;
    for (int32_t i = 0; i < kSize; i++) v[i] = decode(from[at + i]);
    if (norm) {
      double squares = 0;
      for (double x : v) squares += x * x;
      for (int32_t i = 0; i < kSize; i++) v[i] *= decode((*norm)[i]) / std::sqrt(squares / kSize + 1e-5);
    }
    rotated = v;
    for (int32_t i = 0; i < kRotary; i++) {
      const int32_t pair = i % (kRotary / 2);
      const double c = decode(cos[position * kRotary / 2 + pair]), s = decode(sin[position * kRotary / 2 + pair]);
      rotated[i] = i < kRotary / 2 ? v[i] * c - v[i + kRotary / 2] * s : v[i] * c + v[i - kRotary / 2] * s;
    }
    return rotated;
  }
};

// Sequences that begin in this step, so that everything they see is in it: against float64.
void check_values(Float type, CacheElement cache, bool packed, bool norms, float softcap, int64_t window) {
  Scene s(type, cache, {{0, 37}, {0, 1}, {0, 20}}, packed, norms);
  s.args.softcap = softcap;
  s.args.window = window;
  s.run();
  double worst = 0;
  for (size_t b = 0; b < s.sequences.size(); b++)
    for (int32_t t = 0; t < s.sequences[b].count; t++)
      for (int32_t h = 0; h < Scene::kHeads; h++) {
        const int64_t first = s.cumulative[b], kv = h / (Scene::kHeads / Scene::kKvHeads);
        const auto q = s.head(s.query, ((first + t) * Scene::kHeads + h) * Scene::kSize, s.norms ? &s.q_norm : nullptr, t);
        std::vector<double> sum(Scene::kSize);
        double total = 0;
        for (int32_t j = window < 0 ? 0 : std::max<int32_t>(0, t + 1 - static_cast<int32_t>(window)); j <= t; j++) {
          const auto k = s.head(s.key, ((first + j) * Scene::kKvHeads + kv) * Scene::kSize, s.norms ? &s.k_norm : nullptr, j);
          double score = 0;
          for (int32_t i = 0; i < Scene::kSize; i++) score += q[i] * k[i];
          score *= s.args.scale;
          if (softcap > 0) score = softcap * std::tanh(score / softcap);
          const double weight = std::exp(score);
          total += weight;
          for (int32_t i = 0; i < Scene::kSize; i++) sum[i] += weight * s.decode(s.value[((first + j) * Scene::kKvHeads + kv) * Scene::kSize + i]);
        }
        for (int32_t i = 0; i < Scene::kSize; i++)
          worst = std::max(worst, std::abs(sum[i] / total - s.decode(s.out[((first + t) * Scene::kHeads + h) * Scene::kSize + i])));
      }
  // Roundings of q, k and the output; with 8 bits those of keys and values, which are below one.
  const double allowed = cache == CacheElement::int8 ? 0.03 : cache == CacheElement::float8 ? 0.12 : type == Float::f16 ? 0.003 : 0.02;
  check(worst <= allowed, "attention: off by " + std::to_string(worst));
}

// The same tokens, the first ones by an earlier step.
void check_chunks(CacheElement cache) {
  Scene whole(Float::f16, cache, {{0, 37}, {0, 20}}, false, true);
  whole.run();
  std::vector<uint8_t> keys, values;
  for (const bool first : {true, false}) {
    Scene part(Float::f16, cache, first ? std::vector<Sequence>{{0, 30}, {0, 19}} : std::vector<Sequence>{{30, 7}, {19, 1}}, false, true);
    part.table = whole.table;
    part.q_norm = whole.q_norm;
    part.k_norm = whole.k_norm;
    part.slots.clear();
    for (int32_t b = 0; b < 2; b++)
      for (int32_t t = 0; t < part.sequences[b].count; t++) {
        const int64_t at = whole.cumulative[b] + part.past[b] + t, to = part.cumulative[b] + t;
        part.slots.push_back(whole.slots[at]);
        for (auto [from, into, width] : {std::tuple(&whole.query, &part.query, Scene::kHeads), std::tuple(&whole.key, &part.key, Scene::kKvHeads),
                                         std::tuple(&whole.value, &part.value, Scene::kKvHeads)})
          std::copy_n(from->begin() + at * width * Scene::kSize, width * Scene::kSize, into->begin() + to * width * Scene::kSize);
      }
    if (!first) part.key_cache = keys, part.value_cache = values;
    part.run();
    keys = part.key_cache;
    values = part.value_cache;
    for (int32_t b = 0; b < 2; b++) {
      const int64_t width = Scene::kHeads * Scene::kSize, at = (whole.cumulative[b] + part.past[b]) * width;
      check(std::equal(part.out.begin() + part.cumulative[b] * width, part.out.begin() + part.cumulative[b + 1] * width, whole.out.begin() + at),
            "attention: a sequence in chunks has the same bits");
    }
  }
  check(keys == whole.key_cache && values == whole.value_cache, "attention: and the same cache");
}

template <class Change>
void check_refusal(const char* what, Change change) {
  Scene s(Float::f16, CacheElement::same, {{0, 20}, {0, 3}}, false, false);
  change(s);
  try {
    s.run();
  } catch (const std::invalid_argument&) {
    return check(true, what);
  }
  check(false, std::string("attention takes ") + what);
}

}  // namespace

void check_emulated_gemm() {
  constexpr int64_t kRows = 3, kIn = 40, kOut = 35;  // two whole tiles of outputs and a part of one
  Random random(5);
  const auto draw = [&](size_t n) {
    std::vector<uint16_t> v(n);
    for (uint16_t& x : v) x = cuda::F16::encode(random.uniform());
    return v;
  };
  const std::vector<uint16_t> x = draw(kRows * kIn), w = draw(kOut * kIn), bias = draw(kOut);
  std::vector<uint16_t> y(kRows * kOut, 0xffff);
  emulated::gemm(x.data(), w.data(), bias.data(), kRows, kIn, kOut, y.data());
  double worst = 0;
  for (int64_t r = 0; r < kRows; r++)
    for (int64_t o = 0; o < kOut; o++) {
      double sum = cuda::F16::decode(bias[o]);
      for (int64_t i = 0; i < kIn; i++) sum += double{cuda::F16::decode(x[r * kIn + i])} * cuda::F16::decode(w[o * kIn + i]);
      worst = std::max(worst, std::abs(sum - cuda::F16::decode(y[r * kOut + o])) / (1 + std::abs(sum)));
    }
  check(worst < 0x1p-11, "gemm: off by " + std::to_string(worst));
}

void check_emulated_attention() {
  int wrong = 0;
  for (int bits = 0; bits < 256; bits++)
    if ((bits & 0x7f) != 0x7f) wrong += emulated::to_float8(emulated::from_float8(static_cast<uint8_t>(bits))) != bits;
  wrong += emulated::from_float8(0x7e) != 448 || emulated::to_float8(1000) != 0x7e || emulated::to_float8(-17) != emulated::to_float8(-16) ||
           emulated::to_float8(19) != emulated::to_float8(20) || emulated::from_float8(1) != 0x1p-9f;
  check(wrong == 0, "float8e4m3fn");
  for (const CacheElement cache : {CacheElement::same, CacheElement::int8, CacheElement::float8}) {
    for (const Float type : {Float::f16, Float::bf16}) {
      check_values(type, cache, false, false, 0, -1);
      check_values(type, cache, true, true, 2, 7);
    }
    check_chunks(cache);
  }
  check_refusal("a bound on new tokens that is too small", [](Scene& s) { s.bounds[0] = 19; });
  check_refusal("a bound on all tokens that is too small", [](Scene& s) { s.bounds[1] = 19; });
  check_refusal("a block outside the cache", [](Scene& s) { s.table[1] = static_cast<int32_t>(s.args.blocks); });
  check_refusal("a slot that nobody reads", [](Scene& s) { s.slots[2]++; });
  check_refusal("two tokens in one slot", [](Scene& s) {
    s.table[Scene::kColumns] = s.table[0];
    for (int t = 0; t < 3; t++) s.slots[20 + t] = s.slots[t];
  });
  check_refusal("a row of block_table that is too short", [](Scene& s) { s.args.max_blocks = 1; });
  check_refusal("pages of 24 tokens", [](Scene& s) { s.args.block_size = 24; });
  check_refusal("pages of 8 tokens", [](Scene& s) { s.args.block_size = 8; });
  check_refusal("heads of 24 channels", [](Scene& s) { s.args.head_size = 24; });
}

}  // namespace lorikeet::test
