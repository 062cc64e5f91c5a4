// Checks of sampling on the device, the same on a GPU and under the emulator.
#pragma once
namespace lorikeet::test {
// `thorough`: vocabularies and numbers of rows that need a GPU to end soon.
void check_sampling(bool thorough);
}  // namespace lorikeet::test
