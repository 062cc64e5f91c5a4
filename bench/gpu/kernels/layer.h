// The shapes that are timed: one layer of Llama 3 8B, and who shares an adapter in a batch.
#pragma once
#include <cmath>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

namespace lorikeet::bench {

// Products that share their input, as one op of the graph.
struct Group {
  const char* name;
  int32_t in;
  std::vector<int32_t> outs;
  int32_t first_site;  // the products' sites follow one another
};

inline const std::vector<Group>& layer() {
  static const std::vector<Group> groups = {
      {"qkv", 4096, {4096, 1024, 1024}, 0}, {"o", 4096, {4096}, 3}, {"gateup", 4096, {14336, 14336}, 4}, {"down", 14336, {4096}, 6}};
  return groups;
}
constexpr int32_t kSites = 7;

// Consecutive rows of one adapter; adapters are numbered from 0.
struct Run {
  int32_t rows, adapter;
};

// Who shares an adapter, rows of one adapter side by side as the scheduler packs them. The shares of the first four are those of Punica's evaluation
// (Chen et al., 2023, section 7); zipf is drawn once, with a fixed seed.
//   distinct: every row its own. uniform: ceil(sqrt(rows)) adapters, equal shares. skewed: each adapter has 1.5 times the rows of the next.
//   identical: one. zipf: each row draws one of `rows` adapters, the k-th with a probability in proportion to 1/k.
inline std::vector<Run> mix(const std::string& name, int32_t rows) {
  std::vector<Run> runs;
  const auto add = [&](int32_t n) {
    if (n > 0) runs.push_back({n, static_cast<int32_t>(runs.size())});
  };
  if (name == "identical") {
    add(rows);
  } else if (name == "distinct") {
    for (int32_t i = 0; i < rows; i++) add(1);
  } else if (name == "uniform") {
    const auto adapters = static_cast<int32_t>(std::ceil(std::sqrt(rows)));
    for (int32_t i = 0; i < adapters; i++) add(rows * (i + 1) / adapters - rows * i / adapters);
  } else if (name == "skewed") {
    for (int32_t left = rows, n; left > 0; left -= n) add(n = (left + 2) / 3);  // 1 - 1/1.5 of what is left
  } else if (name == "zipf") {
    std::vector<int32_t> share(rows);
    double sum = 0;
    for (int32_t k = 1; k <= rows; k++) sum += 1.0 / k;
    uint32_t state = 12345;
    for (int32_t i = 0; i < rows; i++) {
      state = state * 1664525u + 1013904223u;
      double at = state / 4294967296.0 * sum;
      int32_t k = 0;
      while (k + 1 < rows && (at -= 1.0 / (k + 1)) >= 0) k++;
      share[k]++;
    }
    for (const int32_t n : share) add(n);
  } else {
    throw std::invalid_argument("no mix is called " + name);
  }
  return runs;
}

inline int32_t distinct_of(const std::vector<Run>& runs) { return static_cast<int32_t>(runs.size()); }

}  // namespace lorikeet::bench
