#include "custom_op.h"
#include <algorithm>
#include "task_guard.h"

namespace lorikeet {

Dims input_dims(const OrtKernelContext* context, size_t i) {
  const OrtValue* value = nullptr;
  check(ort().KernelContext_GetInput(context, i, &value));
  OrtTensorTypeAndShapeInfo* raw = nullptr;
  check(ort().GetTensorTypeAndShape(value, &raw));
  TensorTypeAndShapeInfoPtr info(raw);
  size_t rank = 0;
  check(ort().GetDimensionsCount(raw, &rank));
  if (rank > 4) throw std::invalid_argument("input " + std::to_string(i) + " has more than four dimensions");
  Dims dims;
  check(ort().GetDimensions(raw, dims.d, rank));
  return dims;
}

size_t input_count(const OrtKernelContext* context) {
  size_t count = 0;
  check(ort().KernelContext_GetInputCount(context, &count));
  return count;
}

void* output_data(OrtKernelContext* context, size_t i, std::initializer_list<int64_t> shape) {
  OrtValue* value = nullptr;
  check(ort().KernelContext_GetOutput(context, i, std::data(shape), shape.size(), &value));
  void* data = nullptr;
  check(ort().GetTensorMutableData(value, &data));
  return data;
}

int64_t attribute_int(const OrtKernelInfo* info, const char* name) {
  int64_t value = 0;
  check(ort().KernelInfoGetAttribute_int64(info, name, &value));
  return value;
}

float attribute_float(const OrtKernelInfo* info, const char* name) {
  float value = 0;
  check(ort().KernelInfoGetAttribute_float(info, name, &value));
  return value;
}

std::string attribute_string(const OrtKernelInfo* info, const char* name) {
  size_t size = 0;  // with the terminating zero
  check(ort().KernelInfoGetAttribute_string(info, name, nullptr, &size));
  std::string value(size, '\0');
  check(ort().KernelInfoGetAttribute_string(info, name, value.data(), &size));
  value.resize(size - 1);
  return value;
}

std::vector<int64_t> attribute_ints(const OrtKernelInfo* info, const char* name) {
  size_t count = 0;
  check(ort().KernelInfoGetAttributeArray_int64(info, name, nullptr, &count));
  std::vector<int64_t> values(count);
  check(ort().KernelInfoGetAttributeArray_int64(info, name, values.data(), &count));
  return values;
}

Parallel parallel_of(OrtKernelContext* context, int threads) {
  Parallel p;
  p.threads = threads;
  p.context = context;
  p.run = [](void* ctx, void (*task)(void*, size_t), size_t count, void* data) {
    TaskGuard guard(task, data);
    // One batch a task: tasks differ in size (ranks, context lengths), so threads take them as they come.
    check(ort().KernelContext_ParallelFor(static_cast<OrtKernelContext*>(ctx), TaskGuard::run, count, count, &guard));
    guard.rethrow();
  };
  return p;
}

}  // namespace lorikeet
