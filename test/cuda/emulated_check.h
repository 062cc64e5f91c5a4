#pragma once

namespace lorikeet::test {

// The emulated device itself: streams that wait, poison, frozen values, its attention.
void check_emulated_device();
void check_emulated_attention();

}  // namespace lorikeet::test
