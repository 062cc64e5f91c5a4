// Times the LoRA kernels on a GPU against the bytes they must move, at the read bandwidth measured in the same run: shrink, expand, both, and the seven
// products of a Llama 3 8B layer in sequence, for the batches and mixes of `layer.h`; prefill segments; dense deltas.
//
//   kernel-times [--quick] [--json FILE]
//   kernel-times --ceilings                 only this memory's bandwidth, as JSON; a copy counts what it reads and what it writes
//
// Bytes: the rows of A and B once for each adapter that differs, x once, y read and written once; what the two kernels hand each other (h) is not
// counted, since it need not touch memory. Columns: O = launches overlap (Launch.overlap), P = B is prefetched (Launch.prefetch); "launches" is what as
// many empty kernels take in a graph: two dependent ones an op, the floor where there is little to read. Exit code: 0 if everything ran, whether or not
// the target is met.
#include <chrono>
#include <cstring>
#include <exception>
#include "batch.h"
#include "clock.h"
#include "report.h"

using namespace lorikeet;
using namespace lorikeet::bench;

namespace {

constexpr int32_t kLayer = -1;  // all groups in sequence
enum class Phase { shrink, expand, direct, batched };
const char* name_of(Phase phase) {
  return phase == Phase::shrink ? "shrink" : phase == Phase::expand ? "expand" : phase == Phase::direct ? "direct" : "both";
}

struct Case {
  DType type = DType::f16;
  std::string ranks = "16", mix = "distinct";
  int32_t rows = 32;
  bool prefill = false;
};

class Bench {
 public:
  Bench(Timer& timer, const Ceilings& ceilings, Report& report) : timer_(timer), ceilings_(ceilings), report_(report) {}

  // Every measurement until the next call uses adapters of these ranks.
  void adapters(DType type, const std::string& ranks, int32_t count, bool dense = false) {
    pool_.reset();
    std::vector<int32_t> list;
    int32_t most = 0;
    for (size_t at = 0; at < ranks.size();) {
      size_t used = 0;
      list.push_back(std::stoi(ranks.substr(at), &used));
      most = std::max(most, list.back());
      at += used + 1;
    }
    size_t free_bytes = 0, total = 0;
    must(cudaMemGetInfo(&free_bytes, &total), "cudaMemGetInfo");
    while (!dense && count > 16 && Pool::bytes(count, most) > static_cast<int64_t>(free_bytes / 10 * 8)) count /= 2;
    pool_ = std::make_unique<Pool>(type, count, list, dense);
  }

  void rows(const Case& c) {
    case_ = c;
    if (distinct_of(runs()) * 2 > pool_->adapters()) {
      std::printf("r%s %s %d: left out, too many adapters for this memory\n", c.ranks.c_str(), c.mix.c_str(), c.rows);
      batch_.reset();
      return;
    }
    batch_.reset();
    batch_ = std::make_unique<Batch>(*pool_, runs(), c.prefill, sets_of(smallest()), c.type);
  }

  void time(Phase phase, int32_t group, bool overlap, bool prefetch) {
    if (!batch_) return;
    const std::vector<size_t> groups = group == kLayer ? std::vector<size_t>{0, 1, 2, 3} : std::vector<size_t>{static_cast<size_t>(group)};
    Result r;
    r.dtype = case_.type == DType::f16 ? "f16" : "bf16";
    r.ranks = case_.ranks;
    r.mix = case_.mix;
    r.rows = batch_->rows();
    r.distinct = distinct_of(runs());
    r.op = group == kLayer ? "layer" : layer()[group].name;
    r.phase = name_of(phase);
    r.overlap = overlap;
    r.prefetch = prefetch;
    r.prefill = case_.prefill;
    r.launches = static_cast<int32_t>(groups.size()) * (phase == Phase::batched ? 2 : 1);
    for (const size_t g : groups) count(r, phase, layer()[g]);
    r.sets = std::min(batch_->sets(), sets_of(r.weight_bytes));
    cuda::Launch launch;
    launch.multiprocessors = ceilings_.multiprocessors;
    launch.overlap = overlap;
    launch.prefetch = prefetch;
    launch.stream = timer_.stream();
    r.us = timer_.graph_us(
        r.sets,
        [&](int32_t set) {
          launch.counts = batch_->counts(set);
          int error = 0;
          for (const size_t g : groups) {
            const auto run = phase == Phase::shrink   ? cuda::lora_shrink
                             : phase == Phase::expand ? cuda::lora_expand
                             : phase == Phase::direct ? cuda::lora_direct
                                                      : cuda::batched_lora;
            if (error == 0) error = run(batch_->step(set), batch_->op(g), launch);
          }
          return error;
        },
        &r.spread);
    report_.add(std::move(r));
  }

 private:
  std::vector<Run> runs() const {
    // Prefill: segments of 512 rows of one adapter each, or one segment.
    if (!case_.prefill || case_.mix == "identical") return mix(case_.mix, case_.rows);
    std::vector<Run> segments;
    for (int32_t row = 0; row < case_.rows; row += 512) segments.push_back({std::min(512, case_.rows - row), static_cast<int32_t>(segments.size())});
    return segments;
  }
  // Bytes and operations of a group: the mean of as many steps as there are different ranks.
  void count(Result& r, Phase phase, const Group& group) const {
    const bool a = phase != Phase::expand, b = phase == Phase::expand || phase == Phase::batched, y = phase != Phase::shrink;
    const int32_t steps = std::min<int32_t>(batch_->sets(), static_cast<int32_t>(pool_->ranks().size()));
    int64_t weights = 0, flops = 0, out = 0;
    for (const int32_t o : group.outs) out += o;
    for (int32_t set = 0; set < steps; set++) {
      for (const Run& run : runs()) {
        const int32_t adapter = batch_->adapter(set, run);
        const int64_t bytes = (a ? pool_->a_bytes(adapter, group) : 0) + (b ? pool_->b_bytes(adapter, group) : 0);
        weights += bytes;
        flops += run.rows * bytes;  // two operations for each element of two bytes
      }
    }
    r.weight_bytes += weights / steps;
    r.flops += flops / steps;
    r.bytes += weights / steps + r.rows * 2 * ((a ? group.in : 0) + (y ? 2 * out : 0));
  }
  int64_t smallest() const {
    int64_t least = INT64_MAX;
    for (const Group& group : layer()) {
      int64_t bytes = 0;
      for (const Run& run : runs()) bytes += std::min(pool_->a_bytes(run.adapter, group), std::max<int64_t>(pool_->b_bytes(run.adapter, group), 1));
      least = std::min(least, bytes);
    }
    return least;
  }
  // So many steps that their weights are three times the cache, if there are as many adapters.
  int32_t sets_of(int64_t weights) const {
    const int64_t wanted = (3 * static_cast<int64_t>(ceilings_.l2) + weights - 1) / weights;
    return static_cast<int32_t>(std::clamp<int64_t>(wanted, 2, pool_->adapters() / distinct_of(runs())));
  }

  Timer& timer_;
  const Ceilings& ceilings_;
  Report& report_;
  Case case_;
  std::unique_ptr<Pool> pool_;
  std::unique_ptr<Batch> batch_;
};

constexpr const char* kUsage = "usage: kernel-times [--quick] [--json FILE] | --ceilings | --help";
struct Options {
  bool quick = false, ceilings = false, help = false;
  std::string json;
};

Options parse(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; i++) {
    if (!std::strcmp(argv[i], "--quick")) options.quick = true;
    else if (!std::strcmp(argv[i], "--ceilings")) options.ceilings = true;
    else if (!std::strcmp(argv[i], "--help")) options.help = true;
    else if (!std::strcmp(argv[i], "--json") && i + 1 < argc) options.json = argv[++i];
    else throw std::invalid_argument(std::string("unknown argument ") + argv[i] + "; " + kUsage);
  }
  return options;
}

// The project's target: 80 % of the bytes' floor with 32 and more rows of different rank-16 adapters; the seven products of a layer, best launch variant.
Target target(const Report& report) {
  Target found;
  found.met = true;
  for (const int32_t n : {32, 64, 128, 256}) {
    double best = 0;
    for (const Result& r : report.results())
      if (r.op == "layer" && r.dtype == "f16" && r.ranks == "16" && r.mix == "distinct" && r.rows == n && !r.prefill) best = std::max(best, r.share());
    if (best == 0) continue;
    found.met = found.met && best >= 0.8;
    found.value += (found.value.empty() ? "" : ", ") + std::to_string(static_cast<int>(best * 100)) + " % at " + std::to_string(n) + " rows";
  }
  return found;
}

void print_ceilings() {
  Timer timer;
  const Ceilings found = measure_ceilings(timer);
  std::printf("{\"read_bytes_per_s\": %.4e, \"copy_bytes_per_s\": %.4e}\n", found.read, found.copy);
}

void run(const Options& options) {
  int device = 0;
  cudaDeviceProp properties{};
  must(cudaGetDevice(&device), "no CUDA device");
  must(cudaGetDeviceProperties(&properties, device), "cudaGetDeviceProperties");
  const bool may_overlap = properties.major >= 9;
  Timer timer;
  const Ceilings ceilings = measure_ceilings(timer);
  std::printf("%s: reads %.0f GB/s, copies %.0f GB/s (read + written), %.2f us from one empty kernel of a graph to the next, L2 %zu MiB\n", properties.name,
              ceilings.read / 1e9, ceilings.copy / 1e9, ceilings.launch_us, ceilings.l2 >> 20);
  Report report(properties.name, ceilings, options.json);
  Bench bench(timer, ceilings, report);
  const std::vector<int32_t> all_rows = options.quick ? std::vector<int32_t>{1, 32} : std::vector<int32_t>{1, 8, 32, 64, 128, 256};
  const int32_t count = options.quick ? 256 : 512;
  const auto section = [&](const std::string& title) {
    report.write(target(report));
    std::printf("\n%s\n", title.c_str());
  };
  const auto best = [&](Phase phase, int32_t group) { bench.time(phase, group, may_overlap, true); };

  section("Distinct adapters of rank 16, float16: every launch variant");
  bench.adapters(DType::f16, "16", count);
  for (const int32_t rows : all_rows) {
    bench.rows({DType::f16, "16", "distinct", rows});
    for (int32_t group = kLayer; group < static_cast<int32_t>(layer().size()); group++) {
      for (const bool prefetch : {false, true})
        for (const bool overlap : {false, true})
          if (!overlap || may_overlap) bench.time(Phase::batched, group, overlap, prefetch);
      if (group == kLayer) continue;
      bench.time(Phase::shrink, group, false, false);
      bench.time(Phase::expand, group, false, false);
    }
  }
  section("The same twice: what differs by less is noise");
  bench.rows({DType::f16, "16", "distinct", 32});
  for (int i = 0; i < 2; i++) best(Phase::batched, kLayer);

  section("Mixes of rank-16 adapters");
  for (const char* mix : {"uniform", "zipf", "identical", "skewed"}) {
    for (const int32_t rows : all_rows) {
      bench.rows({DType::f16, "16", mix, rows});
      best(Phase::batched, kLayer);
      best(Phase::batched, 0);
    }
  }
  section("Prefill: segments of 512 rows of an adapter each, and one segment (identical); rank 16");
  const std::vector<int32_t> prefill_rows = options.quick ? std::vector<int32_t>{512} : std::vector<int32_t>{512, 1024, 2048};
  const auto prefill = [&](const std::string& ranks) {
    for (const char* mix : {"distinct", "identical"}) {
      for (const int32_t rows : prefill_rows) {
        if (rows == 512 && !std::strcmp(mix, "distinct")) continue;  // one segment either way
        bench.rows({DType::f16, ranks, mix, rows, true});
        best(Phase::batched, kLayer);
        bench.time(Phase::shrink, 0, false, false);
        bench.time(Phase::expand, 0, false, false);
        for (int32_t group = 0; group < static_cast<int32_t>(layer().size()); group++) best(Phase::batched, group);
      }
    }
  };
  prefill("16");

  for (const std::string ranks : {"64", "8", "128", "8,16,64,128"}) {
    if (options.quick && ranks != "64") continue;
    section("Distinct adapters of rank " + ranks);
    bench.adapters(DType::f16, ranks, count);
    for (const int32_t rows : all_rows) {
      bench.rows({DType::f16, ranks, "distinct", rows});
      best(Phase::batched, kLayer);
      best(Phase::batched, 0);
    }
    if (ranks == "64") prefill(ranks);
  }
  section("bfloat16");
  bench.adapters(DType::bf16, "16", count);
  for (const int32_t rows : all_rows) {
    bench.rows({DType::bf16, "16", "distinct", rows});
    best(Phase::batched, kLayer);
  }
  section("Dense deltas of q, k, v (HiRA)");
  bench.adapters(DType::f16, "1", 16, true);
  for (const int32_t rows : {1, 8}) {
    bench.rows({DType::f16, "dense", "distinct", rows});
    bench.time(Phase::direct, 0, false, false);
  }
  const Target result = target(report);
  report.write(result);
  std::printf("\na layer's LoRA, different rank-16 adapters, of its bytes' floor: %s (target >= 80 %%)\n", result.value.c_str());
}

}  // namespace

int main(int argc, char** argv) {
  try {
    const Options options = parse(argc, argv);
    if (options.help) std::puts(kUsage);
    else if (options.ceilings) print_ceilings();
    else run(options);
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
