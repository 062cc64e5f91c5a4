// The persistent batch: a slot per admitted sequence keeps what the sequence brings (sampling options, stop ids, masks, adapters) and what its steps leave
// behind (token history, counts for penalties, block table). A step names slots and says what changed; it costs that, not what requests brought.
//
// No lock: the engine's JavaScript thread admits, prepares steps and lets go; a step thread (the one that finishes steps, on the CPU the one that begins them)
// writes `history` and `counts` while steps run. A slot is admitted or let go only while no step in flight names it, what prepares a step reads only what its
// own thread writes, and what begins a step on a device reads only what admission wrote: the tokens of the step before it are not known here yet.
#pragma once
#include <cstdint>
#include <deque>
#include <vector>
#include "ngram_index.h"
#include "sampling_options.h"
#include "step.h"
#include "token_counts.h"

namespace lorikeet {

// native/types.ts's SlotInput.
struct SlotInput {
  int32_t slot = 0, prompt_length = 0;
  int32_t vocab_size = 0;  // tokens from here on do not exist for the sequence; 0 is taken for the base's number
  std::vector<int32_t> tokens;
  std::vector<double> options;  // by SamplingOption
  uint64_t seed = 0;
  std::vector<int32_t> bias_tokens, stop_tokens, end_tokens;
  std::vector<float> bias_values;
  std::vector<uint32_t> allowed;  // a bit per token id; empty: all are
  std::vector<AdapterIdentity> adapters;
  std::vector<float> weights;
  std::vector<int32_t> ranks;     // of each as many of its rank rows as are used; 0: all. Empty: all of all
  int32_t adapters_from = 0;  // the first position at which they act; before it the base's
  int32_t drafts = 0;         // tokens that are looked up at most after each one that is sampled; 0: none
};

struct Slot {
  SlotInput input;
  std::vector<int32_t> banned;  // stop and end tokens, ascending: not to be sampled before min_tokens
  bool penalised = false;
  // The JavaScript thread's.
  bool admitted = false;
  int32_t in_flight = 0;        // steps that name it
  int32_t length = 0;           // tokens known, or being sampled by a step in flight
  std::vector<int32_t> blocks;  // its block table
  int32_t handed = 0;           // so many of its places went into steps (StepInput::blocks) as they are
  // The step thread's, and the JavaScript thread's while none is in flight.
  std::vector<int32_t> history;  // [≥ length]
  std::vector<uint32_t> mask;    // by which the running step samples
  NgramIndex ngrams;
  std::vector<int32_t> draft;    // what may follow the last token of its history
  TokenCounts counts;

  double option(SamplingOption o) const { return input.options[static_cast<size_t>(o)]; }
  int32_t min_tokens() const { return static_cast<int32_t>(option(SamplingOption::min_tokens)); }
};

struct SlotLimits {
  int32_t slots = 0, block_size = 0, max_batch_tokens = 0, max_model_len = 0, max_logits_rows = 0;
  int64_t block_count = 0, vocab_size = 0;
  int64_t added_tokens = 0;  // that adapters may add to the vocabulary
  int64_t frames_in_block = 1;
  NgramLengths lookup = {};  // nothing is looked up where they are 0
};

// What an adapter takes of the pool: whole blocks, and frames (block · frames_in_block + place in it), which adapters share blocks by.
struct Held {
  std::vector<int32_t> blocks, frames;
};

class Slots {
 public:
  explicit Slots(const SlotLimits& limits);

  // These throw std::invalid_argument that names what is out of range, and then nothing has changed.
  void admit(SlotInput input);
  void release(int32_t slot);
  // Checks the batch whole, then takes its blocks and notes what it will sample; a wrong plan writes nowhere.
  StepInput prepare(const StepBatch& batch);

  // What an adapter takes, and gives back: no sequence may name its blocks, nor those of its frames, and no other adapter either, meanwhile.
  void hold(const Held& held);
  void let_go(const Held& held);

  // The step is over. After one that failed, what it would have sampled is not known; nor is it of rows whose mask was late, or that were not reached (`row_status`).
  void settle(const StepInput& input, bool failed, const std::vector<uint8_t>& row_status = {});
  // Where masks come from: see masks.h.
  void add_masks(const uint32_t* data, size_t words) { masks_.add(data, words); }

  // For the thread that begins a step on a device, or samples on the CPU: of a row that samples and has a mask, the tokens that are left of it (into `to`), or why
  // it is not to be sampled. 0, and `to` empty: it has none.
  uint8_t masked(const StepInput& input, const LogitsRow& at, const SamplingRow& asks, std::vector<uint32_t>& to) const;

  // What a row asks of sampling, its lists pointing into the slots; neither counts nor target. Reads only what admission wrote: for any step thread.
  SamplingRow asks(const StepInput& input, const LogitsRow& at) const;

  // What follows is the thread's that finishes steps, or computes them when they are begun: it alone knows all tokens. Token ids of the step.
  void fill_tokens(StepInput& input) const;
  // Rows for the CPU's kernels; their counts are brought up to each row's position.
  std::vector<SamplingRow> sampling_rows(const StepInput& input);
  // Notes what was sampled: history, and whether the token ends its sequence (result.stopped). Rows behind a draft that is not what was sampled are marked kNotReached; then
  // drafts of what comes next are looked up (result.drafts).
  void sampled(const StepInput& input, StepResult& result);

  const Slot& at(int32_t slot) const { return slots_[slot]; }
  const SlotLimits& limits() const { return limits_; }

 private:
  void check(const StepBatch& batch);
  void look_up(const StepInput& input, StepResult& result);
  // Appends one sequence to the step.
  void write_out(const StepSequence& sequence, int32_t columns, StepInput& input) const;

  SlotLimits limits_;
  MaskRegions masks_;
  std::vector<Slot> slots_;
  std::vector<int64_t> named_in_;  // by slot: the check that named it last
  std::vector<int32_t> table_;     // by slot: how long its block table becomes
  std::vector<int32_t> uses_;      // by block: block tables that name it; below 0 if an adapter lies there (kAdapter), or as many frames of adapters
  std::vector<bool> frames_;       // taken
  std::deque<std::vector<TokenCount>> counts_of_rows_;  // the step thread's: of sequences that sample several rows in the running step
  int64_t step_ = 0;
};

}  // namespace lorikeet
