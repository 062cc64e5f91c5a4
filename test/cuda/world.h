// Adapters of every form at the sites of one op, laid into a pool as the addon would, and the float64 reference of what they do.
#pragma once
#include <memory>
#include "../native/harness.h"
#include "kernels/cuda/lora.h"
#include "memory.h"

namespace lorikeet::test {

enum class Form { low_rank, absent, factors, direct, indexed };  // factors: scale and bias alone

struct Delta {
  Form form = Form::absent;
  int32_t rank = 0;
  std::vector<std::vector<double>> a, b;  // as stored: rounded to the rows' type
  std::vector<int32_t> index;
  std::vector<double> out_scale, bias, in_scale;
};

struct Segments {
  std::vector<int32_t> starts{0}, entries{0}, adapter;
  std::vector<float> weight;
  int32_t rows() const { return starts.back(); }
  void add(int32_t rows, const std::vector<std::pair<int32_t, float>>& mix) {
    starts.push_back(starts.back() + rows);
    for (const auto& [a, w] : mix) {
      adapter.push_back(a);
      weight.push_back(w);
    }
    entries.push_back(static_cast<int32_t>(adapter.size()));
  }
};

double stored(double value, DType type);       // rounded to the type
uint16_t stored_bits(double value, DType type);
double restored(uint16_t bits, DType type);

class World {
 public:
  // `ranks[i]` of adapter i; forms vary with i and the site when `varied`, else all are low_rank.
  World(DType type, int32_t in, const std::vector<int32_t>& outs, const std::vector<int32_t>& ranks, bool varied, uint64_t seed);
  int32_t in() const { return in_; }
  const std::vector<int32_t>& outs() const { return outs_; }
  DType type() const { return type_; }
  const Delta& delta(int32_t adapter, int32_t site) const { return deltas_[adapter][site]; }
  cuda::AdapterStep step() const;
  const cuda::AdapterShape& shape(int32_t adapter) const { return shapes_[adapter]; }
  // The plan of these segments, on the device; the same buffer is reused by the next call.
  cuda::PlanCounts plan(const Segments& segments, bool wide, cuda::PlanView& view);
  // y += Σ … in float64 for all products, from stored x and y; `size` gets the sum of the terms' magnitudes,
  // `rounded` what is rounded to the type before the end.
  void reference(const Segments& segments, const std::vector<uint16_t>& x, std::vector<std::vector<double>>& y,
                 std::vector<std::vector<double>>& size, std::vector<std::vector<double>>& rounded) const;

 private:
  DType type_;
  int32_t in_;
  std::vector<int32_t> outs_;
  std::vector<std::vector<Delta>> deltas_;
  std::vector<cuda::AdapterShape> shapes_;
  std::unique_ptr<OnDevice<uint8_t>> pool_, plan_;
  std::vector<std::unique_ptr<OnDevice<uint8_t>>> tables_;
};

}  // namespace lorikeet::test
