// One step as plain data: what TypeScript asks for (native/types.ts's StepBatch), that written out for the graph, and what comes of it (StepOutput).
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <vector>
#include "../kernels/kernels.h"
#include "masks.h"
#include "resident.h"

namespace lorikeet {

// Of one sequence: the tokens at positions [past, past + count) are computed, the prompt tokens that follow positions [score_from, score_from + scored) are
// scored, if `samples` is 1 the token after the last one is sampled, and the final hidden states at positions [sum_from, sum_from + summed) are summed. The last `drafted`
// of these tokens are a draft, the first of those that were found for the slot (StepResult::drafts): a token is sampled before each of them too. Field order as STEP_SEQUENCE
// in native/types.ts.
struct StepSequence {
  int32_t slot = 0, past = 0, count = 0, score_from = 0, scored = 0, samples = 0, sum_from = 0, summed = 0, drafted = 0;

  int32_t end() const { return past + count; }
  // Tokens that are known, or being sampled by the step before.
  int32_t known() const { return end() - drafted; }
};

// Place `place` of a slot's block table is pool block `block`. Field order as at STEP_BLOCK_FIELDS in native/types.ts.
struct StepBlock {
  int32_t slot = 0, place = 0, block = 0;
};

// The mask by which a slot samples. Field order as at STEP_MASK_FIELDS in native/types.ts.
struct StepMask {
  int32_t slot = 0, region = 0, ticket = 0;
};

// The token at `position` of a slot's sequence is a draft.
struct DraftedToken {
  int32_t slot = 0, position = 0, token = 0;
};

struct StepBatch {
  std::vector<StepSequence> sequences;
  std::vector<StepBlock> blocks;
  std::vector<StepMask> masks = {};
  bool return_logits = false;
};

// A row of logits: of sequence `sequence` of the step, after the token at `position`.
struct LogitsRow {
  int32_t sequence = 0, position = 0;
  bool scores = false;  // the prompt token that follows; else a token is sampled
};

// A step of T tokens of B sequences in S segments, as docs/graph.md has its inputs, in pool blocks. The token ids are filled in when the step runs: the step
// before it may still be sampling some of them.
struct StepInput {
  std::vector<StepSequence> sequences;
  std::vector<int32_t> input_ids;                     // [T]
  std::vector<int32_t> cumulative, past;              // [B + 1], [B]
  std::vector<int32_t> block_table;                   // [B, columns], padded with 0
  std::vector<StepBlock> blocks;                      // what these tables have gained since the last step that named them: for a device that keeps them
  std::vector<DraftedToken> drafted;                  // of all sequences: for a device that keeps their tokens
  std::vector<int32_t> slot_mapping;                  // [T]
  std::vector<int32_t> segment_starts, segment_entries;  // [S + 1]
  std::vector<AdapterIdentity> entries;               // of all segments
  std::vector<float> entry_weight;
  std::vector<int32_t> entry_rank;                    // rank rows that are used at most; 0: all
  std::vector<int32_t> logits_indices;                // [R]
  std::vector<LogitsRow> rows;                        // [R]
  std::vector<int32_t> segment_of;                    // [B]: a sequence's last one, which has its adapters if any of its tokens do
  std::vector<MaskAt> masks;                          // [B], or empty where no sequence has one
  std::vector<RowRange> summed;                       // of the T rows: a range for each sequence whose hidden states are summed
  bool return_logits = false;
  // Filled by resolve_adapters.
  std::vector<std::shared_ptr<const Resident>> resolved;  // per entry
  std::vector<uint8_t> segment_status;                    // [S]

  int32_t tokens() const { return cumulative.empty() ? 0 : cumulative.back(); }
  int32_t columns() const { return past.empty() ? 0 : static_cast<int32_t>(block_table.size() / past.size()); }
};

struct StepResult {
  std::vector<int32_t> tokens, rank, top_starts, top_tokens;
  std::vector<float> logprob, top_logprobs, logits;
  std::vector<double> sums;                   // [StepInput::summed, hidden]
  std::vector<uint8_t> row_status, stopped;   // [R]
  std::vector<int32_t> drafts;                // [B, 2] where drafts are looked up: how many tokens may come next by what has stood before, and the first of them or −1
  double run_ms = 0, sample_ms = 0;
  std::string warning;  // for whoever runs the server; mostly empty
};

struct Step {
  StepInput input;
  StepResult result;
};

}  // namespace lorikeet
