// The checkpoint behind a session: mapped files, and what the graph's initializers take from them.
#pragma once
#include <deque>
#include <functional>
#include <string>
#include <vector>
#include "mapped_file.h"
#include "options.h"
#include "ort.h"

namespace lorikeet {

class Weights {
 public:
  // Maps the files and reads them ahead. `progress` gets the fraction of the bytes read.
  Weights(const std::vector<std::string>& files, const std::function<void(float)>& progress);
  // Gives every initializer to the session to be made: in place where the file's type is the graph's, converted or quantized otherwise.
  void add_to(OrtSessionOptions* session, const EngineOptions& options);
  // What ONNX Runtime repacked or cast it has copied; what it uses in place is read again from the page cache.
  void release_pages() const;

 private:
  void add(const std::string& name, const void* data, size_t bytes, std::vector<int64_t> shape, ONNXTensorElementDataType type);

  std::vector<MappedFile> files_;
  std::deque<std::vector<uint8_t>> made_;  // converted tensors, and copies of those that lie at odd addresses; none moves
  MemoryInfoPtr memory_;
  std::vector<std::string> names_;
  std::vector<ValuePtr> values_;
};

ONNXTensorElementDataType element_type(DType type);

}  // namespace lorikeet
