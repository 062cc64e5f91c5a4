#include "ort_products.h"
#include <cstdlib>
#include <filesystem>
#include "ort/api.h"

namespace lorikeet::bench {

std::string ort_library() {
  if (const char* named = std::getenv("LORIKEET_ORT")) return named;
#if defined(__aarch64__)
  const std::string machine = "arm64";
#else
  const std::string machine = "x64";
#endif
  const std::string installed = "node_modules/onnxruntime-node/bin/napi-v6/linux/" + machine + "/libonnxruntime.so.1";
  return std::filesystem::exists(installed) ? installed : "";
}

struct OrtChain::State {
  ChainShape shape;
  OrtSession* session = nullptr;
  OrtMemoryInfo* memory = nullptr;
};

OrtChain::OrtChain(const std::string& library, const ChainShape& shape, const std::vector<std::vector<float>>& weights, int threads) : state_(new State{shape}) {
  const OrtApi& api = load_ort(library);
  const OrtModelEditorApi& editor = *api.GetModelEditorApi();
  check(api.CreateCpuMemoryInfo(OrtArenaAllocator, OrtMemTypeDefault, &state_->memory));
  const auto value_info = [&](const char* name, int64_t width) {
    OrtTensorTypeAndShapeInfo* tensor = nullptr;
    OrtTypeInfo* type = nullptr;
    OrtValueInfo* value = nullptr;
    const int64_t dims[] = {-1, width};
    check(api.CreateTensorTypeAndShapeInfo(&tensor));
    check(api.SetTensorElementType(tensor, ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT));
    check(api.SetDimensions(tensor, dims, 2));
    check(editor.CreateTensorTypeInfo(tensor, &type));
    check(editor.CreateValueInfo(name, type, &value));
    api.ReleaseTensorTypeAndShapeInfo(tensor);
    api.ReleaseTypeInfo(type);
    return value;
  };
  OrtGraph* graph = nullptr;
  OrtModel* model = nullptr;
  check(editor.CreateGraph(&graph));
  const int64_t products = 2 * shape.pairs;
  OrtValueInfo* input = value_info("h0", shape.in);
  OrtValueInfo* output = value_info(("h" + std::to_string(products)).c_str(), shape.in);
  check(editor.SetGraphInputs(graph, &input, 1));
  check(editor.SetGraphOutputs(graph, &output, 1));
  for (int64_t i = 0; i < products; i++) {
    const std::string from = "h" + std::to_string(i), to = "h" + std::to_string(i + 1), weight = "w" + std::to_string(i);
    const int64_t dims[] = {i % 2 ? shape.out : shape.in, i % 2 ? shape.in : shape.out};
    const auto& values = weights[static_cast<size_t>(i)];
    OrtValue* tensor = nullptr;
    check(api.CreateTensorWithDataAsOrtValue(state_->memory, const_cast<float*>(values.data()), values.size() * sizeof(float), dims, 2,
                                             ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT, &tensor));
    check(editor.AddInitializerToGraph(graph, weight.c_str(), tensor, true));
    const char* inputs[] = {from.c_str(), weight.c_str()};
    const char* outputs[] = {to.c_str()};
    OrtNode* node = nullptr;
    check(editor.CreateNode("MatMul", "", to.c_str(), inputs, 2, outputs, 1, nullptr, 0, &node));
    check(editor.AddNodeToGraph(graph, node));
  }
  const char* domains[] = {""};
  const int versions[] = {17};
  check(editor.CreateModel(domains, versions, 1, &model));
  check(editor.AddGraphToModel(model, graph));
  OrtSessionOptions* options = nullptr;
  check(api.CreateSessionOptions(&options));
  check(api.SetIntraOpNumThreads(options, threads));
  check(editor.CreateSessionFromModel(ort_env(), model, options, &state_->session));
  api.ReleaseSessionOptions(options);
  api.ReleaseModel(model);
}

OrtChain::~OrtChain() {
  ort().ReleaseSession(state_->session);
  ort().ReleaseMemoryInfo(state_->memory);
}

void OrtChain::run(const std::vector<float>& x, int64_t rows) {
  const OrtApi& api = ort();
  const int64_t dims[] = {rows, state_->shape.in};
  OrtValue *input = nullptr, *output = nullptr;
  check(api.CreateTensorWithDataAsOrtValue(state_->memory, const_cast<float*>(x.data()), static_cast<size_t>(rows * dims[1]) * sizeof(float), dims, 2,
                                           ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT, &input));
  const std::string last = "h" + std::to_string(2 * state_->shape.pairs);
  const char* inputs[] = {"h0"};
  const char* outputs[] = {last.c_str()};
  check(api.Run(state_->session, nullptr, inputs, &input, 1, outputs, 1, &output));
  api.ReleaseValue(output);
  api.ReleaseValue(input);
}

}  // namespace lorikeet::bench
