#include "world.h"

namespace lorikeet::test {

uint16_t stored_bits(double value, DType type) { return type == DType::f16 ? to_half(float(value)) : to_bfloat(float(value)); }
double restored(uint16_t bits, DType type) { return type == DType::f16 ? from_half(bits) : from_bfloat(bits); }
double stored(double value, DType type) { return restored(stored_bits(value, type), type); }

namespace {

constexpr int64_t kBlockBytes = 1 << 16;

// Rows one after the other in blocks, none straddling; block i of the image goes to a shuffled block of the pool.
struct Image {
  std::vector<uint8_t> bytes;
  std::vector<int32_t> rows;

  int32_t put(const void* data, size_t size) {
    size_t at = (bytes.size() + 63) / 64 * 64;
    if (at % kBlockBytes + size > kBlockBytes) at = (at + kBlockBytes - 1) / kBlockBytes * kBlockBytes;
    bytes.resize(at, 0xff);  // what no row covers is NaN
    bytes.insert(bytes.end(), static_cast<const uint8_t*>(data), static_cast<const uint8_t*>(data) + size);
    rows.push_back(static_cast<int32_t>(at / kBlockBytes));
    rows.push_back(static_cast<int32_t>(at % kBlockBytes));
    return static_cast<int32_t>(rows.size() / 2 - 1);
  }
  int32_t put_halves(std::vector<std::vector<double>>& values, DType type) {
    int32_t first = -1;
    for (const auto& row : values) {
      std::vector<uint16_t> bits;
      for (const double v : row) bits.push_back(stored_bits(v, type));
      const int32_t ordinal = put(bits.data(), bits.size() * 2);
      if (first < 0) first = ordinal;
    }
    return first;
  }
  int32_t put_floats(const std::vector<double>& values) {
    if (values.empty()) return -1;
    const std::vector<float> floats(values.begin(), values.end());
    return put(floats.data(), floats.size() * sizeof(float));
  }
};

std::vector<double> draw(Random& random, int32_t n, double scale, DType type) {
  std::vector<double> v(n);
  for (double& x : v) x = stored(random.uniform() * scale, type);
  return v;
}

Delta make_delta(Form form, int32_t rank, int32_t in, int32_t out, DType type, Random& random) {
  Delta delta;
  delta.form = form;
  if (form == Form::absent) return delta;
  const auto floats = [&](int32_t n, double middle) {
    std::vector<double> v(n);
    for (double& x : v) x = float(middle + 0.5 * random.uniform());
    return v;
  };
  if (form != Form::low_rank || random.below(3) == 0) {
    delta.out_scale = floats(out, 1);
    if (random.below(2)) delta.bias = floats(out, 0);
    delta.in_scale = floats(in, 1);
  }
  delta.rank = form == Form::factors ? 0 : form == Form::direct ? out : form == Form::indexed ? std::min(rank, out) : rank;
  for (int32_t j = 0; j < delta.rank; j++) delta.a.push_back(draw(random, in, 2 / std::sqrt(double(in)), type));
  if (form == Form::low_rank)
    for (int32_t j = 0; j < delta.rank; j++) delta.b.push_back(draw(random, out, 2 / std::sqrt(double(rank)), type));
  if (form == Form::indexed) {
    std::vector<int32_t> all(out);
    for (int32_t i = 0; i < out; i++) all[i] = i;
    for (int32_t i = 0; i < delta.rank; i++) std::swap(all[i], all[i + random.below(out - i)]);
    delta.index.assign(all.begin(), all.begin() + delta.rank);
    std::sort(delta.index.begin(), delta.index.end());
  }
  return delta;
}

}  // namespace

World::World(DType type, int32_t in, const std::vector<int32_t>& outs, const std::vector<int32_t>& ranks, bool varied, uint64_t seed)
    : type_(type), in_(in), outs_(outs) {
  Random random(seed);
  std::vector<uint8_t> pool;
  std::vector<cuda::AdapterTables> tables;
  for (size_t i = 0; i < ranks.size(); i++) {
    Image image;
    std::vector<int32_t> entries;
    std::vector<Delta> sites;
    for (size_t s = 0; s < outs.size(); s++) {
      const Form form = varied ? static_cast<Form>((i + 2 * s) % 5) : Form::low_rank;
      Delta delta = make_delta(form, ranks[i], in, outs[s], type, random);
      if (form != Form::absent) {
        const int32_t a = image.put_halves(delta.a, type), b = image.put_halves(delta.b, type);
        const int32_t index = delta.index.empty() ? -1 : image.put(delta.index.data(), delta.index.size() * 4);
        const int32_t scale = image.put_floats(delta.out_scale), bias = image.put_floats(delta.bias), in_scale = image.put_floats(delta.in_scale);
        entries.insert(entries.end(), {static_cast<int32_t>(s), delta.rank, a, b, index, scale, bias, in_scale});
      }
      sites.push_back(std::move(delta));
    }
    const auto blocks = static_cast<int32_t>((image.bytes.size() + kBlockBytes - 1) / kBlockBytes);
    image.bytes.resize(blocks * kBlockBytes, 0xff);
    std::vector<int64_t> to(blocks);  // bytes
    const auto first = static_cast<int32_t>(pool.size() / kBlockBytes);
    for (int32_t b = 0; b < blocks; b++) to[b] = int64_t{first + blocks - 1 - b} * kBlockBytes;  // not in order
    pool.resize(pool.size() + image.bytes.size());
    for (int32_t b = 0; b < blocks; b++) std::memcpy(pool.data() + to[b], image.bytes.data() + b * kBlockBytes, kBlockBytes);
    tables.push_back(cuda::make_adapter_tables(image.rows.data(), image.rows.size() / 2, entries.data(), entries.size() / 8, to.data(),
                                               static_cast<int32_t>(outs.size())));
    shapes_.push_back(tables.back().shape);
    deltas_.push_back(std::move(sites));
  }
  pool_ = std::make_unique<OnDevice<uint8_t>>(pool);
  for (const auto& table : tables) tables_.push_back(std::make_unique<OnDevice<uint8_t>>(table.bytes));
}

cuda::AdapterStep World::step() const {
  cuda::AdapterStep step;
  step.pool = pool_->data();
  step.ranks_at = cuda::rank_rows_at(static_cast<int64_t>(outs_.size()));
  step.dtype = type_;
  return step;
}

cuda::PlanCounts World::plan(const Segments& segments, bool wide, cuda::PlanView& view) {
  std::vector<const cuda::AdapterShape*> shapes;
  std::vector<const uint8_t*> at;
  int32_t blocks = 0;
  for (const int32_t a : segments.adapter) {
    at.push_back(tables_[a]->data());
    shapes.push_back(&shapes_[a]);
    blocks = std::max(blocks, shapes_[a].rank_blocks);
  }
  cuda::PlanInput input;
  input.segment_starts = segments.starts.data();
  input.segment_entries = segments.entries.data();
  input.segments = static_cast<int32_t>(segments.starts.size() - 1);
  input.entry_tables = at.data();
  input.entry_weight = segments.weight.data();
  input.entry_shape = shapes.data();
  cuda::LoraPlan plan(cuda::plan_capacity(segments.rows() + 1, 4, blocks));
  check(plan.build(input, wide), "the plan fits its capacity");
  plan_ = std::make_unique<OnDevice<uint8_t>>(plan.bytes());
  plan_->put(plan.data(), plan.used_bytes());
  view = plan.view(plan_->data());
  return plan.counts();
}

void World::reference(const Segments& segments, const std::vector<uint16_t>& x, std::vector<std::vector<double>>& y,
                      std::vector<std::vector<double>>& size, std::vector<std::vector<double>>& rounded) const {
  for (size_t s = 0; s + 1 < segments.starts.size(); s++) {
    for (int32_t t = segments.starts[s]; t < segments.starts[s + 1]; t++) {
      for (size_t p = 0; p < outs_.size(); p++) {
        const int32_t out = outs_[p];
        const std::vector<double> before(y[p].begin() + int64_t(t) * out, y[p].begin() + int64_t(t + 1) * out);
        double* to = y[p].data() + int64_t(t) * out;
        double* again = rounded[p].data() + int64_t(t) * out;
        double* terms = size[p].data() + int64_t(t) * out;
        for (int32_t o = 0; o < out; o++) terms[o] = std::abs(before[o]);
        std::vector<double> between = before;
        bool twice = false;
        for (int32_t e = segments.entries[s]; e < segments.entries[s + 1]; e++) {
          const Delta& delta = deltas_[segments.adapter[e]][p];
          const double w = segments.weight[e];
          if (delta.form == Form::absent) continue;
          std::vector<double> change(out, 0), magnitude(out, 0);
          for (int32_t j = 0; j < delta.rank; j++) {
            double h = 0, h_size = 0;
            for (int32_t k = 0; k < in_; k++) {
              const double term = delta.a[j][k] * restored(x[int64_t(t) * in_ + k], type_);
              h += term;
              h_size += std::abs(term);
            }
            if (delta.b.empty()) {
              const int32_t o = delta.index.empty() ? j : delta.index[j];
              change[o] += h;
              magnitude[o] += h_size;
            } else {
              for (int32_t o = 0; o < out; o++) {
                change[o] += h * delta.b[j][o];
                magnitude[o] += h_size * std::abs(delta.b[j][o]);
              }
            }
          }
          for (int32_t o = 0; o < out; o++) {
            const double scale = delta.out_scale.empty() ? 1 : delta.out_scale[o], bias = delta.bias.empty() ? 0 : delta.bias[o];
            to[o] += w * (scale * (before[o] + change[o]) + bias - before[o]);
            // A direct delta is added after y was rounded with everything else.
            const bool direct = delta.b.empty() && delta.rank > 0;
            twice |= direct;
            between[o] += w * (scale * (before[o] + (direct ? 0 : change[o])) + bias - before[o]);
            terms[o] += std::abs(w) * (std::abs(scale) * (std::abs(before[o]) + magnitude[o]) + std::abs(bias) + std::abs(before[o]));
          }
        }
        for (int32_t o = 0; o < out && twice; o++) again[o] = std::abs(between[o]);
      }
    }
  }
}

}  // namespace lorikeet::test
