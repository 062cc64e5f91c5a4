#include "weights.h"
#include <algorithm>
#include <cstring>
#include "../numeric/quantize.h"

namespace lorikeet {
namespace {

// Of a checkpoint's tensors that are packed: what is in memory beside the packed weights.
constexpr size_t kBytesAtOnce = 16 << 20;

size_t elements_of(const InitializerRef& part) {
  if (!part.stored) return part.length / element_size(part.dtype);
  size_t count = 1;
  for (const int64_t d : part.shape) count *= static_cast<size_t>(d);
  return count;
}

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

void Weights::require_inside(const std::string& name, const FilePart& part) const {
  if (part.offset + part.length > files_.at(part.file).size())
    throw std::runtime_error("tensor " + name + " lies beyond the end of " + files_[part.file].path());
}

StoredWeight Weights::stored_of(const InitializerRef& ref) const {
  const auto part = [&](const FilePart& at) {
    if (at.length == 0) return StoredPart{};
    require_inside(ref.name, at);
    return StoredPart{files_[at.file].data() + at.offset, at.length};
  };
  StoredForm form = ref.stored->form;
  form.codes = part({ref.file, ref.offset, ref.length});
  form.scales = part(ref.stored->scales);
  form.zeros = part(ref.stored->zeros);
  form.order = part(ref.stored->order);
  return {form, ref.name};
}

void Weights::pack_stored(size_t i, const InitializerRef& ref, int threads) {
  const StoredWeight weight = stored_of(ref);
  const int64_t out = ref.shape[0], in = ref.shape[1];
  if (keeps_stored(*ref.pack, weight)) {
    packed_.pack(i, weight, threads);
    return;
  }
  if (*ref.pack == WeightForm::uint4 || *ref.pack == WeightForm::uint8) throw std::runtime_error("tensor " + ref.name + " does not fit the form that it is to be packed in");
  const int64_t at_once = std::max<int64_t>(1, kBytesAtOnce / (in * static_cast<int64_t>(sizeof(float)) * kLinearTile)) * kLinearTile;
  std::vector<float> values(static_cast<size_t>(std::min(at_once, out) * in));
  for (int64_t first = 0; first < out; first += at_once) {
    const int64_t count = std::min(at_once, out - first);
    read_stored(weight, first, count, values.data(), threads);
    packed_.pack(i, first, {reinterpret_cast<const uint8_t*>(values.data()), DType::f32, count, in, in}, threads);
  }
}

void Weights::pack(const std::vector<const InitializerRef*>& refs, int threads, const std::function<void(float)>& progress) {
  size_t total = 1, read = 0;
  for (const auto* ref : refs) {
    require_inside(ref->name, {ref->file, ref->offset, ref->length});
    const int64_t out = ref->shape.at(0), in = ref->shape.at(1);
    if (!ref->stored && ref->length != static_cast<size_t>(out * in) * element_size(ref->dtype)) throw std::runtime_error("tensor " + ref->name + " has another size than its shape");
    packed_.add({*ref->pack, in, out});
    total += ref->length;
  }
  if (!kept_.empty() && packed_.map(kept_, progress)) return;
  packed_.reserve();
  for (size_t i = 0; i < refs.size(); i++) {
    const InitializerRef& ref = *refs[i];
    if (i + 1 < refs.size()) files_[refs[i + 1]->file].expect(refs[i + 1]->offset, refs[i + 1]->length);
    const MappedFile& file = files_[ref.file];
    if (ref.stored) {
      pack_stored(i, ref, threads);
      file.release_pages(ref.offset, ref.length);
      read += ref.length;
      progress(static_cast<float>(read) / static_cast<float>(total));
      continue;
    }
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

void Weights::put_stored(const InitializerRef& part, uint8_t* to, int threads) const {
  const StoredWeight weight = stored_of(part);
  const int64_t out = part.shape.at(0), in = part.shape.at(1);
  const int64_t at_once = std::max<int64_t>(1, static_cast<int64_t>(kBytesAtOnce / sizeof(float)) / in);
  std::vector<float> values(static_cast<size_t>(std::min(at_once, out) * in));
  for (int64_t first = 0; first < out; first += at_once) {
    const int64_t count = std::min(at_once, out - first);
    read_stored(weight, first, count, values.data(), threads);
    convert_elements(values.data(), DType::f32, to + first * in * static_cast<int64_t>(element_size(part.as)), part.as, static_cast<size_t>(count * in), threads);
  }
}

void Weights::add_one(std::span<const InitializerRef> parts, int threads) {
  const InitializerRef& first = parts.front();
  std::vector<int64_t> shape = first.shape;
  size_t count = 0;
  for (const auto& part : parts) {
    if (!part.zeros) require_inside(part.name, {part.file, part.offset, part.length});
    count += elements_of(part);
    if (&part != &first) shape.at(0) += part.shape.at(0);
  }
  const auto data = [&](const InitializerRef& part) { return files_[part.file].data() + part.offset; };
  const size_t size = element_size(first.as);
  if (first.bits) {
    if (std::any_of(parts.begin(), parts.end(), [](const InitializerRef& part) { return part.stored.has_value(); }))
      throw std::runtime_error("tensor " + first.name + " is quantized already");
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
  if (parts.size() == 1 && !first.stored && first.as == first.dtype && reinterpret_cast<uintptr_t>(data(first)) % size == 0) {
    add(first.name, data(first), first.length, shape, element_type(first.as));
    return;
  }
  uint8_t* whole = make(count * size);
  add(first.name, whole, count * size, shape, element_type(first.as));
  for (const auto& part : parts) {
    const size_t elements = elements_of(part);
    if (part.zeros) std::memset(whole, 0, elements * size);
    else if (part.stored) put_stored(part, whole, threads);
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
