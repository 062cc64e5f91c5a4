#pragma once

namespace lorikeet::test {
// What steps tell a device that keeps the slots' block tables.
void check_slots();
}  // namespace lorikeet::test
