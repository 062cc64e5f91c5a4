#include "gemm.h"
#include <map>
#include <vector>
#include "../emulator.h"

namespace lorikeet::emulated {
namespace {

using cuda::F16;
constexpr int64_t kTile = 16;  // outputs at a time: as many as registers hold

// [out / kTile][in][kTile], the last tile filled up with zeros.
std::vector<float> decoded(const uint16_t* w, int64_t in, int64_t out) {
  std::vector<float> tiles((out + kTile - 1) / kTile * kTile * in);
  for (int64_t o = 0; o < out; o++)
    for (int64_t i = 0; i < in; i++) tiles[(o / kTile * in + i) * kTile + o % kTile] = F16::decode(w[o * in + i]);
  return tiles;
}

}  // namespace

void gemm(const uint16_t* x, const uint16_t* w, const uint16_t* bias, int64_t rows, int64_t in, int64_t out, uint16_t* y) {
  thread_local std::map<const uint16_t*, std::vector<float>> weights;
  auto found = weights.find(w);
  if (found == weights.end()) found = weights.emplace(w, decoded(w, in, out)).first;
  std::vector<float> row(in);
  for (int64_t r = 0; r < rows; r++) {
    for (int64_t i = 0; i < in; i++) row[i] = F16::decode(x[r * in + i]);
    for (int64_t first = 0; first < out; first += kTile) {
      const float* tile = found->second.data() + first * in;
      float sum[kTile] = {};
      for (int64_t i = 0; i < in; i++)
        for (int64_t o = 0; o < kTile; o++) sum[o] += row[i] * tile[i * kTile + o];
      for (int64_t o = 0; o < kTile && first + o < out; o++)
        y[r * out + first + o] = F16::encode(sum[o] + (bias ? F16::decode(bias[first + o]) : 0));
    }
  }
}

}  // namespace lorikeet::emulated
