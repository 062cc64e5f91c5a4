#pragma once

namespace lorikeet::test {
// A step's token ids and KV slots against plain loops.
void check_step_inputs();
}  // namespace lorikeet::test
