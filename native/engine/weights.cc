#include "weights.h"
#include "convert.h"

namespace lorikeet {

ONNXTensorElementDataType element_type(DType type) {
  return type == DType::f32   ? ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT
         : type == DType::f16 ? ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16
                              : ONNX_TENSOR_ELEMENT_DATA_TYPE_BFLOAT16;
}

Weights::Weights(const std::vector<std::string>& files, const std::function<void(float)>& progress) {
  OrtMemoryInfo* memory = nullptr;
  check(ort().CreateCpuMemoryInfo(OrtDeviceAllocator, OrtMemTypeDefault, &memory));
  memory_.reset(memory);
  size_t total = 1, read = 0;
  for (const auto& path : files) total += files_.emplace_back(path).size();
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

void Weights::add_to(OrtSessionOptions* session, const EngineOptions& options) {
  for (const auto& tensor : options.initializers) {
    const MappedFile& file = files_.at(tensor.file);
    if (tensor.offset + tensor.length > file.size())
      throw std::runtime_error("tensor " + tensor.name + " lies beyond the end of " + options.files[tensor.file]);
    const uint8_t* data = file.data() + tensor.offset;
    const size_t size = element_size(tensor.dtype), count = tensor.length / size;
    if (tensor.bits) {
      const int64_t rows = tensor.shape.at(0), columns = tensor.shape.at(1), blocks = block_count(columns, tensor.block), bytes = tensor.block * tensor.bits / 8;
      auto& packed = made_.emplace_back(rows * blocks * bytes);
      auto& scales = made_.emplace_back(rows * blocks * element_size(tensor.as));
      quantize_rows(data, tensor.dtype, rows, columns, tensor.bits, tensor.block, packed.data(), scales.data(), tensor.as, options.threads);
      add(tensor.name, packed.data(), packed.size(), {rows, blocks, bytes}, ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8);
      add(tensor.scales, scales.data(), scales.size(), {rows * blocks}, element_type(tensor.as));
    } else if (tensor.as != tensor.dtype) {
      auto& converted = made_.emplace_back(count * element_size(tensor.as));
      convert_elements(data, tensor.dtype, converted.data(), tensor.as, count, options.threads);
      add(tensor.name, converted.data(), converted.size(), tensor.shape, element_type(tensor.as));
    } else {
      if (reinterpret_cast<uintptr_t>(data) % size) data = made_.emplace_back(data, data + tensor.length).data();
      add(tensor.name, data, tensor.length, tensor.shape, element_type(tensor.dtype));
    }
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
