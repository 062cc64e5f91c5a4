#pragma once

namespace lorikeet::test {

void check_emulator();

}  // namespace lorikeet::test
