#pragma once

namespace lorikeet::test {

// gated_activation against float64: every activation, both types, two inputs and one that holds both, in place, widths that 16 bytes do not fit.
// `thorough`: widths of real models.
void check_gated(bool thorough);

}  // namespace lorikeet::test
