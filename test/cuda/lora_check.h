// Checks of the LoRA kernels, the same on a GPU and under the emulator.
#pragma once
namespace lorikeet::test {
// `thorough`: the shapes and counts that need a GPU to end soon.
void check_lora(bool thorough);
}  // namespace lorikeet::test
