#pragma once

namespace lorikeet::test {

void check_graph_table();

}  // namespace lorikeet::test
