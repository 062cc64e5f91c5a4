// One line and one JSON object for every measurement.
#pragma once
#include <cstdio>
#include <string>
#include <vector>
#include "clock.h"

namespace lorikeet::bench {

struct Result {
  std::string dtype, ranks, mix, op, phase;
  int32_t rows = 0, distinct = 0, sets = 0, launches = 0;
  bool overlap = false, prefetch = false, prefill = false;
  double us = 0, spread = 0;
  int64_t weight_bytes = 0, bytes = 0, flops = 0;
  double floor_us = 0;
  double share() const { return floor_us / us; }
};

// How the project's target stands: `value` in words, empty until something is measured.
struct Target {
  bool met = false;
  std::string value;
};

class Report {
 public:
  Report(std::string device, const Ceilings& ceilings, std::string path) : device_(std::move(device)), ceilings_(ceilings), path_(std::move(path)) {}

  void add(Result r) {
    r.floor_us = r.bytes / ceilings_.read * 1e6;
    std::printf("%-5s r%-10s %-9s %5d %-7s %-7s %s%s", r.dtype.c_str(), r.ranks.c_str(), r.mix.c_str(), r.rows, r.op.c_str(), r.phase.c_str(),
                r.overlap ? "O" : "-", r.prefetch ? "P" : "-");
    std::printf(" %9.2f us +-%2.0f%%  %8.2f MB  floor %8.2f us %3.0f%%  launches >= %4.1f us", r.us, r.spread * 100, r.bytes / 1e6, r.floor_us,
                r.share() * 100, r.launches * ceilings_.launch_us);
    if (r.prefill) std::printf("  %6.2f TFLOP/s", r.flops / r.us / 1e6);
    std::printf("\n");
    results_.push_back(std::move(r));
  }

  const std::vector<Result>& results() const { return results_; }

  // After each section, so that a run that is cut short leaves what it has.
  void write(const Target& target) const {
    std::fflush(stdout);
    if (path_.empty()) return;
    std::FILE* file = std::fopen(path_.c_str(), "w");
    if (!file) throw std::runtime_error("cannot write " + path_);
    std::fprintf(file, "{\"device\": \"%s\",\n", device_.c_str());
    if (!target.value.empty())
      std::fprintf(file, "\"targets\": {\"kernels\": {\"value\": \"%s\", \"met\": %s}},\n", target.value.c_str(), target.met ? "true" : "false");
    std::fprintf(file, "\"ceilings\": {\"read_bytes_per_s\": %.6g, \"copy_bytes_per_s\": %.6g, \"launch_us\": %.3f},\n\"results\": [", ceilings_.read,
                 ceilings_.copy, ceilings_.launch_us);
    const auto yes = [](bool value) { return value ? "true" : "false"; };
    const char* comma = "";
    for (const Result& r : results_) {
      std::fprintf(file, "%s\n{\"dtype\": \"%s\", \"ranks\": \"%s\", \"mix\": \"%s\", \"rows\": %d, \"distinct\": %d, \"op\": \"%s\", \"phase\": \"%s\", ", comma,
                   r.dtype.c_str(), r.ranks.c_str(), r.mix.c_str(), r.rows, r.distinct, r.op.c_str(), r.phase.c_str());
      std::fprintf(file, "\"overlap\": %s, \"prefetch\": %s, \"prefill\": %s, \"us\": %.4f, \"spread\": %.4f, ", yes(r.overlap), yes(r.prefetch), yes(r.prefill),
                   r.us, r.spread);
      std::fprintf(file, "\"weight_bytes\": %lld, \"bytes\": %lld, \"flops\": %lld, \"floor_us\": %.4f, \"sets\": %d}",
                   static_cast<long long>(r.weight_bytes), static_cast<long long>(r.bytes), static_cast<long long>(r.flops), r.floor_us, r.sets);
      comma = ",";
    }
    std::fprintf(file, "\n]}\n");
    std::fclose(file);
  }

 private:
  std::string device_;
  Ceilings ceilings_;
  std::string path_;
  std::vector<Result> results_;
};

}  // namespace lorikeet::bench
