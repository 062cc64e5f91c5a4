#include "lora_check.h"
#include <string>
#include "world.h"

namespace lorikeet::test {
namespace {

using Products = std::vector<std::vector<uint16_t>>;

struct Ran {
  Products y;
};

// Row after row the first product's, the second's, and so on; and the products again.
std::vector<uint16_t> side_by_side(const Products& y, const std::vector<int32_t>& outs) {
  std::vector<uint16_t> all;
  for (size_t row = 0; row < y[0].size() / outs[0]; row++)
    for (size_t p = 0; p < y.size(); p++) all.insert(all.end(), y[p].begin() + row * outs[p], y[p].begin() + (row + 1) * outs[p]);
  return all;
}
Products apart(const std::vector<uint16_t>& all, const std::vector<int32_t>& outs) {
  Products y(outs.size());
  for (auto at = all.begin(); at != all.end();)
    for (size_t p = 0; p < outs.size(); at += outs[p], p++) y[p].insert(y[p].end(), at, at + outs[p]);
  return y;
}

// `joined`: the products are columns of one matrix. `times`: the op runs so often, back to back on its own results; `overlap`: as far as they may at once.
Ran run(World& world, const Segments& segments, const std::vector<uint16_t>& x, const Products& y, bool wide, int32_t multiprocessors,
        bool joined = false, int times = 1, bool overlap = false) {
  cuda::AdapterStep step = world.step();
  cuda::Launch launch;
  launch.counts = world.plan(segments, wide, step.plan);
  launch.multiprocessors = multiprocessors;
  launch.overlap = overlap;
  cuda::LoraOp op;
  OnDevice<uint16_t> x_device(x);
  std::vector<std::unique_ptr<OnDevice<uint16_t>>> products;
  if (joined) products.push_back(std::make_unique<OnDevice<uint16_t>>(side_by_side(y, world.outs())));
  op.x = x_device.data();
  op.in = world.in();
  op.products = static_cast<int32_t>(y.size());
  int32_t column = 0;
  for (size_t p = 0; p < y.size(); p++) {
    if (!joined) products.push_back(std::make_unique<OnDevice<uint16_t>>(y[p]));
    op.y[p] = joined ? products[0]->data() + column : products[p]->data();
    op.out[p] = world.outs()[p];
    op.site[p] = static_cast<int32_t>(p);
    column += world.outs()[p];
  }
  op.y_stride = joined ? column : 0;
  op.h_rows = launch.counts.h_rows;
  OnDevice<float> h(cuda::lora_scratch_bytes(op.in, op.products, op.h_rows) / sizeof(float));
  op.h = h.data();
  for (int i = 0; i < times; i++) must(cuda::batched_lora(step, op, launch), "batched_lora");
  if (joined) return {apart(products[0]->get(), world.outs())};
  Ran ran;
  for (const auto& product : products) ran.y.push_back(product->get());
  return ran;
}

std::vector<uint16_t> draw(Random& random, size_t n, DType type) {
  std::vector<uint16_t> v(n);
  for (uint16_t& x : v) x = stored_bits(random.uniform(), type);
  return v;
}

// Against float64: a rounding of the result (and of what stood there before a direct delta is added), float32 sums, h in two halves.
void compare(const World& world, const Segments& segments, const std::vector<uint16_t>& x, const std::vector<std::vector<uint16_t>>& y, const Ran& ran,
             const std::string& what) {
  std::vector<std::vector<double>> want, size, rounded;
  for (const auto& product : y) {
    want.emplace_back();
    for (const uint16_t bits : product) want.back().push_back(restored(bits, world.type()));
    size.emplace_back(product.size());
    rounded.emplace_back(product.size());
  }
  world.reference(segments, x, want, size, rounded);
  const double rounding = world.type() == DType::f16 ? 0x1p-11 : 0x1p-8;
  double worst = 0;
  for (size_t p = 0; p < y.size(); p++) {
    for (size_t i = 0; i < y[p].size(); i++) {
      const double got = restored(ran.y[p][i], world.type());
      const double allowed = 1.01 * rounding * (std::abs(want[p][i]) + rounded[p][i]) + 2e-5 * size[p][i] + rounding * rounding;
      const double off = std::abs(got - want[p][i]) / allowed;
      worst = off <= worst ? worst : off;  // NaN is worst of all
      if (!(off <= 1)) worst = INFINITY;
    }
  }
  check(worst <= 1, what + ": an element is off by " + std::to_string(worst) + " of what rounding allows");
}

// The five mixes of Punica's and S-LoRA's evaluations, and segments that mix adapters by weight.
Segments make_mix(const std::string& name, int32_t rows, int32_t adapters, Random& random) {
  Segments s;
  if (name == "distinct")
    for (int32_t i = 0; i < rows; i++) s.add(1, {{i % adapters, 1.f}});
  else if (name == "uniform")
    for (int32_t i = 0, n; i < rows; i += n) s.add(n = std::min(rows - i, 1 + random.below(4)), {{random.below(adapters), 1.f}});
  else if (name == "zipf")
    for (int32_t i = 0, k = 1, n; i < rows; i += n, k++) s.add(n = std::min(rows - i, std::max(1, rows / (2 * k))), {{(k - 1) % adapters, 1.f}});
  else if (name == "identical")
    s.add(rows, {{0, 1.f}});
  else if (name == "skewed") {
    s.add(rows - rows / 4, {{adapters - 1, 1.f}});
    for (int32_t i = rows - rows / 4; i < rows; i++) s.add(1, {{i % adapters, 1.f}});
  } else {  // "weighted"
    s.add(0, {{0, 1.f}});
    s.add(rows / 3, {{0, 0.7f}, {1 % adapters, -0.4f}});
    s.add(rows / 6, {});
    const int32_t left = rows - s.rows();
    s.add(left, {{2 % adapters, 0.5f}, {3 % adapters, 0.25f}, {4 % adapters, 0.3f}});
  }
  return s;
}

void check_world(World& world, int32_t rows, const std::string& what, uint64_t seed) {
  Random random(seed);
  const int32_t adapters = 8;
  const auto x = draw(random, size_t(rows) * world.in(), world.type());
  std::vector<std::vector<uint16_t>> y;
  for (const int32_t out : world.outs()) y.push_back(draw(random, size_t(rows) * out, world.type()));
  for (const char* mix : {"distinct", "uniform", "zipf", "identical", "skewed", "weighted"}) {
    const Segments segments = make_mix(mix, rows, adapters, random);
    const std::string name = what + ", " + mix;
    const Ran narrow = run(world, segments, x, y, false, 2);
    compare(world, segments, x, y, narrow, name);
    check(run(world, segments, x, y, true, 1).y == narrow.y, name + ": wide tiles, whole dot products: the same bits");
    check(run(world, segments, x, y, true, 100).y == narrow.y, name + ": wide tiles, split dot products: the same bits");
    check(run(world, segments, x, y, false, 2, true).y == narrow.y, name + ": products side by side: the same bits");
    check(run(world, segments, x, y, true, 100, true).y == narrow.y, name + ": products side by side, wide tiles: the same bits");
#ifdef __CUDACC__
    // On the emulator a kernel ends before the next begins. On a device before compute capability 9.0 the option does nothing.
    for (const bool wide : {false, true}) {
      const Ran apart = run(world, segments, x, y, wide, 132, false, 4);
      check(run(world, segments, x, y, wide, 132, false, 4, true).y == apart.y, name + ": overlapping launches, four in a row: the same bits");
    }
#endif
    // One row alone, from the middle of a segment.
    const int32_t t = random.below(rows);
    int32_t s = 0;
    while (segments.starts[s + 1] <= t) s++;
    Segments alone;
    alone.adapter.assign(segments.adapter.begin() + segments.entries[s], segments.adapter.begin() + segments.entries[s + 1]);
    alone.weight.assign(segments.weight.begin() + segments.entries[s], segments.weight.begin() + segments.entries[s + 1]);
    alone.starts.push_back(1);
    alone.entries.push_back(static_cast<int32_t>(alone.adapter.size()));
    std::vector<std::vector<uint16_t>> y_row;
    bool same = true;
    for (size_t p = 0; p < y.size(); p++) y_row.emplace_back(y[p].begin() + size_t(t) * world.outs()[p], y[p].begin() + size_t(t + 1) * world.outs()[p]);
    const Ran single = run(world, alone, {x.begin() + size_t(t) * world.in(), x.begin() + size_t(t + 1) * world.in()}, y_row, false, 1);
    for (size_t p = 0; p < y.size(); p++)
      same &= std::equal(single.y[p].begin(), single.y[p].end(), narrow.y[p].begin() + size_t(t) * world.outs()[p]);
    check(same, name + ": a row alone gives the same bits");
  }
}

// scale_input with the adapters' site 0, batched_embedding with site 1, whose outputs are as many as its inputs: rows of A serve as table rows too.
void check_rows(World& world, int32_t rows, const std::string& what) {
  Random random(77);
  const Segments segments = make_mix("weighted", rows, 8, random);
  cuda::AdapterStep step = world.step();
  cuda::Launch launch;
  launch.counts = world.plan(segments, rows > 32, step.plan);
  launch.multiprocessors = 2;
  const DType type = world.type();
  const double rounding = type == DType::f16 ? 0x1p-11 : 0x1p-8;
  const int32_t in = world.in(), hidden = world.outs()[0];
  const auto x = draw(random, size_t(rows) * in, type), e = draw(random, size_t(rows) * hidden, type);
  std::vector<int32_t> ids(rows);
  for (int32_t& id : ids) id = random.below(std::min(in, hidden));
  OnDevice<uint16_t> x_device(x), e_device(e);
  OnDevice<int32_t> ids_device(ids);
  must(cuda::scale_input(step, x_device.data(), in, 0, launch), "scale_input");
  must(cuda::batched_embedding(step, ids_device.data(), e_device.data(), in, hidden, 1, -1, launch), "batched_embedding");
  const auto scaled = x_device.get(), embedded = e_device.get();
  // Every other id as one that adapters add, with their site 0 for it.
  std::vector<int32_t> added_ids = ids;
  for (size_t t = 0; t < added_ids.size(); t += 2) added_ids[t] += in;
  OnDevice<uint16_t> added_e(e);
  OnDevice<int32_t> added_device(added_ids);
  must(cuda::batched_embedding(step, added_device.data(), added_e.data(), in, hidden, 1, 0, launch), "batched_embedding with added tokens");
  const auto added = added_e.get();
  bool others = true;
  double worst_added = 0;
  double worst_scale = 0, worst_embedding = 0;
  for (size_t s = 0; s + 1 < segments.starts.size(); s++) {
    for (int32_t t = segments.starts[s]; t < segments.starts[s + 1]; t++) {
      for (int32_t i = 0; i < in; i++) {
        const double before = restored(x[size_t(t) * in + i], type);
        double want = before;
        for (int32_t n = segments.entries[s]; n < segments.entries[s + 1]; n++) {
          const Delta& delta = world.delta(segments.adapter[n], 0);
          if (!delta.in_scale.empty()) want += segments.weight[n] * (delta.in_scale[i] * before - before);
        }
        worst_scale = std::max(worst_scale, std::abs(restored(scaled[size_t(t) * in + i], type) - want) / (1.01 * rounding * std::abs(want) + 1e-6));
      }
      for (int32_t o = 0; o < hidden; o++) {
        double want = restored(e[size_t(t) * hidden + o], type), size = std::abs(want);
        for (int32_t n = segments.entries[s]; n < segments.entries[s + 1]; n++) {
          const Delta& delta = world.delta(segments.adapter[n], 1);
          for (int32_t j = 0; j < delta.rank; j++) {
            const bool chosen = delta.b.empty() && (delta.index.empty() ? j : delta.index[j]) == ids[t];
            const double term = segments.weight[n] * (delta.b.empty() ? chosen * delta.a[j][o] : delta.a[j][ids[t]] * delta.b[j][o]);
            want += term;
            size += std::abs(term);
          }
        }
        worst_embedding =
            std::max(worst_embedding, std::abs(restored(embedded[size_t(t) * hidden + o], type) - want) / (1.01 * rounding * std::abs(want) + 1e-5 * size));
      }
    }
  }
  check(worst_scale <= 1, what + ", scale_input: off by " + std::to_string(worst_scale) + " of what rounding allows");
  for (size_t s = 0; s + 1 < segments.starts.size(); s++)
    for (int32_t t = segments.starts[s]; t < segments.starts[s + 1]; t++)
      for (int32_t o = 0; o < hidden; o++) {
        const size_t at = size_t(t) * hidden + o;
        if (added_ids[t] < in) {
          others &= added[at] == embedded[at];
          continue;
        }
        double want = restored(e[at], type), size = std::abs(want);
        for (int32_t n = segments.entries[s]; n < segments.entries[s + 1]; n++) {
          const Delta& delta = world.delta(segments.adapter[n], 0);
          for (int32_t j = 0; j < delta.rank && delta.b.empty(); j++)
            if ((delta.index.empty() ? j : delta.index[j]) == ids[t]) {
              want += segments.weight[n] * delta.a[j][o];
              size += std::abs(segments.weight[n] * delta.a[j][o]);
            }
        }
        worst_added = std::max(worst_added, std::abs(restored(added[at], type) - want) / (1.01 * rounding * std::abs(want) + 1e-5 * size));
      }
  check(others, what + ", batched_embedding: ids of the table as without added tokens");
  check(worst_added <= 1, what + ", batched_embedding: added tokens off by " + std::to_string(worst_added) + " of what rounding allows");
  check(worst_embedding <= 1, what + ", batched_embedding: off by " + std::to_string(worst_embedding) + " of what rounding allows");
}

}  // namespace

void check_lora(bool thorough) {
  for (const DType type : {DType::f16, DType::bf16}) {
    const std::string name = type == DType::f16 ? "f16" : "bf16";
    // Plain LoRA of many ranks; the widest input makes several chunks with a short last one.
    World ranks(type, thorough ? 4096 : 656, thorough ? std::vector<int32_t>{4096, 1024, 1024} : std::vector<int32_t>{136, 72}, {1, 8, 16, 17, 64, 33, 3, 256},
                false, 1);
    check_world(ranks, thorough ? 200 : 37, name + ", ranks 1 to 256", 2);
    // Every form of delta, and shapes that no 16-byte access fits.
    World forms(type, 200, {96, 64, 200}, {5, 16, 2, 20, 7, 9, 16, 40}, true, 3);
    check_world(forms, 70, name + ", every form", 4);
    World odd(type, 83, {51, 29}, {5, 16, 2, 20, 7, 9, 16, 40}, true, 5);
    check_world(odd, 21, name + ", odd shapes", 6);
    World rows(type, 136, {136, 136}, {5, 16, 2, 20, 7, 9, 16, 40}, true, 7);
    check_rows(rows, 40, name);
    World odd_rows(type, 51, {51, 51}, {5, 16, 2, 20, 7, 9, 16, 40}, true, 8);
    check_rows(odd_rows, 40, name + ", odd shapes");
  }
}

}  // namespace lorikeet::test
