// OrtCustomOp's table of function pointers, filled from a small class. A kernel class K has:
//   static constexpr const char* name; static std::vector<Arg> inputs(), outputs(); static constexpr InPlace in_place[] (may be empty);
//   K(const Context&, const OrtKernelInfo*);  void compute(OrtKernelContext*);   // both may throw
// Context: StepContext, or the device's.
#pragma once
#include <exception>
#include <initializer_list>
#include <string>
#include <vector>
#include "../ort/api.h"
#include "step_context.h"

namespace lorikeet {

struct Arg {
  ONNXTensorElementDataType type;
  OrtCustomOpInputOutputCharacteristic kind = INPUT_OUTPUT_REQUIRED;
};
constexpr auto kFloat = ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT;
constexpr auto kBytes = ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8;
constexpr auto kInt32 = ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32;

// Output `output` may take over the buffer of input `input` when nobody else reads that.
struct InPlace {
  int input, output;
};

// What `work` throws, as ONNX Runtime's C frames can carry it.
template <typename Work>
OrtStatus* status_of(const Work& work) {
  try {
    work();
    return nullptr;
  } catch (const std::exception& e) {
    return ort().CreateStatus(ORT_RUNTIME_EXCEPTION, e.what());
  } catch (...) {
    return ort().CreateStatus(ORT_RUNTIME_EXCEPTION, "an exception of no known type");
  }
}

template <typename K, typename Context = StepContext>
class CustomOp : public OrtCustomOp {
 public:
  // `provider`: the execution provider that runs the op, by ONNX Runtime's name; null is the CPU's.
  explicit CustomOp(const Context& context, const char* provider = nullptr) : OrtCustomOp{}, context_(context), provider_(provider) {
    version = ORT_API_VERSION;
    GetName = [](const OrtCustomOp*) { return K::name; };
    GetExecutionProviderType = [](const OrtCustomOp* op) { return static_cast<const CustomOp*>(op)->provider_; };
    GetInputTypeCount = [](const OrtCustomOp*) { return args(true).size(); };
    GetOutputTypeCount = [](const OrtCustomOp*) { return args(false).size(); };
    GetInputType = [](const OrtCustomOp*, size_t i) { return args(true)[i].type; };
    GetOutputType = [](const OrtCustomOp*, size_t i) { return args(false)[i].type; };
    GetInputCharacteristic = [](const OrtCustomOp*, size_t i) { return args(true)[i].kind; };
    GetOutputCharacteristic = [](const OrtCustomOp*, size_t i) { return args(false)[i].kind; };
    GetInputMemoryType = [](const OrtCustomOp*, size_t) { return OrtMemTypeDefault; };
    GetVariadicInputMinArity = GetVariadicOutputMinArity = [](const OrtCustomOp*) { return 1; };
    GetVariadicInputHomogeneity = GetVariadicOutputHomogeneity = [](const OrtCustomOp*) { return 1; };
    GetStartVersion = GetEndVersion = [](const OrtCustomOp*) { return 1; };
    CreateKernelV2 = [](const OrtCustomOp* op, const OrtApi*, const OrtKernelInfo* info, void** kernel) -> OrtStatus* {
      return status_of([&] { *kernel = new K(static_cast<const CustomOp*>(op)->context_, info); });
    };
    KernelComputeV2 = [](void* kernel, OrtKernelContext* context) -> OrtStatus* {
      return status_of([&] { static_cast<K*>(kernel)->compute(context); });
    };
    KernelDestroy = [](void* kernel) { delete static_cast<K*>(kernel); };
    GetMayInplace = [](int** inputs, int** outputs) -> size_t {
      const auto pairs = K::in_place();
      *inputs = new int[pairs.size()];
      *outputs = new int[pairs.size()];
      for (size_t i = 0; i < pairs.size(); i++) {
        (*inputs)[i] = pairs[i].input;
        (*outputs)[i] = pairs[i].output;
      }
      return pairs.size();
    };
    ReleaseMayInplace = [](int* inputs, int* outputs) {
      delete[] inputs;
      delete[] outputs;
    };
  }

 private:
  static const std::vector<Arg>& args(bool input) {
    static const std::vector<Arg> inputs = K::inputs(), outputs = K::outputs();
    return input ? inputs : outputs;
  }
  const Context& context_;
  const char* provider_;
};

// Inputs, outputs and attributes, typed.
template <typename T>
const T* input(const OrtKernelContext* context, size_t i) {
  const OrtValue* value = nullptr;
  check(ort().KernelContext_GetInput(context, i, &value));
  if (!value) return nullptr;  // an absent optional input
  void* data = nullptr;
  check(ort().GetTensorMutableData(const_cast<OrtValue*>(value), &data));
  return static_cast<const T*>(data);
}
// Up to four dimensions; unused ones are 1.
struct Dims {
  int64_t d[4] = {1, 1, 1, 1};
  int64_t operator[](int i) const { return d[i]; }
};
Dims input_dims(const OrtKernelContext* context, size_t i);
size_t input_count(const OrtKernelContext* context);
void* output_data(OrtKernelContext* context, size_t i, std::initializer_list<int64_t> shape);
inline float* output(OrtKernelContext* context, size_t i, int64_t rows, int64_t width) {
  return static_cast<float*>(output_data(context, i, {rows, width}));
}
int64_t attribute_int(const OrtKernelInfo* info, const char* name);
float attribute_float(const OrtKernelInfo* info, const char* name);
std::string attribute_string(const OrtKernelInfo* info, const char* name);
std::vector<int64_t> attribute_ints(const OrtKernelInfo* info, const char* name);
// ONNX Runtime's own thread pool, as the kernels take it.
Parallel parallel_of(OrtKernelContext* context, int threads);

}  // namespace lorikeet
