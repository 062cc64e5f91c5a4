// What slots keep on the device: each sequence's tokens, which steps go on from and write to, its block table, and the lists by which it is sampled. Tokens and
// lists are uploaded once, when a sequence is admitted; a step uploads where they lie, and what block tables have gained.
#pragma once
#include <vector>
#include "../../kernels/cuda/sampling.h"
#include "../../kernels/cuda/step_inputs.h"
#include "../../step/slots.h"
#include "arena.h"

namespace lorikeet {

class DeviceSlots {
 public:
  // Allocates every slot's tokens and block table, 4 bytes a token and a place, and room for lists: about one allowed-token mask a slot. More than that is
  // allocated when it comes.
  DeviceSlots(int32_t slots, int32_t max_model_len, int32_t block_size, int64_t vocab);
  ~DeviceSlots();

  // The JavaScript thread's, on a stream of their own: the compute stream may be captured meanwhile. What `admit` throws leaves nothing behind.
  void admit(const Slot& slot);
  void release(int32_t slot);
  // After a call that failed: whether every later one will.
  bool lost() const { return device::abandon_capture(copies_.get()); }

  // The launching thread's. `compute`'s later work waits for all that was admitted so far.
  void hold(device::Stream compute) const { arrived_.hold(compute); }
  const cuda::SlotState& state() const { return state_; }
  // `asks` (Slots::asks) as the kernels read it, of a row behind `length` tokens.
  cuda::SampleRow row(const Slot& slot, SamplingRow asks, int32_t length, bool scores) const;

 private:
  struct Lists {
    uint8_t* piece = nullptr;
    size_t bytes = 0;
    const int32_t *bias_tokens = nullptr, *banned = nullptr, *bad_words = nullptr;
    const float* bias_values = nullptr;
    const uint32_t* allowed = nullptr;
  };

  int32_t* history(int32_t slot) const { return state_.histories + slot * state_.history_stride; }

  int64_t vocab_;
  device::OwnedStream copies_;
  device::Event arrived_;
  cuda::SlotState state_;
  device::Buffer histories_, tables_;
  Arena arena_{device::Memory::device}, staging_{device::Memory::pinned};
  std::vector<Lists> lists_;  // by slot
  struct Staged {
    uint8_t* piece;
    size_t bytes;
  };
  std::vector<Staged> staged_;  // on their way
};

}  // namespace lorikeet
