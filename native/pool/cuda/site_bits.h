// What adapters do at which sites, one bit for each: a step's union of them says which kernels are launched.
#pragma once
#include <compare>
#include <cstdint>
#include <vector>
#include "../residents.h"

namespace lorikeet {

struct SiteBits {
  std::vector<uint64_t> touched;
  std::vector<uint64_t> scaled;  // the input is
  std::vector<uint64_t> direct;  // A without B: A x is added to the output

  SiteBits() = default;
  explicit SiteBits(int32_t site_count) {
    for (auto* bits : {&touched, &scaled, &direct}) bits->resize((site_count + 63) / 64);
  }
  void add(const AdapterEntry& entry) {
    set(touched, entry.site);
    if (entry.in_scale >= 0) set(scaled, entry.site);
    if (entry.rank > 0 && entry.b < 0) set(direct, entry.site);
  }
  void add(const SiteBits& other) {
    for (size_t i = 0; i < touched.size(); i++) {
      touched[i] |= other.touched[i];
      scaled[i] |= other.scaled[i];
      direct[i] |= other.direct[i];
    }
  }
  static bool has(const std::vector<uint64_t>& bits, int64_t site) { return bits[site / 64] >> site % 64 & 1; }
  auto operator<=>(const SiteBits&) const = default;

 private:
  static void set(std::vector<uint64_t>& bits, int32_t site) { bits[site / 64] |= uint64_t{1} << site % 64; }
};

}  // namespace lorikeet
