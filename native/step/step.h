// One step's inputs and outputs as plain vectors: native/types.ts's StepBatch and StepOutput.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <vector>
#include "resident.h"

namespace lorikeet {

struct SamplingInput {
  std::vector<float> temperature, top_p, min_p, presence, frequency, repetition, bias_values;
  std::vector<int32_t> top_k, position, history_starts, history, history_prompt, bias_starts, bias_tokens, allowed_starts,
      allowed_tokens, logprobs, target;
  std::vector<uint64_t> seed;
};

struct StepInput {
  std::vector<int32_t> input_ids, cumulative, past, block_table, slots, segment_starts, segment_entries, entry_adapter,
      entry_generation, logits_indices;
  std::vector<uint64_t> entry_digest;
  std::vector<float> entry_weight;
  SamplingInput sampling;
  bool return_logits = false;
  // Filled by resolve_adapters.
  std::vector<std::shared_ptr<const Resident>> resolved;  // per entry
  std::vector<uint8_t> segment_status;
};

struct StepResult {
  std::vector<int32_t> tokens, rank, top_starts, top_tokens;
  std::vector<float> logprob, top_logprobs, logits;
  std::vector<uint8_t> segment_status, row_status;
  double run_ms = 0, sample_ms = 0;
  std::string warning;  // for whoever runs the server; mostly empty
};

}  // namespace lorikeet
