#pragma once

namespace lorikeet::test {

// The emulated device itself: streams that wait, poison, frozen values; the kernels that stand in for ONNX Runtime's.
void check_emulated_device();
void check_emulated_attention();
void check_emulated_gemm();

}  // namespace lorikeet::test
