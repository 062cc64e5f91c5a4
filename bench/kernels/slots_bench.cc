#include "step/slots.h"
#include "bench.h"

namespace lorikeet::bench {
namespace {

constexpr int32_t kSequences = 256, kContext = 8192, kPoolBlock = 16, kVocabulary = 151936, kBiases = 1000;

SlotInput demanding(int32_t slot, lorikeet::test::Random& random) {
  SlotInput in;
  in.slot = slot;
  in.prompt_length = kContext;
  for (int32_t i = 0; i < kContext; i++) in.tokens.push_back(random.below(4000));
  in.options.assign(kSamplingOptions, 0);
  in.options[static_cast<size_t>(SamplingOption::repetition_penalty)] = 1.05;
  for (int32_t i = 0; i < kBiases; i++) in.bias_tokens.push_back(7 * i);
  in.bias_values.assign(kBiases, 1);
  in.allowed.assign((kVocabulary + 31) / 32, 0x55555555u);
  return in;
}

}  // namespace

// What a decode step of demanding sequences costs beside its kernels: checking the batch and writing it out, and the rows that sampling reads, their counts brought
// up to the last token. The floor is what the graph must be given: the block tables, written once.
void bench_slots(const Machine& machine) {
  lorikeet::test::Random random(3);
  const int32_t per_sequence = (kContext + 64) / kPoolBlock + 1;
  Slots slots({kSequences, kPoolBlock, kSequences, 2 * kContext, kSequences, int64_t{kSequences} * per_sequence, kVocabulary});
  StepBatch first;
  for (int32_t s = 0; s < kSequences; s++) {
    slots.admit(demanding(s, random));
    for (int32_t place = 0; place < per_sequence; place++) first.blocks.push_back({s, place, s * per_sequence + place});
    first.sequences.push_back({s, kContext - 1, 1, 0, 0, 1});
  }
  double prepared = 1e9, sampled = 1e9;
  for (int32_t round = 0; round < 30; round++) {
    StepInput in;
    StepResult result;
    const auto timed = [](double& least, const std::function<void()>& work) { least = std::min(least, least_ms(1, work)); };
    timed(prepared, [&] { in = slots.prepare(first); });
    slots.fill_tokens(in);
    timed(sampled, [&] { slots.sampling_rows(in); });
    result.tokens.assign(kSequences, random.below(4000));
    result.row_status.assign(kSequences, 0);
    slots.sampled(in, result);
    slots.settle(in, false);
    first.blocks.clear();
    for (StepSequence& s : first.sequences) s.past++;
  }
  const double tables = 4.0 * kSequences * (kContext / kPoolBlock) / machine.bytes_per_ms;
  report("slots, a step of 256 × 8,192 tokens checked and written out", prepared, tables, "block tables once");
  report("slots, their rows for sampling", sampled, tables, "block tables once");
}

}  // namespace lorikeet::bench
