// Weights that a checkpoint has quantized already: packed and read back they are the checkpoint's own values, bit for bit, and their products are those of float64.
#include "linear_cases.h"
#include "numeric/stored.h"

namespace {
using namespace lorikeet;
using namespace lorikeet::test;

uint32_t next(uint64_t& state) {
  state = state * 6364136223846793005u + 1442695040888963407u;
  return static_cast<uint32_t>(state >> 33);
}

// compressed-tensors' rows: numbers, zero points and scales as a file has them, and what they mean, by the format's own rule.
struct Made {
  std::vector<uint32_t> codes;
  std::vector<uint16_t> scales;
  std::vector<int8_t> zeros;
  std::vector<float> values;
  StoredForm form;
};

Made made(int bits, int64_t in, int64_t out, int64_t group, bool symmetric, DType type) {
  Made m;
  uint64_t state = static_cast<uint64_t>(in * 7 + out + bits);
  const int64_t in_word = 32 / bits, words = (in + in_word - 1) / in_word, groups = (in + group - 1) / group;
  m.codes.resize(out * words);
  m.values.resize(out * in);
  for (int64_t i = 0; i < out * groups; i++) {
    const float scale = 0.001f + static_cast<float>(next(state) % 1000) * 1e-5f;
    m.scales.push_back(type == DType::f16 ? to_half(scale) : to_bfloat(scale));
    m.zeros.push_back(symmetric ? 0 : static_cast<int8_t>(static_cast<int>(next(state) % (1u << bits)) - (1 << (bits - 1))));
  }
  for (int64_t o = 0; o < out; o++)
    for (int64_t i = 0; i < in; i++) {
      const uint32_t number = next(state) % (1u << bits);
      m.codes[o * words + i / in_word] |= number << (bits * (i % in_word));
      const int64_t g = o * groups + i / group;
      const float scale = type == DType::f16 ? from_half(m.scales[g]) : from_bfloat(m.scales[g]);
      m.values[o * in + i] = scale * static_cast<float>(static_cast<int>(number) - (1 << (bits - 1)) - m.zeros[g]);
    }
  m.form.layout = StoredLayout::rows;
  m.form.bits = bits;
  m.form.in = in, m.form.out = out, m.form.group = group;
  m.form.byte_zeros = true;
  m.form.scale_type = type;
  m.form.codes = {reinterpret_cast<const uint8_t*>(m.codes.data()), m.codes.size() * 4};
  m.form.scales = {reinterpret_cast<const uint8_t*>(m.scales.data()), m.scales.size() * 2};
  if (!symmetric) m.form.zeros = {reinterpret_cast<const uint8_t*>(m.zeros.data()), m.zeros.size()};
  return m;
}

KERNEL_TEST(stored_weights_keep_their_values) {
  for (const auto* linear : linear_kernels_of(kernels))
    for (const int bits : {4, 8})
      for (const int64_t group : {32, 64, 128, 256})
        for (const bool symmetric : {true, false})
          for (const DType type : {DType::f16, DType::bf16}) {
            constexpr int64_t kIn = 256, kOut = 40;
            const Made m = made(bits, kIn, kOut, group, symmetric, type);
            const StoredWeight weight(m.form, "w");
            const bool whole = bits == 8 && group == kIn && symmetric;
            const LinearShape shape{bits == 4 ? WeightForm::uint4 : whole ? WeightForm::int8 : WeightForm::uint8, kIn, kOut};
            const std::unique_ptr<uint8_t, void (*)(void*)> packed(static_cast<uint8_t*>(std::aligned_alloc(64, linear_bytes(shape, *linear))), std::free);
            pack_stored(shape, weight, 32, kOut - 32, packed.get(), *linear);
            pack_stored(shape, weight, 0, 32, packed.get(), *linear);
            std::vector<float> row(kIn), x = Random(5).floats(3 * kIn), y(3 * kOut, NAN);
            LinearArgs args;
            args.x = x.data(), args.rows = 3, args.x_stride = kIn, args.products = 1;
            args.shape[0] = shape, args.packed[0] = packed.get(), args.y[0] = y.data(), args.y_stride[0] = kOut;
            linear->linear(args, on_threads(1));
            const std::string what = std::string(linear->name) + " " + std::to_string(bits) + " bits, groups of " + std::to_string(group);
            for (int64_t o = 0; o < kOut; o++) {
              weight.read_row(o, row.data());
              for (int64_t i = 0; i < kIn; i++) check(row[i] == m.values[o * kIn + i], what + ": as read");
              unpack_row(shape, packed.get(), o, row.data(), *linear);
              for (int64_t i = 0; i < kIn; i++) check(row[i] == m.values[o * kIn + i], what + ": as packed");
              for (int64_t t = 0; t < 3; t++) {
                const auto seen = rounded_inputs(*linear, shape.form, &x[t * kIn], kIn);
                double sum = 0, size = 1e-30;
                for (int64_t i = 0; i < kIn; i++) sum += row[i] * seen[i], size += std::abs(row[i] * seen[i]);
                check(std::abs(y[t * kOut + o] - sum) <= 1e-5 * size, what + ": product");
              }
            }
          }
}

// AWQ and GPTQ as their packers write them: [in, out] numbers, words of eight outputs in AWQ's order, or of inputs; GPTQ's first format keeps zero points less one, and
// may give each input a group of its own choice.
KERNEL_TEST(stored_awq_and_gptq_are_read_by_their_rules) {
  constexpr int64_t kIn = 128, kOut = 24, kGroup = 32, kGroups = kIn / kGroup;
  constexpr int kOrder[8] = {0, 2, 4, 6, 1, 3, 5, 7};
  for (const int bits : {4, 8})
    for (const StoredLayout layout : {StoredLayout::awq, StoredLayout::gptq}) {
      const bool awq = layout == StoredLayout::awq;
      if (awq && bits == 8) continue;
      const int in_word = 32 / bits;
      uint64_t state = static_cast<uint64_t>(bits);
      std::vector<int> numbers(kIn * kOut), zeros(kGroups * kOut);
      for (int& n : numbers) n = static_cast<int>(next(state) % (1u << bits));
      for (int& z : zeros) z = 1 + static_cast<int>(next(state) % ((1u << bits) - 1));
      std::vector<int32_t> order(kIn);
      for (int64_t i = 0; i < kIn; i++) order[i] = static_cast<int32_t>(awq ? i / kGroup : i * 5 % kIn / kGroup);
      std::vector<uint16_t> scales;
      for (int64_t i = 0; i < kGroups * kOut; i++) scales.push_back(to_half(0.01f + static_cast<float>(next(state) % 100) * 1e-4f));
      std::vector<uint32_t> codes(awq ? kIn * kOut / 8 : kIn / in_word * kOut), kept_zeros(kGroups * kOut / in_word);
      for (int64_t i = 0; i < kIn; i++)
        for (int64_t o = 0; o < kOut; o++)
          if (!awq) codes[i / in_word * kOut + o] |= static_cast<uint32_t>(numbers[i * kOut + o]) << (bits * (i % in_word));
      for (int64_t word = 0; awq && word < kIn * kOut / 8; word++)
        for (int n = 0; n < 8; n++) codes[word] |= static_cast<uint32_t>(numbers[word * 8 + kOrder[n]]) << (4 * n);
      for (int64_t word = 0; word < kGroups * kOut / in_word; word++)
        for (int n = 0; n < in_word; n++) kept_zeros[word] |= static_cast<uint32_t>(zeros[word * in_word + (awq ? kOrder[n] : n)] - (awq ? 0 : 1)) << (bits * n);
      StoredForm form;
      form.layout = layout, form.bits = bits, form.in = kIn, form.out = kOut, form.group = kGroup, form.zero_offset = awq ? 0 : 1;
      form.codes = {reinterpret_cast<const uint8_t*>(codes.data()), codes.size() * 4};
      form.zeros = {reinterpret_cast<const uint8_t*>(kept_zeros.data()), kept_zeros.size() * 4};
      form.scales = {reinterpret_cast<const uint8_t*>(scales.data()), scales.size() * 2};
      if (!awq) form.order = {reinterpret_cast<const uint8_t*>(order.data()), order.size() * 4};
      const StoredWeight weight(form, "w");
      std::vector<float> row(kIn);
      for (int64_t o = 0; o < kOut; o++) {
        weight.read_row(o, row.data());
        for (int64_t i = 0; i < kIn; i++) {
          const int64_t at = order[i] * kOut + o;
          check(row[i] == from_half(scales[at]) * static_cast<float>(numbers[i * kOut + o] - zeros[at]), std::string(awq ? "AWQ" : "GPTQ") + " of " + std::to_string(bits) + " bits");
        }
      }
    }
}

}  // namespace
