// BatchedLora, ScaleInput and BatchedEmbedding against float64, over the adapter mixes that batches show, mixed ranks and all row types; and that a row's bits do
// not depend on what is beside it.
#include <algorithm>
#include <memory>
#include "harness.h"

namespace {
using namespace lorikeet;
using namespace lorikeet::test;

// A delta with its memory; any part may be absent.
struct Delta {
  std::vector<StoredRow> a, b;
  std::vector<const void*> a_rows, b_rows;
  std::vector<int32_t> index;
  std::vector<float> scales, out_scale, bias, in_scale;
  SiteDelta view;
};

struct Form {
  bool low_rank = true, indexed = false, scaled = false, biased = false;
};

std::unique_ptr<Delta> make_delta(Random& random, DType type, int32_t rank, int64_t in, int64_t out, Form form) {
  auto d = std::make_unique<Delta>();
  for (int32_t j = 0; j < rank; j++) d->a.push_back(store_row(random.floats(in), type));
  for (const auto& row : d->a) d->a_rows.push_back(row.bytes.data());
  d->view.rank = rank;
  d->view.a = d->a_rows.data();
  if (form.low_rank) {
    for (int32_t j = 0; j < rank; j++) d->b.push_back(store_row(random.floats(out), type));
    for (const auto& row : d->b) d->b_rows.push_back(row.bytes.data());
    d->view.b = d->b_rows.data();
  } else if (form.indexed) {
    std::vector<int32_t> places(out);
    for (int64_t i = 0; i < out; i++) places[i] = static_cast<int32_t>(i);
    for (int64_t i = out - 1; i > 0; i--) std::swap(places[i], places[random.below(static_cast<int32_t>(i + 1))]);
    d->index.assign(places.begin(), places.begin() + rank);
    std::sort(d->index.begin(), d->index.end());
    d->view.index = d->index.data();
  }
  if (type == DType::i8) {  // a pair's two scales are one
    for (int32_t j = 0; j < rank; j++) d->scales.push_back(d->a[j].scale * (form.low_rank ? d->b[j].scale : 1));
    d->view.scales = d->scales.data();
  }
  if (form.scaled) {
    d->out_scale = random.floats(out);
    d->view.out_scale = d->out_scale.data();
  }
  if (form.biased) {
    d->bias = random.floats(out);
    d->view.bias = d->bias.data();
  }
  return d;
}

// What the definition in kernels.h says, in double.
std::vector<double> reference(const Delta* const* deltas, const float* weights, int count, const float* x, int64_t in, const float* y, int64_t out) {
  std::vector<double> result(y, y + out);
  for (int e = 0; e < count; e++) {
    const Delta* d = deltas[e];
    if (!d) continue;
    std::vector<double> change(out, 0.0);
    for (int32_t j = 0; j < d->view.rank; j++) {
      double h = 0;
      for (int64_t i = 0; i < in; i++) h += double(x[i]) * d->a[j].values[i];
      if (d->view.b)
        for (int64_t o = 0; o < out; o++) change[o] += h * d->b[j].values[o];
      else
        change[d->view.index ? d->index[j] : j] += h;
    }
    for (int64_t o = 0; o < out; o++) {
      const double scale = d->view.out_scale ? d->out_scale[o] : 1, bias = d->view.bias ? d->bias[o] : 0;
      result[o] += weights[e] * (scale * (y[o] + change[o]) + bias - y[o]);
    }
  }
  return result;
}

// Which adapter each row uses; -1 = the base.
std::vector<int> adapter_mix(Random& random, const std::string& kind, int rows, int adapters) {
  std::vector<int> mix(rows);
  for (int t = 0; t < rows; t++) {
    if (kind == "distinct") mix[t] = t % adapters;
    else if (kind == "uniform") mix[t] = random.below(adapters + 1) - 1;
    else if (kind == "identical") mix[t] = 0;
    else if (kind == "skewed") mix[t] = t == rows / 2 ? 1 % adapters : 0;
    else mix[t] = std::min(adapters - 1, static_cast<int>(1 / (std::abs(random.uniform()) + 0.05)));  // zipf-like
  }
  std::sort(mix.begin(), mix.end());
  return mix;
}

struct Batch {
  int64_t in;
  std::vector<int64_t> outs;
  DType type;
  std::vector<std::vector<std::unique_ptr<Delta>>> adapters;  // [adapter][product], null where it has none
};

// Runs rows [first, last) of the mix as one call and returns y of each product.
std::vector<std::vector<float>> run(const Kernels& kernels, const Batch& batch, const std::vector<int>& mix, int first, int last, const std::vector<float>& x,
                                    const std::vector<std::vector<float>>& y, int threads) {
  std::vector<std::vector<float>> out;
  LoraArgs args;
  args.x = x.data() + first * batch.in;
  args.in = batch.in;
  args.products = static_cast<int32_t>(batch.outs.size());
  args.dtype = batch.type;
  for (size_t p = 0; p < batch.outs.size(); p++) out.emplace_back(y[p].begin() + first * batch.outs[p], y[p].begin() + last * batch.outs[p]);
  for (size_t p = 0; p < batch.outs.size(); p++) {
    args.y[p] = out[p].data();
    args.out[p] = batch.outs[p];
  }
  std::vector<LoraEntry> entries;
  entries.reserve(mix.size());
  std::vector<LoraSegment> segments;
  for (int t = first; t < last;) {
    int end = t;
    while (end < last && mix[end] == mix[t]) end++;
    LoraSegment segment{t - first, end - first, entries.data() + entries.size(), 0};
    if (mix[t] >= 0) {
      LoraEntry entry;
      for (size_t p = 0; p < batch.outs.size(); p++) entry.delta[p] = batch.adapters[mix[t]][p] ? &batch.adapters[mix[t]][p]->view : nullptr;
      entries.push_back(entry);
      segment.entry_count = 1;
    }
    segments.push_back(segment);
    t = end;
  }
  args.segments = segments.data();
  args.segment_count = static_cast<int32_t>(segments.size());
  kernels.batched_lora(args, on_threads(threads));
  return out;
}

double tolerance(int64_t in, int32_t rank) { return 1e-6 * std::sqrt(double(in) * std::max(rank, 1)) * 8; }

KERNEL_TEST(lora_equals_float64_over_mixes_and_ranks) {
  Random random(1);
  const std::vector<int32_t> ranks{1, 3, 8, 16, 31, 64, 128, 256};
  for (DType type : {DType::f32, DType::f16, DType::bf16, DType::i8}) {
    Batch batch{77, {96, 33, 640}, type, {}};
    for (size_t i = 0; i < ranks.size(); i++) {
      const Form form{true, false, i % 3 == 1, i % 2 == 1};
      auto& adapter = batch.adapters.emplace_back();
      for (size_t p = 0; p < 3; p++) {
        const bool absent = (i + p) % 4 == 3;
        adapter.push_back(absent ? nullptr : make_delta(random, type, ranks[i], batch.in, batch.outs[p], form));
      }
    }
    const int rows = 23;
    const auto x = random.floats(rows * batch.in);
    std::vector<std::vector<float>> y;
    for (int64_t out : batch.outs) y.push_back(random.floats(rows * out));
    for (const char* kind : {"distinct", "uniform", "zipf", "identical", "skewed"}) {
      const auto mix = adapter_mix(random, kind, rows, static_cast<int>(ranks.size()));
      const auto got = run(kernels, batch, mix, 0, rows, x, y, 2);
      for (int t = 0; t < rows; t++)
        for (size_t p = 0; p < 3; p++) {
          const Delta* delta = mix[t] < 0 ? nullptr : batch.adapters[mix[t]][p].get();
          const float one = 1;
          const auto want = reference(&delta, &one, 1, &x[t * batch.in], batch.in, &y[p][t * batch.outs[p]], batch.outs[p]);
          double worst = 0;
          for (int64_t o = 0; o < batch.outs[p]; o++) worst = std::max(worst, std::abs(got[p][t * batch.outs[p] + o] - want[o]));
          check_near(worst, 0, tolerance(batch.in, delta ? delta->view.rank : 0), std::string(kind) + " row " + std::to_string(t));
        }
    }
  }
}

KERNEL_TEST(lora_rows_do_not_depend_on_the_batch) {
  Random random(2);
  for (DType type : {DType::f16, DType::i8}) {
    Batch batch{200, {520, 48}, type, {}};
    for (int32_t rank : {5, 16, 40}) {
      auto& adapter = batch.adapters.emplace_back();
      for (int64_t out : batch.outs) adapter.push_back(make_delta(random, batch.type, rank, batch.in, out, {true, false, rank == 16, rank == 5}));
    }
    const int rows = 37;
    const auto x = random.floats(rows * batch.in);
    std::vector<std::vector<float>> y;
    for (int64_t out : batch.outs) y.push_back(random.floats(rows * out));
    for (const char* kind : {"distinct", "identical", "skewed"}) {
      const auto mix = adapter_mix(random, kind, rows, 3);
      const auto whole = run(kernels, batch, mix, 0, rows, x, y, 1);
      for (int threads : {2, 7, 64}) check(run(kernels, batch, mix, 0, rows, x, y, threads) == whole, std::string(kind) + ": other threads, other bits");
      for (int t = 0; t < rows; t++) {
        const auto alone = run(kernels, batch, mix, t, t + 1, x, y, t % 2 ? 1 : 4);
        for (size_t p = 0; p < 2; p++)
          check(std::memcmp(alone[p].data(), &whole[p][t * batch.outs[p]], sizeof(float) * batch.outs[p]) == 0,
                std::string(kind) + ": alone, row " + std::to_string(t) + " has other bits");
      }
    }
  }
}

KERNEL_TEST(lora_direct_forms_and_weighted_mixes) {
  Random random(3);
  const int64_t in = 50, out = 90;
  for (DType type : {DType::f32, DType::f16, DType::bf16, DType::i8}) {
    std::vector<std::unique_ptr<Delta>> deltas;
    deltas.push_back(make_delta(random, type, 7, in, out, {true, false, true, true}));
    deltas.push_back(make_delta(random, type, static_cast<int32_t>(out), in, out, {false, false, false, false}));
    deltas.push_back(make_delta(random, type, 13, in, out, {false, true, false, true}));
    deltas.push_back(make_delta(random, type, 0, in, out, {true, false, true, false}));  // a scale alone
    const float weights[] = {0.7f, -0.4f, 1.0f, 0.25f};
    const int rows = 6;
    const auto x = random.floats(rows * in), before = random.floats(rows * out);
    auto y = before;
    std::vector<LoraEntry> entries(4);
    std::vector<const Delta*> pointers;
    for (int e = 0; e < 4; e++) {
      entries[e].weight = weights[e];
      entries[e].delta[0] = &deltas[e]->view;
      pointers.push_back(deltas[e].get());
    }
    LoraSegment segment{0, rows, entries.data(), 4};
    LoraArgs args;
    args.x = x.data();
    args.in = in;
    args.products = 1;
    args.y[0] = y.data();
    args.out[0] = out;
    args.segments = &segment;
    args.segment_count = 1;
    args.dtype = type;
    kernels.batched_lora(args, on_threads(2));
    for (int t = 0; t < rows; t++) {
      const auto want = reference(pointers.data(), weights, 4, &x[t * in], in, &before[t * out], out);
      for (int64_t o = 0; o < out; o++) check_near(y[t * out + o], want[o], tolerance(in, 16), "mixed forms");
    }
  }
}

KERNEL_TEST(scale_input_scales_by_the_weighted_mix) {
  Random random(4);
  const int64_t width = 75;
  auto scale = random.floats(width), other = random.floats(width);
  SiteDelta d, e, none;
  d.in_scale = scale.data();
  e.in_scale = other.data();
  LoraEntry entries[3];
  entries[0] = {0.5f, {&d}};
  entries[1] = {2.0f, {&e}};
  entries[2] = {1.0f, {&none}};
  LoraSegment segments[] = {{0, 2, entries, 3}, {3, 4, entries, 1}};
  const auto before = random.floats(5 * width);
  auto x = before;
  LoraArgs args;
  args.products = 1;
  args.y[0] = x.data();
  args.out[0] = width;
  args.segments = segments;
  args.segment_count = 2;
  kernels.scale_input(args, on_threads(1));
  for (int t = 0; t < 5; t++)
    for (int64_t i = 0; i < width; i++) {
      double factor = 1;
      if (t < 2) factor += 0.5 * (double(scale[i]) - 1) + 2.0 * (double(other[i]) - 1);
      else if (t == 3) factor += 0.5 * (double(scale[i]) - 1);
      check_near(x[t * width + i], before[t * width + i] * factor, 1e-6, "scaled input");
    }
}

KERNEL_TEST(embedding_adds_low_rank_rows_and_replaced_rows) {
  Random random(5);
  const int64_t vocab = 40, hidden = 27;
  for (DType type : {DType::f32, DType::f16, DType::bf16, DType::i8}) {
    auto low = make_delta(random, type, 3, vocab, hidden, {true, false, false, false});
    auto rows_form = make_delta(random, type, 4, hidden, vocab, {false, true, false, false});
    LoraEntry entries[2] = {{0.5f, {&low->view}}, {2.0f, {&rows_form->view}}};
    LoraSegment segment{0, 40, entries, 2};
    std::vector<int32_t> ids(40);
    for (int i = 0; i < 40; i++) ids[i] = i;
    const auto before = random.floats(40 * hidden);
    auto e = before;
    EmbeddingArgs args;
    args.ids = ids.data();
    args.lora.products = 1;
    args.lora.y[0] = e.data();
    args.lora.out[0] = hidden;
    args.lora.in = vocab;
    args.lora.segments = &segment;
    args.lora.segment_count = 1;
    args.lora.dtype = type;
    kernels.batched_embedding(args, on_threads(1));
    for (int t = 0; t < 40; t++)
      for (int64_t i = 0; i < hidden; i++) {
        double want = before[t * hidden + i];
        for (int j = 0; j < 3; j++) want += 0.5 * low->a[j].values[t] * low->b[j].values[i];
        for (int j = 0; j < 4; j++)
          if (rows_form->index[j] == t) want += 2.0 * rows_form->a[j].values[i];
        check_near(e[t * hidden + i], want, 1e-5, "embedding");
      }
  }
}

// LoHa's rank is r², RandLoRA's min(in, out): the same kernel, with few rows on many threads cut by rank and by output.
KERNEL_TEST(lora_of_great_rank_equals_float64_on_any_threads) {
  Random random(6);
  Batch batch{130, {70, 1100}, DType::f16, {}};
  auto& adapter = batch.adapters.emplace_back();
  for (int64_t out : batch.outs) adapter.push_back(make_delta(random, batch.type, 1024, batch.in, out, {true, false, false, false}));
  const std::vector<int> mix(19, 0);
  const auto x = random.floats(19 * batch.in);
  std::vector<std::vector<float>> y;
  for (int64_t out : batch.outs) y.push_back(random.floats(19 * out));
  const auto whole = run(kernels, batch, mix, 0, 19, x, y, 1);
  for (size_t p = 0; p < 2; p++) {
    const Delta* delta = batch.adapters[0][p].get();
    const float one = 1;
    const auto want = reference(&delta, &one, 1, &x[18 * batch.in], batch.in, &y[p][18 * batch.outs[p]], batch.outs[p]);
    double worst = 0;
    for (int64_t o = 0; o < batch.outs[p]; o++) worst = std::max(worst, std::abs(whole[p][18 * batch.outs[p] + o] - want[o]));
    check_near(worst, 0, tolerance(batch.in, 1024), "rank 1024");
  }
  for (int threads : {3, 16, 64}) check(run(kernels, batch, mix, 0, 19, x, y, threads) == whole, "other threads, other bits");
}

KERNEL_TEST(embedding_rows_do_not_depend_on_the_batch) {
  Random random(7);
  const int64_t vocab = 50, hidden = 600;
  const int rows = 90;
  for (DType type : {DType::f16, DType::i8}) {
    auto low = make_delta(random, type, 33, vocab, hidden, {true, false, false, false});
    const LoraEntry entry{0.5f, {&low->view}};
    std::vector<int32_t> ids(rows);
    for (int i = 0; i < rows; i++) ids[i] = random.below(60) - 5;  // some outside the vocabulary: nothing is added
    const auto before = random.floats(rows * hidden);
    const auto embed = [&](int first, int last, int threads) {
      std::vector<float> e(before.begin() + first * hidden, before.begin() + last * hidden);
      LoraSegment segment{0, last - first, &entry, 1};
      EmbeddingArgs args;
      args.ids = ids.data() + first;
      args.lora.products = 1;
      args.lora.y[0] = e.data();
      args.lora.out[0] = hidden;
      args.lora.in = vocab;
      args.lora.segments = &segment;
      args.lora.segment_count = 1;
      args.lora.dtype = type;
      kernels.batched_embedding(args, on_threads(threads));
      return e;
    };
    const auto whole = embed(0, rows, 1);
    check(embed(0, rows, 8) == whole, "other threads, other bits");
    for (int t = 0; t < rows; t++) {
      check(std::memcmp(embed(t, t + 1, 1).data(), &whole[t * hidden], sizeof(float) * hidden) == 0, "alone, row " + std::to_string(t) + " has other bits");
      if (ids[t] < 0 || ids[t] >= vocab)
        check(std::memcmp(&before[t * hidden], &whole[t * hidden], sizeof(float) * hidden) == 0, "row " + std::to_string(t) + " has no such token");
    }
  }
}

}  // namespace
