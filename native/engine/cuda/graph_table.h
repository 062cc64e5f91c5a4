// Which shapes of decode steps have a CUDA graph, and which are on their way to one. A shape is captured when it has come often enough; at most so many are
// kept, and the one that was used longest ago makes room. So a load that sees hundreds of shapes once does not keep out those that come every day.
#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include "step_shape.h"

namespace lorikeet::cuda {

// Shapes in the order of their use, the latest first.
class RecentShapes {
 public:
  // Null if it is not among them; otherwise it becomes the latest.
  int32_t* use(const StepShape& shape);
  int32_t& add(const StepShape& shape, int32_t value);
  // The value it had; 0 if it was not among them.
  int32_t remove(const StepShape& shape);
  int32_t remove_oldest();
  size_t size() const { return by_shape_.size(); }

 private:
  struct Entry {
    const StepShape* shape;  // the map's key
    int32_t value;
  };
  std::list<Entry> entries_;
  std::map<StepShape, std::list<Entry>::iterator> by_shape_;
};

struct GraphLimits {
  size_t graphs;   // captured at the same time: each keeps some memory on the device
  size_t counted;  // shapes whose runs are counted beside those
  int32_t runs;    // of a shape before it is captured
  int32_t total;   // captured ever, those given back among them: ONNX Runtime 1.29's CUDA provider keeps their memory until its session ends
};

class GraphTable {
 public:
  // `release` gives a graph back that was handed out and will not be again.
  GraphTable(const GraphLimits& limits, std::function<void(int32_t graph)> release) : limits_(limits), release_(std::move(release)) {}
  // The graph under which this run of the shape is captured or replayed, a number from 1 on; 0: it runs kernel by kernel, as every shape without a graph does
  // once `total` were captured.
  int32_t graph_of(const StepShape& shape);
  // After a run that failed: the shape starts anew.
  void forget(const StepShape& shape);
  // Everything: what the graphs were captured on is gone.
  void clear();
  size_t size() const { return captured_.size(); }

 private:
  GraphLimits limits_;
  std::function<void(int32_t graph)> release_;
  RecentShapes captured_, counted_;  // their graphs; their runs so far
  int32_t last_ = 0;
};

}  // namespace lorikeet::cuda
