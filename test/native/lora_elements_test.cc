// Rank rows' elements: every pattern that each type has, through the kernels that read them.
#include <limits>
#include "harness.h"

namespace {
using namespace lorikeet;
using namespace lorikeet::test;

// All 65,536 patterns of both 16-bit types, as one replaced row added to zeros.
KERNEL_TEST(every_16_bit_element_is_read_exactly) {
  std::vector<uint16_t> all(65536);
  for (size_t i = 0; i < all.size(); i++) all[i] = static_cast<uint16_t>(i);
  const void* row = all.data();
  SiteDelta d;
  d.rank = 1;
  d.a = &row;
  const LoraEntry entry{1, {&d}};
  const int32_t id = 0;
  for (DType type : {DType::f16, DType::bf16}) {
    std::vector<float> e(all.size(), 0.0f);
    LoraSegment segment{0, 1, &entry, 1};
    EmbeddingArgs args;
    args.ids = &id;
    args.lora.products = 1;
    args.lora.y[0] = e.data();
    args.lora.out[0] = static_cast<int64_t>(all.size());
    args.lora.in = 1;
    args.lora.segments = &segment;
    args.lora.segment_count = 1;
    args.lora.dtype = type;
    kernels.batched_embedding(args, on_threads(1));
    int wrong = 0;
    for (size_t i = 0; i < all.size(); i++) {
      const bool finite = (i & 0x7c00) != 0x7c00;
      const float want = type == DType::bf16 ? from_bfloat(all[i])
                         : finite            ? from_half(all[i])
                         : i & 0x3ff         ? std::numeric_limits<float>::quiet_NaN()
                                             : std::copysign(std::numeric_limits<float>::infinity(), i & 0x8000 ? -1.0f : 1.0f);
      wrong += std::isnan(want) ? !std::isnan(e[i]) : e[i] != want;
    }
    check(wrong == 0, std::to_string(wrong) + " elements are read wrongly");
  }
}

// All 256 patterns of a byte, as one replaced row and as a rank row of B, exactly.
KERNEL_TEST(every_int8_element_is_read_exactly) {
  std::vector<int8_t> all(256);
  for (size_t i = 0; i < all.size(); i++) all[i] = static_cast<int8_t>(i);
  const int8_t one = 1;
  const void *row = all.data(), *a = &one;
  const float scale = 0.5f, x = 4;
  SiteDelta replaced, pair;
  replaced.rank = pair.rank = 1;
  replaced.scales = pair.scales = &scale;
  replaced.a = pair.b = &row;
  pair.a = &a;
  const LoraEntry entries[2] = {{3, {&replaced}}, {3, {&pair}}};
  const int32_t id = 0;
  for (int which = 0; which < 2; which++) {
    std::vector<float> y(all.size(), 0.0f);
    LoraSegment segment{0, 1, &entries[which], 1};
    EmbeddingArgs args;
    args.ids = &id;
    args.lora.x = &x;
    args.lora.products = 1;
    args.lora.y[0] = y.data();
    args.lora.out[0] = static_cast<int64_t>(all.size());
    args.lora.in = 1;
    args.lora.segments = &segment;
    args.lora.segment_count = 1;
    args.lora.dtype = DType::i8;
    if (which) kernels.batched_lora(args.lora, on_threads(1));
    else kernels.batched_embedding(args, on_threads(1));
    for (size_t i = 0; i < all.size(); i++) check(y[i] == 3 * 0.5f * float(all[i]) * (which ? 4 : 1), "byte " + std::to_string(i));
  }
}

}  // namespace
