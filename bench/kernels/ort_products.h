// Chains of float32 products as ONNX Runtime (MLAS) computes them: what the products of packed weights are measured against.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace lorikeet::bench {

struct ChainShape {
  int64_t in, out, pairs;  // x [rows, in] → [rows, out] → [rows, in] → …: two products a pair
};

// ONNX Runtime's library: LORIKEET_ORT, else the one that npm installed; empty if there is none.
std::string ort_library();

class OrtChain {
 public:
  // weights: for each product [inputs, outputs], row-major; they are copied. Throws std::runtime_error.
  OrtChain(const std::string& library, const ChainShape& shape, const std::vector<std::vector<float>>& weights, int threads);
  ~OrtChain();
  void run(const std::vector<float>& x, int64_t rows);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace lorikeet::bench
