// BatchedEmbedding of tokens that adapters add to the vocabulary.
#include <algorithm>
#include <cstring>
#include "harness.h"

namespace {
using namespace lorikeet;
using namespace lorikeet::test;

// Ids behind the table's are those of tokens that adapters add: what was read for them is replaced, and nobody else's row changes.
KERNEL_TEST(added_tokens_are_embedded_by_their_adapters) {
  Random random(8);
  const int64_t vocab = 50, hidden = 77, added = 9;
  const int rows = 60;
  // One adapter has LoRA of the table besides.
  std::vector<std::vector<uint16_t>> low_a(5), low_b(5);
  std::vector<const void*> a_rows, b_rows;
  for (int j = 0; j < 5; j++) {
    for (const float v : random.floats(vocab)) low_a[j].push_back(to_half(v));
    for (const float v : random.floats(hidden)) low_b[j].push_back(to_half(v));
    a_rows.push_back(low_a[j].data());
    b_rows.push_back(low_b[j].data());
  }
  SiteDelta low;
  low.rank = 5;
  low.a = a_rows.data();
  low.b = b_rows.data();
  std::vector<std::vector<uint16_t>> one(4), other(9);
  std::vector<const void*> one_rows, other_rows;
  for (auto* list : {&one, &other})
    for (auto& row : *list) {
      for (const float v : random.floats(hidden)) row.push_back(to_half(v));
      (list == &one ? one_rows : other_rows).push_back(row.data());
    }
  const std::vector<int32_t> index{0, 2, 3, 8};
  SiteDelta of_one, of_other;
  of_one.rank = 4;
  of_one.a = one_rows.data();
  of_one.index = index.data();
  of_other.rank = 9;
  of_other.a = other_rows.data();
  const LoraEntry entries[] = {{0.25f, {&low, &of_one}}, {0.75f, {nullptr, &of_other}}};
  std::vector<int32_t> ids(rows);
  for (int32_t& id : ids) id = random.below(vocab + added);
  const auto before = random.floats(rows * hidden);
  const auto embed = [&](int first, int last, int32_t products, int threads) {
    std::vector<float> e(before.begin() + first * hidden, before.begin() + last * hidden);
    LoraSegment segment{0, last - first, entries, 2};
    EmbeddingArgs args;
    args.ids = ids.data() + first;
    args.lora.products = products;
    args.lora.y[0] = e.data();
    args.lora.out[0] = hidden;
    args.lora.in = vocab;
    args.lora.segments = &segment;
    args.lora.segment_count = 1;
    kernels.batched_embedding(args, on_threads(threads));
    return e;
  };
  const auto whole = embed(0, rows, 2, 1), without = embed(0, rows, 1, 1);
  check(embed(0, rows, 2, 5) == whole, "other threads, other bits");
  for (int t = 0; t < rows; t++) {
    check(std::memcmp(embed(t, t + 1, 2, 1).data(), &whole[t * hidden], sizeof(float) * hidden) == 0, "alone, row " + std::to_string(t) + " has other bits");
    const int32_t extra = ids[t] - static_cast<int32_t>(vocab);
    if (extra < 0) {
      check(std::memcmp(&without[t * hidden], &whole[t * hidden], sizeof(float) * hidden) == 0, "a row of the table is as without added tokens");
      continue;
    }
    const auto at = std::find(index.begin(), index.end(), extra);
    double worst = 0;
    for (int64_t o = 0; o < hidden; o++) {
      const double want = 0.75 * from_half(other[extra][o]) + (at == index.end() ? 0 : 0.25 * from_half(one[at - index.begin()][o]));
      worst = std::max(worst, std::abs(whole[t * hidden + o] - want));
    }
    check_near(worst, 0, 1e-6, "added token " + std::to_string(extra));
  }
}

}  // namespace
