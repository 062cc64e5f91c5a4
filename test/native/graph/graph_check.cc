// Has ONNX Runtime check CUDA graphs on a machine without a GPU: names, schemas, types and shapes of every node are checked before kernels are looked for, so
// all that may go wrong is that the CPU has no kernel for a node.
//   graph-check LIBRARY float16|bfloat16 < LIST        LIST: for each graph a line `MODEL TENSORS`; TENSORS has lines `name type dimensions…` of the external
//   initializers (type as in onnx.proto)
// prints for each graph a line: `ok`, or ONNX Runtime's error code and message.
#include <dlfcn.h>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <fstream>
#include <functional>
#include <iostream>
#include <numeric>
#include <sstream>
#include <string>
#include <vector>
#include "onnxruntime_c_api.h"

namespace {

const OrtApi* ort = nullptr;

void require(OrtStatus* status) {
  if (!status) return;
  std::fprintf(stderr, "%s\n", ort->GetErrorMessage(status));
  std::exit(1);
}

struct Signature {
  const char* name;
  std::vector<ONNXTensorElementDataType> inputs, outputs;
  OrtCustomOpInputOutputCharacteristic last_input, last_output;  // the others are required
};

// What the CUDA build registers, without kernels.
struct Op : OrtCustomOp {
  Signature signature;
  explicit Op(Signature s) : OrtCustomOp{}, signature(std::move(s)) {
    static constexpr auto self = [](const OrtCustomOp* op) -> const Signature& { return static_cast<const Op*>(op)->signature; };
    version = ORT_API_VERSION;
    GetName = [](const OrtCustomOp* op) { return self(op).name; };
    GetExecutionProviderType = [](const OrtCustomOp*) -> const char* { return nullptr; };
    GetInputTypeCount = [](const OrtCustomOp* op) { return self(op).inputs.size(); };
    GetOutputTypeCount = [](const OrtCustomOp* op) { return self(op).outputs.size(); };
    GetInputType = [](const OrtCustomOp* op, size_t i) { return self(op).inputs[i]; };
    GetOutputType = [](const OrtCustomOp* op, size_t i) { return self(op).outputs[i]; };
    GetInputCharacteristic = [](const OrtCustomOp* op, size_t i) { return i + 1 == self(op).inputs.size() ? self(op).last_input : INPUT_OUTPUT_REQUIRED; };
    GetOutputCharacteristic = [](const OrtCustomOp* op, size_t i) { return i + 1 == self(op).outputs.size() ? self(op).last_output : INPUT_OUTPUT_REQUIRED; };
    GetInputMemoryType = [](const OrtCustomOp*, size_t) { return OrtMemTypeDefault; };
    GetVariadicInputMinArity = GetVariadicOutputMinArity = [](const OrtCustomOp*) { return 1; };
    GetVariadicInputHomogeneity = GetVariadicOutputHomogeneity = [](const OrtCustomOp*) { return 1; };
    GetStartVersion = GetEndVersion = [](const OrtCustomOp*) { return 1; };
    CreateKernelV2 = [](const OrtCustomOp*, const OrtApi*, const OrtKernelInfo*, void** kernel) -> OrtStatus* {
      *kernel = nullptr;
      return nullptr;
    };
    KernelComputeV2 = [](void*, OrtKernelContext*) -> OrtStatus* { return ort->CreateStatus(ORT_NOT_IMPLEMENTED, "graph-check runs nothing"); };
    KernelDestroy = [](void*) {};
  }
};

std::string checked(OrtEnv* env, OrtCustomOpDomain* domain, const std::string& model, const std::string& tensors) {
  OrtSessionOptions* options = nullptr;
  require(ort->CreateSessionOptions(&options));
  require(ort->AddCustomOpDomain(options, domain));
  require(ort->SetIntraOpNumThreads(options, 1));
  OrtMemoryInfo* memory = nullptr;
  require(ort->CreateCpuMemoryInfo(OrtDeviceAllocator, OrtMemTypeDefault, &memory));
  std::vector<std::string> names;
  std::deque<std::vector<uint8_t>> data;
  std::vector<OrtValue*> values;
  std::ifstream list(tensors);
  for (std::string line; std::getline(list, line);) {
    std::istringstream words(line);
    std::string name;
    int type = 0;
    words >> name >> type;
    std::vector<int64_t> shape;
    for (int64_t d; words >> d;) shape.push_back(d);
    OrtValue* value = nullptr;
    const size_t elements = std::accumulate(shape.begin(), shape.end(), size_t{1}, std::multiplies<>());
    auto& zeros = data.emplace_back(elements * (type == ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8 ? 1 : type == ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT ? 4 : 2));
    require(ort->CreateTensorWithDataAsOrtValue(memory, zeros.data(), zeros.size(), shape.data(), shape.size(),
                                                static_cast<ONNXTensorElementDataType>(type), &value));
    names.push_back(name);
    values.push_back(value);
  }
  std::vector<const char*> pointers;
  for (const auto& name : names) pointers.push_back(name.c_str());
  require(ort->AddExternalInitializers(options, pointers.data(), values.data(), values.size()));
  OrtSession* session = nullptr;
  std::string result = "ok";
  if (OrtStatus* status = ort->CreateSession(env, model.c_str(), options, &session)) {
    result = std::to_string(ort->GetErrorCode(status)) + " " + ort->GetErrorMessage(status);
    ort->ReleaseStatus(status);
  }
  for (char& c : result) c = c == '\n' ? ' ' : c;
  if (session) ort->ReleaseSession(session);
  for (OrtValue* value : values) ort->ReleaseValue(value);
  ort->ReleaseMemoryInfo(memory);
  ort->ReleaseSessionOptions(options);
  return result;
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 3) return 2;
  void* library = dlopen(arguments[1], RTLD_NOW);
  if (!library) return std::fprintf(stderr, "%s\n", dlerror()), 1;
  ort = reinterpret_cast<const OrtApiBase* (*)()>(dlsym(library, "OrtGetApiBase"))()->GetApi(ORT_API_VERSION);
  OrtEnv* env = nullptr;
  require(ort->CreateEnv(ORT_LOGGING_LEVEL_FATAL, "graph-check", &env));
  const auto t = std::string(arguments[2]) == "float16" ? ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16 : ONNX_TENSOR_ELEMENT_DATA_TYPE_BFLOAT16;
  constexpr auto int32 = ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32;
  constexpr auto one = INPUT_OUTPUT_REQUIRED, optional = INPUT_OUTPUT_OPTIONAL, any = INPUT_OUTPUT_VARIADIC;
  const Op ops[] = {Op({"BatchedLora", {t, t}, {t}, any, any}), Op({"ScaleInput", {t}, {t}, one, one}),
                    Op({"BatchedEmbedding", {int32, t}, {t}, one, one}), Op({"GatedActivation", {t, t}, {t}, optional, one}),
                    Op({"Sample", {t}, {int32}, one, one}), Op({"SumRows", {t, t}, {int32}, one, one})};
  OrtCustomOpDomain* domain = nullptr;
  require(ort->CreateCustomOpDomain("lorikeet", &domain));
  for (const Op& op : ops) require(ort->CustomOpDomain_Add(domain, &op));
  for (std::string model, tensors; std::cin >> model >> tensors;) std::cout << checked(env, domain, model, tensors) << std::endl;
  return 0;
}
