// Products of packed weights against ONNX Runtime's float32 products (MLAS) of the same chain, in turns; at one row also against their bytes at the measured
// bandwidth. Chains are long enough that no weight is still in a cache when it comes again. LORIKEET_SHAPES (135m, head, 1b, 8b) and LORIKEET_ROWS (1,32,256)
// choose some; LORIKEET_ORT names ONNX Runtime's library.
#include <chrono>
#include <cstdlib>
#include "bench.h"
#include "kernels/linear.h"
#include "ort_products.h"

namespace lorikeet::bench {
namespace {

constexpr WeightForm kForms[] = {WeightForm::bf16, WeightForm::f16, WeightForm::int8, WeightForm::int4};

struct Packed {
  LinearShape shape;
  std::vector<uint8_t> storage;
  uint8_t* data;
};

Packed pack(WeightForm form, int64_t in, int64_t out, const std::vector<float>& transposed, const Parallel& parallel) {
  struct Job {
    Packed packed;
    const std::vector<float>* values;
  } job{{{form, in, out}, {}, nullptr}, &transposed};
  const size_t bytes = linear_bytes(job.packed.shape);
  job.packed.storage.resize(bytes + 64);
  uint8_t* at = job.packed.storage.data();
  job.packed.data = at + (64 - reinterpret_cast<uintptr_t>(at) % 64) % 64;
  parallel.run(parallel.context, [](void* data, size_t i) {
    const auto& j = *static_cast<const Job*>(data);
    const auto& s = j.packed.shape;
    const int64_t first = static_cast<int64_t>(i) * kLinearTile, count = std::min(kLinearTile, s.out - first);
    std::vector<float> rows(static_cast<size_t>(count * s.in));
    for (int64_t o = 0; o < count; o++)
      for (int64_t k = 0; k < s.in; k++) rows[static_cast<size_t>(o * s.in + k)] = (*j.values)[static_cast<size_t>(k * s.out + first + o)];
    pack_linear(s, rows.data(), first, count, j.packed.data);
  }, static_cast<size_t>((out + kLinearTile - 1) / kLinearTile), &job);
  return std::move(job.packed);
}

class Chain {
 public:
  Chain(WeightForm form, const ChainShape& shape, const std::vector<std::vector<float>>& weights, const Parallel& parallel) : parallel_(parallel) {
    for (size_t i = 0; i < weights.size(); i++) {
      packed_.push_back(pack(form, i % 2 ? shape.out : shape.in, i % 2 ? shape.in : shape.out, weights[i], parallel));
      bytes += linear_bytes(packed_.back().shape);
    }
  }
  void run(const std::vector<float>& x, int64_t rows) {
    const float* from = x.data();
    for (size_t i = 0; i < packed_.size(); i++) {
      const auto& p = packed_[i];
      auto& to = values_[i % 2];
      to.resize(static_cast<size_t>(rows * p.shape.out));
      LinearArgs args;
      args.x = from;
      args.rows = rows;
      args.x_stride = p.shape.in;
      args.products = 1;
      args.shape[0] = p.shape;
      args.packed[0] = p.data;
      args.y[0] = to.data();
      args.y_stride[0] = p.shape.out;
      linear(args, parallel_);
      from = to.data();
    }
  }
  size_t bytes = 0;

 private:
  Parallel parallel_;
  std::vector<Packed> packed_;
  std::vector<float> values_[2];
};

std::vector<int64_t> row_counts() {
  const char* wanted = std::getenv("LORIKEET_ROWS");
  std::vector<int64_t> counts;
  for (char* at = const_cast<char*>(wanted ? wanted : "1,2,4,8,16,32,64,256"); *at; at += *at == ',') counts.push_back(std::max(1L, std::strtol(at, &at, 10)));
  return counts;
}

struct Times {
  std::vector<double> ms;
  double least() const { return *std::min_element(ms.begin(), ms.end()); }
  double median() const {
    auto sorted = ms;
    std::sort(sorted.begin(), sorted.end());
    return sorted[sorted.size() / 2];
  }
};

// One run to wake the threads, then `runs` that are timed.
void time_runs(Times& times, int runs, int threads, const std::function<void()>& work) {
  work();
  for (int i = 0; i < runs; i++) times.ms.push_back(least_ms(1, work, threads));
}

void run_shape(const char* name, const ChainShape& shape, const Machine& machine, const Parallel& parallel) {
  lorikeet::test::Random random(41);
  std::vector<std::vector<float>> weights;
  for (int64_t i = 0; i < 2 * shape.pairs; i++) {
    weights.push_back(random.floats(static_cast<size_t>(shape.in * shape.out)));
    const float size = std::sqrt(3.0f / static_cast<float>(i % 2 ? shape.out : shape.in));  // values keep their size along the chain
    for (float& w : weights.back()) w *= size;
  }
  std::unique_ptr<OrtChain> reference;
  if (const std::string library = ort_library(); !library.empty()) reference = std::make_unique<OrtChain>(library, shape, weights, machine.threads);
  std::vector<std::unique_ptr<Chain>> chains;
  for (const WeightForm form : kForms) chains.push_back(std::make_unique<Chain>(form, shape, weights, parallel));
  weights.clear();
  for (const int64_t rows : row_counts()) {
    const auto x = random.floats(static_cast<size_t>(rows * shape.in));
    Times float32, ours[4];
    const double flops = 4.0 * double(shape.in * shape.out * shape.pairs * rows);
    const int rounds = flops > 1e11 ? 3 : 9;
    for (int round = 0; round < rounds; round++) {
      for (int f = 0; f < 4; f++) time_runs(ours[f], 2, machine.threads, [&] { chains[f]->run(x, rows); });
      rest(parallel);
      if (reference) time_runs(float32, 2, machine.threads, [&] { reference->run(x, rows); });
      std::this_thread::sleep_for(std::chrono::milliseconds(5));  // ONNX Runtime's threads stop to spin
    }
    std::printf("| %-22s | %4d |", name, static_cast<int>(rows));
    if (reference) std::printf(" %9.3f (%4.0f GFLOP/s) |", float32.least(), flops / float32.least() / 1e6);
    for (int f = 0; f < 4; f++) {
      if (reference) std::printf(" %.3f (%.3f)", ours[f].least() / float32.least(), ours[f].median() / float32.median());
      std::printf(" %8.3f ms, %.2f × bytes, %4.0f G |", ours[f].least(), ours[f].least() / (double(chains[f]->bytes) / machine.bytes_per_ms), flops / ours[f].least() / 1e6);
    }
    std::printf("\n");
    std::fflush(stdout);
  }
}

}  // namespace

void bench_linear(const Machine& machine, const Parallel& parallel) {
  std::printf("\nProducts of packed weights (%s): float32 ms by ONNX Runtime; then for each form its time against that, of the least times (of the medians), "
              "ms, its time against its bytes at bandwidth, GFLOP/s.\n\n| chain | rows | float32 | bf16 | f16 | int8 | int4 |\n|---|---|---|---|---|---|---|\n",
              linear_kernels().name);
  const char* only = std::getenv("LORIKEET_SHAPES");
  const auto wanted = [&](const char* name) { return !only || std::strstr(only, name); };
  if (wanted("135m")) run_shape("135M 576 ↔ 1536", {576, 1536, 60}, machine, parallel);
  if (wanted("head")) run_shape("135M head 576 ↔ 49152", {576, 49152, 2}, machine, parallel);
  if (wanted("1b")) run_shape("1B 2048 ↔ 8192", {2048, 8192, 4}, machine, parallel);
  if (wanted("8b")) run_shape("8B 4096 ↔ 14336", {4096, 14336, 1}, machine, parallel);
}

}  // namespace lorikeet::bench
