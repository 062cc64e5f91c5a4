#include "slots.h"
#include <algorithm>
#include <iterator>
#include <limits>
#include <stdexcept>
#include <string>
#include <utility>
#include "bad_words.h"

namespace lorikeet {
namespace {

// What the kernels take, by SamplingOption; what clients may ask for is narrower (runtime/sampling-options.ts).
struct Range {
  double least, most;
};
constexpr double kInt = std::numeric_limits<int32_t>::max(), kLeast = std::numeric_limits<float>::min(), kMost = 1e30;
constexpr Range kRanges[] = {{0, kMost},      {0, kMost},      {-1, kInt}, {0, 1},      {-kMost, kMost},
                             {-kMost, kMost}, {kLeast, kMost}, {0, kInt},  {-1, kInt}, {-1, kInt}};
static_assert(std::size(kRanges) == kSamplingOptions);

constexpr int32_t kAdapter = std::numeric_limits<int32_t>::min();  // in `uses_`: an adapter has the whole block

// Throws `what` with `name`'s value when it does not hold.
void require(bool ok, const char* name, int64_t value, const std::string& wanted) {
  if (!ok) throw std::invalid_argument(std::string(name) + " is " + std::to_string(value) + "; " + wanted);
}

std::string up_to(int64_t last) { return "it must be 0 to " + std::to_string(last); }

void check_tokens(const std::vector<int32_t>& tokens, const char* name, int64_t vocab) {
  for (const int32_t token : tokens) require(token >= 0 && token < vocab, name, token, up_to(vocab - 1));
}

// What the step appends from token `start` on has these adapters: the last segment goes on if it has the same, else one begins.
void continue_segment(StepInput& input, int32_t start, const std::vector<AdapterIdentity>& adapters, const std::vector<float>& weights, const std::vector<int32_t>& ranks) {
  if (!input.segment_starts.empty()) {
    const size_t from = input.segment_entries[input.segment_entries.size() - 2];
    if (std::equal(adapters.begin(), adapters.end(), input.entries.begin() + from, input.entries.end()) &&
        std::equal(weights.begin(), weights.end(), input.entry_weight.begin() + from, input.entry_weight.end()) &&
        std::equal(ranks.begin(), ranks.end(), input.entry_rank.begin() + from, input.entry_rank.end()))
      return;
  }
  input.segment_starts.push_back(start);
  input.entries.insert(input.entries.end(), adapters.begin(), adapters.end());
  input.entry_weight.insert(input.entry_weight.end(), weights.begin(), weights.end());
  input.entry_rank.insert(input.entry_rank.end(), ranks.begin(), ranks.end());
  input.segment_entries.push_back(static_cast<int32_t>(input.entries.size()));
}

}  // namespace

Slots::Slots(const SlotLimits& limits) : limits_(limits), masks_(limits.slots, limits.vocab_size + limits.added_tokens), slots_(limits.slots), named_in_(limits.slots), table_(limits.slots), uses_(limits.block_count), frames_(limits.block_count * limits.frames_in_block) {}

void Slots::admit(SlotInput input) {
  // Lists name what is there for any sequence; tokens of its own are those that exist for it.
  const int64_t vocab = limits_.vocab_size + limits_.added_tokens, length = static_cast<int64_t>(input.tokens.size());
  if (input.vocab_size == 0) input.vocab_size = static_cast<int32_t>(limits_.vocab_size);
  require(input.slot >= 0 && input.slot < limits_.slots, "slot", input.slot, up_to(limits_.slots - 1));
  Slot& slot = slots_[input.slot];
  require(!slot.admitted, "slot", input.slot, "that slot is taken");
  require(length > 0 && length <= limits_.max_model_len, "tokens.length", length, "it must be 1 to " + std::to_string(limits_.max_model_len));
  require(input.prompt_length > 0 && input.prompt_length <= length, "promptLength", input.prompt_length, "it must be 1 to tokens.length");
  require(input.vocab_size > 0 && input.vocab_size <= vocab, "vocabSize", input.vocab_size, "it must be 1 to " + std::to_string(vocab));
  check_tokens(input.tokens, "tokens[]", input.vocab_size);
  check_tokens(input.bias_tokens, "biasTokens[]", vocab);
  check_tokens(input.stop_tokens, "stopTokens[]", vocab);
  check_tokens(input.end_tokens, "endTokens[]", vocab);
  std::vector<int32_t> bad_words = bad_words_of(input.bad_words, vocab);
  const auto pair = [](size_t a, size_t b, const char* name) { require(a == b, name, static_cast<int64_t>(b), "it must be " + std::to_string(a)); };
  pair(static_cast<size_t>(SamplingOption::count), input.options.size(), "options.length");
  pair(input.bias_tokens.size(), input.bias_values.size(), "biasValues.length");
  pair(input.adapters.size(), input.weights.size(), "entryWeight.length");
  if (input.ranks.empty()) input.ranks.assign(input.adapters.size(), 0);
  pair(input.adapters.size(), input.ranks.size(), "entryRank.length");
  require(input.drafts >= 0, "drafts", input.drafts, "it must be 0 (none) or more");
  for (const int32_t rank : input.ranks) require(rank >= 0, "entryRank[]", rank, "it must be 0 (all) or more");
  require(input.adapters_from >= 0 && input.adapters_from < length, "adaptersFrom", input.adapters_from, "it must be 0 to below tokens.length");
  for (size_t i = 0; i < input.options.size(); i++)
    if (!(input.options[i] >= kRanges[i].least && input.options[i] <= kRanges[i].most))
      throw std::invalid_argument("options[" + std::to_string(i) + "] is " + std::to_string(input.options[i]) + "; it must be " +
                                  std::to_string(kRanges[i].least) + " to " + std::to_string(kRanges[i].most));
  if (!input.allowed.empty()) pair(static_cast<size_t>((vocab + 31) / 32), input.allowed.size(), "allowed.length");

  slot.bad_words = std::move(bad_words);
  slot.banned = input.stop_tokens;
  slot.banned.insert(slot.banned.end(), input.end_tokens.begin(), input.end_tokens.end());
  std::sort(slot.banned.begin(), slot.banned.end());
  slot.banned.erase(std::unique(slot.banned.begin(), slot.banned.end()), slot.banned.end());
  std::sort(input.stop_tokens.begin(), input.stop_tokens.end());
  slot.history = std::move(input.tokens);
  slot.length = static_cast<int32_t>(length);
  slot.input = std::move(input);
  slot.penalised = slot.option(SamplingOption::presence_penalty) != 0 || slot.option(SamplingOption::frequency_penalty) != 0 ||
                   slot.option(SamplingOption::repetition_penalty) != 1;
  slot.admitted = true;
}

void Slots::release(int32_t index) {
  require(index >= 0 && index < limits_.slots, "slot", index, up_to(limits_.slots - 1));
  Slot& slot = slots_[index];
  require(slot.in_flight == 0, "slot", index, "a step in flight names that slot");
  for (const int32_t block : slot.blocks) uses_[block]--;
  slot = {};
}

void Slots::hold(const Held& held) {
  size_t blocks = 0, frames = 0;
  try {
    for (; blocks < held.blocks.size(); blocks++) {
      const int32_t block = held.blocks[blocks];
      require(block >= 0 && block < limits_.block_count, "a block", block, up_to(limits_.block_count - 1));
      require(uses_[block] == 0, "a block", block, "that block is in use");
      uses_[block] = kAdapter;
    }
    for (; frames < held.frames.size(); frames++) {
      const int32_t frame = held.frames[frames];
      require(frame >= 0 && static_cast<size_t>(frame) < frames_.size(), "a frame", frame, up_to(static_cast<int64_t>(frames_.size()) - 1));
      int32_t& uses = uses_[frame / limits_.frames_in_block];
      require(uses <= 0 && uses != kAdapter && !frames_[frame], "a frame", frame, "that frame is in use");
      frames_[frame] = true;
      uses--;
    }
  } catch (...) {
    let_go({{held.blocks.begin(), held.blocks.begin() + blocks}, {held.frames.begin(), held.frames.begin() + frames}});
    throw;
  }
}

void Slots::let_go(const Held& held) {
  for (const int32_t block : held.blocks) uses_[block] = 0;
  for (const int32_t frame : held.frames) {
    frames_[frame] = false;
    uses_[frame / limits_.frames_in_block]++;
  }
}

StepInput Slots::prepare(const StepBatch& batch) {
  check(batch);
  for (const auto& [s, place, block] : batch.blocks) {
    std::vector<int32_t>& blocks = slots_[s].blocks;
    if (static_cast<size_t>(place) < blocks.size()) uses_[std::exchange(blocks[place], block)]--;
    else blocks.push_back(block);
    uses_[block]++;
    slots_[s].handed = std::min(slots_[s].handed, place);
  }
  // What is written must be the slot's alone. Checked after its blocks are noted, which is harmless: they are the slot's from now on, whatever the step does.
  for (const StepSequence& s : batch.sequences)
    for (int32_t place = s.past / limits_.block_size; place <= (s.past + s.count - 1) / limits_.block_size; place++)
      require(uses_[slots_[s.slot].blocks[place]] == 1, "a block", slots_[s.slot].blocks[place], "the step would write into it, and others use it");

  StepInput input;
  input.sequences = batch.sequences;
  input.return_logits = batch.return_logits;
  int32_t columns = 0;
  for (const StepSequence& s : batch.sequences) columns = std::max(columns, (s.past + s.count - 1) / limits_.block_size + 1);
  input.block_table.assign(batch.sequences.size() * columns, 0);
  input.cumulative.push_back(0);
  input.segment_entries.push_back(0);
  for (size_t b = 0; b < batch.sequences.size(); b++) {
    Slot& slot = slots_[batch.sequences[b].slot];
    if (const int32_t drafted = batch.sequences[b].drafted) {
      // Not behind what is written over: a step that failed may have counted other drafts there.
      if (slot.penalised) slot.counts.take_back(slot.history, slot.input.prompt_length, slot.length);
      slot.history.resize(slot.length);
      slot.history.insert(slot.history.end(), slot.draft.begin(), slot.draft.begin() + drafted);
    }
    write_out(batch.sequences[b], columns, input);
    for (; slot.handed < static_cast<int32_t>(slot.blocks.size()); slot.handed++)
      input.blocks.push_back({batch.sequences[b].slot, slot.handed, slot.blocks[slot.handed]});
    slot.in_flight++;
    if (batch.sequences[b].samples) slot.length = std::max(slot.length, batch.sequences[b].end() + 1);
  }
  input.segment_starts.push_back(input.tokens());
  if (!batch.masks.empty()) input.masks.resize(batch.sequences.size());
  for (const StepMask& mask : batch.masks)
    for (size_t b = 0; b < batch.sequences.size(); b++)
      if (batch.sequences[b].slot == mask.slot) input.masks[b] = masks_.at(mask.slot, mask.region, mask.ticket);
  return input;
}

void Slots::check(const StepBatch& batch) {
  step_++;
  int64_t tokens = 0, rows = 0;
  const auto named = [&](int32_t slot) {
    require(slot >= 0 && slot < limits_.slots, "slot", slot, up_to(limits_.slots - 1));
    require(slots_[slot].admitted, "slot", slot, "no sequence is admitted there");
  };
  // Block tables as they will be: a place is one that is there, or the next one.
  std::vector<std::pair<int32_t, int32_t>> longer;  // slot, blocks
  for (const auto& [s, place, block] : batch.blocks) {
    named(s);
    if (longer.empty() || longer.back().first != s) longer.emplace_back(s, static_cast<int32_t>(slots_[s].blocks.size()));
    require(place >= 0 && place <= longer.back().second, "place", place, up_to(longer.back().second));
    require(block >= 0 && block < limits_.block_count, "block", block, up_to(limits_.block_count - 1));
    require(uses_[block] >= 0, "block", block, "an adapter lies in that block");
    const std::vector<int32_t>& blocks = slots_[s].blocks;
    require(static_cast<size_t>(place) >= blocks.size() || blocks[place] == block || slots_[s].in_flight == 0, "place", place,
            "a step in flight uses the block that is there");
    longer.back().second = std::max(longer.back().second, place + 1);
  }
  for (const auto& [s, blocks] : longer) {
    require(named_in_[s] != step_, "slot", s, "its blocks must follow each other");
    named_in_[s] = step_;
    table_[s] = blocks;
  }
  const int64_t blocks_step = step_++;
  for (const StepSequence& s : batch.sequences) {
    named(s.slot);
    const Slot& slot = slots_[s.slot];
    const int64_t end = int64_t{s.past} + s.count;
    const auto places = named_in_[s.slot] == blocks_step ? table_[s.slot] : static_cast<int32_t>(slot.blocks.size());
    require(named_in_[s.slot] != step_, "slot", s.slot, "the step names it twice");
    named_in_[s.slot] = step_;
    require(s.past >= 0, "past", s.past, "it must not be negative");
    require(s.count > 0, "count", s.count, "it must be positive");
    require(end <= limits_.max_model_len, "past + count", end, "a sequence has at most " + std::to_string(limits_.max_model_len) + " tokens");
    require(s.drafted == 0 || (s.drafted > 0 && s.drafted < s.count && s.samples && slot.in_flight == 0), "drafted", s.drafted, "drafts come behind a token that is known");
    // Without drafts a step in flight may be looking some up.
    if (s.drafted > 0)
      require(s.drafted <= static_cast<int32_t>(slot.draft.size()), "drafted", s.drafted, "of the sequence " + std::to_string(slot.draft.size()) + " tokens are drafted");
    require(s.known() <= slot.length, "past + count", end, "the sequence has " + std::to_string(slot.length) + " tokens");
    require((end - 1) / limits_.block_size < places, "past + count", end, "the sequence has " + std::to_string(places) + " blocks of " + std::to_string(limits_.block_size));
    require(s.scored >= 0 && (s.scored == 0 || (s.score_from >= s.past && int64_t{s.score_from} + s.scored <= end)), "scored", s.scored,
            "what is scored must be computed in the step");
    require(s.scored == 0 || s.score_from + s.scored < slot.input.prompt_length, "scored", s.scored, "only prompt tokens are scored");
    require(s.summed >= 0 && (s.summed == 0 || (s.sum_from >= s.past && int64_t{s.sum_from} + s.summed <= end)), "summed", s.summed,
            "what is summed must be computed in the step");
    require(s.samples == 0 || (s.samples == 1 && s.known() == slot.length), "samples", s.samples, "the token after the last one can be sampled, no other");
    tokens += s.count;
    rows += s.scored + s.samples * (1 + s.drafted);
  }
  for (const StepMask& mask : batch.masks)
    for (const StepSequence& s : batch.sequences) require(s.slot != mask.slot || s.drafted == 0, "drafted", s.drafted, "a mask is of the next token alone");
  require(!batch.sequences.empty(), "the step's sequences", 0, "it must name one");
  require(tokens <= limits_.max_batch_tokens, "the step's tokens", tokens, up_to(limits_.max_batch_tokens));
  require(rows <= limits_.max_logits_rows, "the step's rows of logits", rows, up_to(limits_.max_logits_rows));
}

void Slots::write_out(const StepSequence& s, int32_t columns, StepInput& input) const {
  const Slot& slot = slots_[s.slot];
  const size_t b = input.past.size();
  const int32_t block_size = limits_.block_size, start = input.cumulative.back(), end = s.past + s.count;
  std::copy_n(slot.blocks.begin(), (end - 1) / block_size + 1, input.block_table.begin() + b * columns);
  for (int32_t p = s.past; p < end; p++) input.slot_mapping.push_back(slot.blocks[p / block_size] * block_size + p % block_size);
  for (int32_t p = s.score_from; p < s.score_from + s.scored; p++) {
    input.rows.push_back({static_cast<int32_t>(b), p, true});
    input.logits_indices.push_back(start + p - s.past);
  }
  for (int32_t p = s.known() - 1; s.samples && p < end; p++) {
    input.rows.push_back({static_cast<int32_t>(b), p, false});
    input.logits_indices.push_back(start + p - s.past);
  }
  for (int32_t p = s.known(); p < end; p++) input.drafted.push_back({s.slot, p, slot.history[p]});
  if (s.summed) input.summed.push_back({start + s.sum_from - s.past, s.summed});
  // Neighbours with the same adapters share a segment, and a sequence whose adapters begin to act in this step has two.
  const int32_t acting = std::max(s.past, slot.input.adapters_from);
  if (acting > s.past) continue_segment(input, start, {}, {}, {});
  if (acting < end) continue_segment(input, start + acting - s.past, slot.input.adapters, slot.input.weights, slot.input.ranks);
  input.segment_of.push_back(static_cast<int32_t>(input.segment_starts.size()) - 1);
  input.past.push_back(s.past);
  input.cumulative.push_back(start + s.count);
}

void Slots::settle(const StepInput& input, bool failed, const std::vector<uint8_t>& row_status) {
  for (size_t r = 0; !failed && r < row_status.size(); r++) {
    if (row_status[r] != kMaskLate && row_status[r] != kNotReached) continue;
    int32_t& length = slots_[input.sequences[input.rows[r].sequence].slot].length;
    length = std::min(length, input.rows[r].position + 1);
  }
  for (const StepSequence& s : input.sequences) {
    Slot& slot = slots_[s.slot];
    slot.in_flight--;
    if (!failed) continue;
    slot.handed = 0;
    if (s.samples) slot.length = std::min(slot.length, s.known());
  }
}

void Slots::fill_tokens(StepInput& input) const {
  input.input_ids.clear();
  for (const StepSequence& s : input.sequences) {
    const std::vector<int32_t>& history = slots_[s.slot].history;
    input.input_ids.insert(input.input_ids.end(), history.begin() + s.past, history.begin() + s.past + s.count);
  }
}

SamplingRow Slots::asks(const StepInput& input, const LogitsRow& at) const {
  const Slot& slot = slots_[input.sequences[at.sequence].slot];
  const auto number = [&](SamplingOption o) { return static_cast<float>(slot.option(o)); };
  const auto integer = [&](SamplingOption o) { return static_cast<int32_t>(slot.option(o)); };
  SamplingRow row;
  row.vocab = slot.input.vocab_size;
  if (at.scores) {
    row.logprobs = integer(SamplingOption::prompt_logprobs);
    return row;
  }
  row.temperature = number(SamplingOption::temperature);
  row.top_p = number(SamplingOption::top_p);
  row.top_k = integer(SamplingOption::top_k);
  row.min_p = number(SamplingOption::min_p);
  row.seed = slot.input.seed;
  row.position = at.position + 1 - slot.input.prompt_length;
  row.logprobs = integer(SamplingOption::logprobs);
  if (slot.penalised) {
    row.presence = number(SamplingOption::presence_penalty);
    row.frequency = number(SamplingOption::frequency_penalty);
    row.repetition = number(SamplingOption::repetition_penalty);
  }
  row.bias_tokens = slot.input.bias_tokens.data();
  row.bias_values = slot.input.bias_values.data();
  row.bias_count = static_cast<int32_t>(slot.input.bias_tokens.size());
  if (row.position < slot.min_tokens()) {
    row.banned = slot.banned.data();
    row.banned_count = static_cast<int32_t>(slot.banned.size());
  }
  if ((row.bad_word_count = bad_word_count(slot.bad_words))) row.bad_words = slot.bad_words.data();
  if (!slot.input.allowed.empty()) row.allowed = slot.input.allowed.data();
  return row;
}

uint8_t Slots::masked(const StepInput& input, const LogitsRow& at, const SamplingRow& asks, std::vector<uint32_t>& to) const {
  to.clear();
  if (at.scores || input.masks.empty() || !input.masks[at.sequence].place) return 0;
  return masks_.read(input.masks[at.sequence], asks.allowed, asks.banned, asks.banned_count, asks.vocab, to);
}

std::vector<SamplingRow> Slots::sampling_rows(const StepInput& input) {
  std::vector<SamplingRow> rows;
  rows.reserve(input.rows.size());
  counts_of_rows_.clear();
  for (const LogitsRow& at : input.rows) {
    const StepSequence& sequence = input.sequences[at.sequence];
    Slot& slot = slots_[sequence.slot];
    SamplingRow& row = rows.emplace_back(asks(input, at));
    if (at.scores) {
      row.target = slot.history[at.position + 1];
      continue;
    }
    if (row.bad_words) row.output = slot.history.data() + slot.input.prompt_length;
    row.withheld = masked(input, at, row, slot.mask);
    if (!slot.mask.empty()) row.allowed = slot.mask.data();
    if (slot.penalised) {
      slot.counts.count(slot.history, slot.input.prompt_length, at.position + 1);
      std::span<const TokenCount> counts = slot.counts.items();
      // Each of several rows counts the drafts before it.
      if (sequence.drafted) counts = counts_of_rows_.emplace_back(counts.begin(), counts.end());
      row.counts = counts.data();
      row.count_count = static_cast<int32_t>(counts.size());
    }
  }
  return rows;
}

void Slots::sampled(const StepInput& input, StepResult& result) {
  result.stopped.assign(input.rows.size(), 0);
  int32_t over = -1;  // the sequence whose other rows are behind a draft that was wrong
  for (size_t r = 0; r < input.rows.size(); r++) {
    const LogitsRow& row = input.rows[r];
    if (row.scores) continue;
    if (row.sequence == over) {
      result.row_status[r] = kNotReached;
      continue;
    }
    const StepSequence& sequence = input.sequences[row.sequence];
    Slot& slot = slots_[sequence.slot];
    const int32_t place = row.position + 1;
    if (static_cast<int32_t>(slot.history.size()) <= place) slot.history.resize(place + 1);
    const int32_t token = result.row_status[r] ? 0 : result.tokens[r];  // a step in flight may go on with it, for nobody
    const int32_t output = place + 1 - slot.input.prompt_length;        // with this token
    result.stopped[r] = !result.row_status[r] && output >= slot.min_tokens() && std::binary_search(slot.input.stop_tokens.begin(), slot.input.stop_tokens.end(), token);
    if (place < sequence.end() && (result.row_status[r] || result.stopped[r] || slot.history[place] != token)) {
      if (slot.penalised) slot.counts.take_back(slot.history, slot.input.prompt_length, place);
      slot.history.resize(place + 1);
      over = row.sequence;
    }
    slot.history[place] = token;
  }
  if (limits_.lookup.shortest > 0) look_up(input, result);
}

void Slots::look_up(const StepInput& input, StepResult& result) {
  result.drafts.assign(2 * input.sequences.size(), 0);
  for (size_t b = 0; b < input.sequences.size(); b++) result.drafts[2 * b + 1] = -1;
  for (size_t r = 0; r < input.rows.size(); r++) {
    const LogitsRow& row = input.rows[r];
    Slot& slot = slots_[input.sequences[row.sequence].slot];
    if (row.scores || slot.input.drafts == 0 || result.row_status[r] == kNotReached) continue;
    slot.draft.clear();
    const bool last = r + 1 == input.rows.size() || input.rows[r + 1].sequence != row.sequence || result.row_status[r + 1] == kNotReached;
    if (!last || result.row_status[r] || result.stopped[r]) continue;
    slot.ngrams.find(slot.history, row.position + 2, limits_.lookup, slot.input.drafts, slot.draft);
    if (slot.draft.empty()) continue;
    result.drafts[2 * row.sequence] = static_cast<int32_t>(slot.draft.size());
    result.drafts[2 * row.sequence + 1] = slot.draft.front();
  }
}

}  // namespace lorikeet
