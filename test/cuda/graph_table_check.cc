// The table of captured graphs by itself: what is captured, what makes room, and that every graph is given back once.
#include "graph_table_check.h"
#include <set>
#include "../../native/engine/cuda/graph_table.h"
#include "../native/harness.h"

namespace lorikeet::test {
namespace {

using cuda::GraphLimits, cuda::GraphTable, cuda::StepShape;

StepShape shape(int32_t columns) {
  StepShape shape;
  shape.captured = true;
  shape.columns = columns;
  return shape;
}

// A table that notes what it gave back.
struct Noted {
  explicit Noted(const GraphLimits& limits)
      : table(limits, [this](int32_t graph) { check(released.insert(graph).second, "graph " + std::to_string(graph) + " is given back twice"); }) {}
  // The last of `times` runs.
  int32_t run(int32_t columns, int times = 1) {
    int32_t graph = 0;
    for (int i = 0; i < times; i++) graph = table.graph_of(shape(columns));
    return graph;
  }
  std::set<int32_t> released;
  GraphTable table;
};

constexpr GraphLimits kLimits{.graphs = 512, .counted = 4096, .runs = 2, .total = 4096};

}  // namespace

void check_graph_table() {
  {
    Noted one(kLimits);
    check(one.run(7, 2) == 0, "two runs of a shape are kernel by kernel");
    const int32_t graph = one.run(7);
    check(graph > 0 && one.run(7) == graph, "the third is captured, the fourth replays it");
  }
  {
    Noted one(kLimits);
    for (int32_t s = 0; s < 513; s++) one.run(s);
    check(one.table.size() == 0, "shapes that came once have no graph");
    check(one.run(600, 3) > 0, "and keep no other from getting one");
    check(one.run(5, 2) > 0, "they are counted meanwhile");
  }
  {
    Noted one(kLimits);
    const int32_t first = one.run(0, 3), second = one.run(1, 3);
    for (int32_t s = 2; s < 512; s++) one.run(s, 3);
    check(one.table.size() == 512 && one.released.empty(), "as many graphs as may be");
    check(one.run(0) == first, "the first is used again");
    check(one.run(512, 3) > 0 && one.table.size() == 512, "one more is captured");
    check(one.released == std::set{second}, "in the place of the one that was used longest ago");
    check(one.run(0) == first, "not of the one that was used");
    check(one.run(1, 2) == 0 && one.run(1) > second, "the shape that gave way is counted anew and gets another graph");
    one.table.clear();
    check(one.table.size() == 0 && one.released.size() == 514, "all are given back");
    check(one.run(0, 2) == 0 && one.run(0) > 514, "no number comes twice");
  }
  {
    Noted one(kLimits);
    const int32_t graph = one.run(3, 3);
    one.table.forget(shape(3));
    check(one.released == std::set{graph} && one.run(3, 2) == 0 && one.run(3) > graph, "after a failure a shape starts anew");
  }
  {
    Noted one({.graphs = 2, .counted = 2, .runs = 2, .total = 3});
    one.run(1, 2), one.run(2), one.run(3);
    check(one.run(1, 2) == 0, "of the counted shapes too the oldest makes room");
    for (const int32_t s : {1, 2, 3}) one.run(s, 3);
    check(one.table.size() == 2 && one.run(3) == 3, "three graphs were captured, two are kept");
    check(one.run(4, 9) == 0 && one.run(3) == 3 && one.run(2) == 2, "after that no other, and these stay");
  }
}

}  // namespace lorikeet::test
