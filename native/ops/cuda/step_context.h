// What the CUDA ops of a session share: where the running step's adapters and sampling lie on the device, and how to launch.
// All of it that a launch depends on is a function of the step's shape alone (engine/cuda/step_shape.h), so that a captured graph stays right.
#pragma once
#include <cstdint>
#include "../../kernels/cuda/lora.h"
#include "../../kernels/cuda/row_sums.h"
#include "../../kernels/cuda/sampling.h"
#include "../../device/device.h"
#include "../../pool/cuda/site_bits.h"

namespace lorikeet::cuda {

// One plan of the step's segments, over its tokens or over its logits rows.
struct AdapterRows {
  AdapterStep step;
  Launch launch;
};

struct CudaStepContext {
  DType dtype = DType::f16;
  int64_t vocab_size = 0;
  AdapterRows tokens, logits;
  SiteBits sites;  // of all adapters of the step
  // Scratch of the running op: the shrink's results.
  float* h = nullptr;
  int32_t h_rows = 0;
  // Sampling: everything but the logits and the tokens.
  SampleShape sample_shape;
  SampleOp sample;
  // Sums of hidden states: everything but the rows, the norm's weight and its epsilon.
  RowSumOp sums;

  bool touches(int64_t site) const { return SiteBits::has(sites.touched, site); }
  bool scales_input(int64_t site) const { return SiteBits::has(sites.scaled, site); }
  bool adds_directly(int64_t site) const { return SiteBits::has(sites.direct, site); }
};

}  // namespace lorikeet::cuda
