// The checkpoint behind a session: mapped files, and what the graph's initializers take from them.
#pragma once
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>
#include "mapped_file.h"
#include "packed_weights.h"
#include "api.h"

namespace lorikeet {

struct FilePart {
  size_t file = 0, offset = 0, length = 0;  // length 0: there is none
};

// What belongs to the numbers of a weight that the checkpoint has quantized. `form` without its parts.
struct StoredRef {
  StoredForm form;
  FilePart scales, zeros, order;
};

// A tensor of a mapped file that an initializer of the graph names: used as it lies there, or converted to `as`, or quantized. Of one name in a row: the
// parts of one initializer along its first dimension.
struct InitializerRef {
  std::string name;
  DType dtype = DType::f32;
  std::vector<int64_t> shape;
  size_t file = 0, offset = 0, length = 0;
  bool zeros = false;  // of no file: so many zeros
  DType as = DType::f32;
  int bits = 0;  // 4 or 8: quantized for MatMulNBits in blocks of `block`; the scales become initializer `scales`, of type `as`
  int64_t block = 0;
  std::string scales;
  std::optional<WeightForm> pack;  // no initializer: the next of Weights::packed
  std::optional<StoredRef> stored;  // the bytes are a quantized weight's numbers, `dtype` its scales' type
};

class Weights {
 public:
  // Maps the files. `kept`: a file that packed weights are kept in, and found in the next time; empty: none.
  explicit Weights(const std::vector<std::string>& files, std::string kept = {});
  // Gives every initializer to the session to be made: in place where the file's type is the graph's, else converted, quantized or put together from
  // its parts, in memory of its own that lasts as long as this does. Weights that are packed come into `packed` instead. `progress` gets the fraction of the bytes
  // read: of the whole files, ahead, or where weights are packed of these, whose pages are let go of as they are packed.
  void add_to(OrtSessionOptions* session, std::span<const InitializerRef> initializers, int threads, const std::function<void(float)>& progress);
  // In the order of their refs.
  const std::vector<PackedWeight>& packed() const { return packed_.list(); }
  // What ONNX Runtime repacked or cast it has copied; what it uses in place is read again from the page cache.
  void release_pages() const;

 private:
  void read_ahead(const std::function<void(float)>& progress) const;
  void pack(const std::vector<const InitializerRef*>& refs, int threads, const std::function<void(float)>& progress);
  void require_inside(const std::string& name, const FilePart& part) const;
  // Packs the i-th weight from what is stored.
  void pack_stored(size_t i, const InitializerRef& ref, int threads);
  StoredWeight stored_of(const InitializerRef& ref) const;
  // All of it as floats of type `as`.
  void put_stored(const InitializerRef& part, uint8_t* to, int threads) const;
  void add_one(std::span<const InitializerRef> parts, int threads);
  uint8_t* make(size_t bytes);
  void add(const std::string& name, const void* data, size_t bytes, std::vector<int64_t> shape, ONNXTensorElementDataType type);

  std::vector<MappedFile> files_;
  std::string kept_;
  PackedWeights packed_;
  std::vector<std::unique_ptr<uint8_t[]>> made_;
  MemoryInfoPtr memory_;
  std::vector<std::string> names_;
  std::vector<ValuePtr> values_;
};

ONNXTensorElementDataType element_type(DType type);

}  // namespace lorikeet
