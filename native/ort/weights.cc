#include "weights.h"
#include <algorithm>
#include <cstring>
#include "../numeric/quantize.h"

namespace lorikeet {
namespace {

// Of a checkpoint's tensors that are packed: what is in memory beside the packed weights.
constexpr size_t kBytesAtOnce = 16 << 20;

}  // namespace

ONNXTensorElementDataType element_type(DType type) {
  return type == DType::f32   ? ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT
         : type == DType::f16 ? ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16
                              : ONNX_TENSOR_ELEMENT_DATA_TYPE_BFLOAT16;
}

Weights::Weights(const std::vector<std::string>& files, std::string kept) : kept_(std::move(kept)) {
  OrtMemoryInfo* memory = nullptr;
  check(ort().CreateCpuMemoryInfo(OrtDeviceAllocator, OrtMemTypeDefault, &memory));
  memory_.reset(memory);
  for (const auto& path : files) files_.emplace_back(path);
}

void Weights::read_ahead(const std::function<void(float)>& progress) const {
  size_t total = 1, read = 0;
  for (const auto& file : files_) total += file.size();
  for (const auto& file : files_)
    file.prefetch([&](size_t bytes) {
      read += bytes;
      progress(static_cast<float>(read) / static_cast<float>(total));
    });
}

void Weights::add(const std::string& name, const void* data, size_t bytes, std::vector<int64_t> shape, ONNXTensorElementDataType type) {
  OrtValue* value = nullptr;
  check(ort().CreateTensorWithDataAsOrtValue(memory_.get(), const_cast<void*>(data), bytes, shape.data(), shape.size(), type, &value));
  values_.emplace_back(value);
  names_.push_back(name);
}

// Not set to zeros first: every byte is written once, by the threads that convert.
uint8_t* Weights::make(size_t bytes) { return made_.emplace_back(std::make_unique_for_overwrite<uint8_t[]>(bytes)).get(); }

void Weights::require_inside(const InitializerRef& part) const {
  if (part.offset + part.length > files_.at(part.file).size())
    throw std::runtime_error("tensor " + part.name + " lies beyond the end of " + files_[part.file].path());
}

void Weights::pack(const std::vector<const InitializerRef*>& refs, int threads, const std::function<void(float)>& progress) {
  size_t total = 1, read = 0;
  for (const auto* ref : refs) {
    require_inside(*ref);
    const int64_t out = ref->shape.at(0), in = ref->shape.at(1);
    if (ref->length != static_cast<size_t>(out * in) * element_size(ref->dtype)) throw std::runtime_error("tensor " + ref->name + " has another size than its shape");
    packed_.add({*ref->pack, in, out});
    total += ref->length;
  }
  if (!kept_.empty() && packed_.map(kept_, progress)) return;
  packed_.reserve();
  for (size_t i = 0; i < refs.size(); i++) {
    const InitializerRef& ref = *refs[i];
    if (i + 1 < refs.size()) files_[refs[i + 1]->file].expect(refs[i + 1]->offset, refs[i + 1]->length);
    const MappedFile& file = files_[ref.file];
    const int64_t out = ref.shape[0], in = ref.shape[1];
    const size_t row_bytes = in * element_size(ref.dtype);
    const int64_t at_once = std::max<int64_t>(1, kBytesAtOnce / (row_bytes * kLinearTile)) * kLinearTile;
    for (int64_t first = 0; first < out; first += at_once) {
      const int64_t count = std::min(at_once, out - first);
      const size_t offset = ref.offset + first * row_bytes, length = count * row_bytes;
      packed_.pack(i, first, {file.data() + offset, ref.dtype, count, in, in}, threads);
      file.release_pages(offset, length);
      read += length;
      progress(static_cast<float>(read) / static_cast<float>(total));
    }
  }
  if (!kept_.empty()) packed_.keep(kept_);  // where it cannot be kept, it is packed again the next time
}

void Weights::add_one(std::span<const InitializerRef> parts, int threads) {
  const InitializerRef& first = parts.front();
  std::vector<int64_t> shape = first.shape;
  size_t count = 0;
  for (const auto& part : parts) {
    if (!part.zeros) require_inside(part);
    count += part.length / element_size(part.dtype);
    if (&part != &first) shape.at(0) += part.shape.at(0);
  }
  const auto data = [&](const InitializerRef& part) { return files_[part.file].data() + part.offset; };
  const size_t size = element_size(first.as);
  if (first.bits) {
    const int64_t columns = shape.at(1), blocks = block_count(columns, first.block), bytes = first.block * first.bits / 8;
    const size_t packed_bytes = shape[0] * blocks * bytes, scales_bytes = shape[0] * blocks * size;
    uint8_t *packed = make(packed_bytes), *scales = make(scales_bytes);
    add(first.name, packed, packed_bytes, {shape[0], blocks, bytes}, ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8);
    add(first.scales, scales, scales_bytes, {shape[0] * blocks}, element_type(first.as));
    for (const auto& part : parts) {
      const int64_t rows = part.shape.at(0);
      quantize_rows(data(part), part.dtype, rows, columns, part.bits, part.block, packed, scales, part.as, threads);
      packed += rows * blocks * bytes;
      scales += rows * blocks * size;
    }
    return;
  }
  if (parts.size() == 1 && first.as == first.dtype && reinterpret_cast<uintptr_t>(data(first)) % size == 0) {
    add(first.name, data(first), first.length, shape, element_type(first.as));
    return;
  }
  uint8_t* whole = make(count * size);
  add(first.name, whole, count * size, shape, element_type(first.as));
  for (const auto& part : parts) {
    const size_t elements = part.length / element_size(part.dtype);
    if (part.zeros) std::memset(whole, 0, elements * size);
    else convert_elements(data(part), part.dtype, whole, part.as, elements, threads);
    whole += elements * size;
  }
}

void Weights::add_to(OrtSessionOptions* session, std::span<const InitializerRef> all, int threads, const std::function<void(float)>& progress) {
  std::vector<const InitializerRef*> packed;
  for (const auto& ref : all)
    if (ref.pack) packed.push_back(&ref);
  if (packed.empty()) read_ahead(progress);
  else pack(packed, threads, progress);
  for (size_t begin = 0, end = 0; begin < all.size(); begin = end) {
    while (end < all.size() && all[end].name == all[begin].name) end++;
    if (!all[begin].pack) add_one(all.subspan(begin, end - begin), threads);
  }
  std::vector<const char*> names;
  std::vector<const OrtValue*> values;
  for (size_t i = 0; i < values_.size(); i++) {
    names.push_back(names_[i].c_str());
    values.push_back(values_[i].get());
  }
  if (!values.empty()) check(ort().AddExternalInitializers(session, names.data(), values.data(), values.size()));
}

void Weights::release_pages() const {
  for (const auto& file : files_) file.release_pages();
}

}  // namespace lorikeet
