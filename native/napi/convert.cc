#include "convert.h"

namespace lorikeet {
namespace {

int32_t integer(const Napi::Object& from, const char* name) {
  Napi::Value value = from.Get(name);
  if (!value.IsNumber()) throw Napi::TypeError::New(from.Env(), std::string(name) + " must be a number");
  return value.As<Napi::Number>().Int32Value();
}

size_t size(const Napi::Object& from, const char* name) {
  return static_cast<size_t>(from.Get(name).ToNumber().Int64Value());
}

std::string text(const Napi::Object& from, const char* name) { return from.Get(name).ToString().Utf8Value(); }

std::vector<Napi::Value> list(const Napi::Object& from, const char* name) {
  auto array = from.Get(name).As<Napi::Array>();
  std::vector<Napi::Value> items;
  for (uint32_t i = 0; i < array.Length(); i++) items.push_back(array.Get(i));
  return items;
}

DType dtype(const Napi::Object& from, const char* name) {
  const std::string value = text(from, name);
  if (value == "float32") return DType::f32;
  if (value == "float16") return DType::f16;
  if (value == "bfloat16") return DType::bf16;
  throw Napi::TypeError::New(from.Env(), std::string(name) + " must be float32, float16 or bfloat16, not " + value);
}

}  // namespace

EngineOptions engine_options(const Napi::Object& from) {
  EngineOptions options;
  options.cuda = text(from, "device") == "cuda";
  options.library = text(from, "library");
  options.dtype = dtype(from, "dtype");
  options.model = vector_of<uint8_t>(from, "model");
  for (const auto& file : list(from, "files")) options.files.push_back(file.ToString().Utf8Value());
  for (const auto& item : list(from, "initializers")) {
    auto object = item.As<Napi::Object>();
    InitializerRef ref;
    ref.name = text(object, "name");
    ref.dtype = dtype(object, "dtype");
    ref.as = object.Get("as").IsUndefined() ? ref.dtype : dtype(object, "as");
    if (Napi::Value wanted = object.Get("quantize"); wanted.IsObject()) {
      auto quantize = wanted.As<Napi::Object>();
      ref.bits = integer(quantize, "bits");
      ref.block = integer(quantize, "block");
      ref.scales = text(quantize, "scales");
    }
    for (const auto& d : list(object, "shape")) ref.shape.push_back(d.ToNumber().Int64Value());
    ref.file = size(object, "file");
    ref.offset = size(object, "offset");
    ref.length = size(object, "length");
    options.initializers.push_back(std::move(ref));
  }
  options.threads = integer(from, "threads");
  options.layers = integer(from, "layers");
  options.kv_heads = integer(from, "kvHeads");
  options.head_dim = integer(from, "headDim");
  options.vocab_size = integer(from, "vocabSize");
  options.block_size = integer(from, "blockSize");
  options.block_count = integer(from, "blockCount");
  options.site_count = integer(from, "siteCount");
  options.adapter_dtype = dtype(from, "adapterDtype");
  if (!from.Get("siteShapes").IsUndefined()) {
    const auto shapes = vector_of<int32_t>(from, "siteShapes");
    if (shapes.size() != size_t{3} * options.site_count) throw Napi::TypeError::New(from.Env(), "siteShapes must have three numbers per site");
    for (size_t i = 0; i < shapes.size(); i += 3) options.sites.push_back({shapes[i], shapes[i + 1], shapes[i + 2]});
  }
  const std::string cache = text(from, "cacheDtype");
  options.cache = cache == "int8" ? CacheType::i8 : cache == "float8" ? CacheType::f8 : static_cast<CacheType>(dtype(from, "cacheDtype"));
  options.memory_fraction = from.Get("memoryFraction").ToNumber().DoubleValue();
  options.max_block_count = integer(from, "maxBlockCount");
  options.max_batch_tokens = integer(from, "maxBatchTokens");
  options.max_sequences = integer(from, "maxSequences");
  options.max_model_len = integer(from, "maxModelLen");
  options.max_site_inputs = integer(from, "maxSiteInputs");
  options.head_site = integer(from, "headSite");
  options.capture_graphs = from.Get("captureGraphs").ToBoolean();
  options.overlap_launches = from.Get("overlapLaunches").ToBoolean();
  return options;
}

StepInput step_input(const Napi::Object& from) {
  StepInput input;
  input.input_ids = vector_of<int32_t>(from, "inputIds");
  input.cumulative = vector_of<int32_t>(from, "cumulativeSequenceLength");
  input.past = vector_of<int32_t>(from, "pastSeqlens");
  input.block_table = vector_of<int32_t>(from, "blockTable");
  input.slots = vector_of<int32_t>(from, "slotMapping");
  input.segment_starts = vector_of<int32_t>(from, "segmentStarts");
  input.segment_entries = vector_of<int32_t>(from, "segmentEntries");
  input.entry_adapter = vector_of<int32_t>(from, "entryAdapter");
  input.entry_generation = vector_of<int32_t>(from, "entryGeneration");
  input.entry_digest = vector_of<uint64_t>(from, "entryDigest");
  input.entry_weight = vector_of<float>(from, "entryWeight");
  input.logits_indices = vector_of<int32_t>(from, "logitsIndices");
  input.return_logits = from.Get("returnLogits").ToBoolean();
  auto rows = from.Get("sampling").As<Napi::Object>();
  SamplingInput& sampling = input.sampling;
  sampling.temperature = vector_of<float>(rows, "temperature");
  sampling.top_p = vector_of<float>(rows, "topP");
  sampling.top_k = vector_of<int32_t>(rows, "topK");
  sampling.min_p = vector_of<float>(rows, "minP");
  sampling.seed = vector_of<uint64_t>(rows, "seed");
  sampling.position = vector_of<int32_t>(rows, "position");
  sampling.presence = vector_of<float>(rows, "presencePenalty");
  sampling.frequency = vector_of<float>(rows, "frequencyPenalty");
  sampling.repetition = vector_of<float>(rows, "repetitionPenalty");
  sampling.history_starts = vector_of<int32_t>(rows, "historyStarts");
  sampling.history = vector_of<int32_t>(rows, "history");
  sampling.history_prompt = vector_of<int32_t>(rows, "historyPrompt");
  sampling.bias_starts = vector_of<int32_t>(rows, "biasStarts");
  sampling.bias_tokens = vector_of<int32_t>(rows, "biasTokens");
  sampling.bias_values = vector_of<float>(rows, "biasValues");
  sampling.allowed_starts = vector_of<int32_t>(rows, "allowedStarts");
  sampling.allowed_tokens = vector_of<int32_t>(rows, "allowedTokens");
  sampling.logprobs = vector_of<int32_t>(rows, "logprobs");
  sampling.target = vector_of<int32_t>(rows, "target");
  if (sampling.temperature.size() != input.logits_indices.size())
    throw Napi::TypeError::New(from.Env(), "sampling must have one row per logits row");
  return input;
}

Napi::Object step_output(Napi::Env env, const StepResult& from, bool with_logits) {
  auto to = Napi::Object::New(env);
  to.Set("tokens", typed_array(env, from.tokens));
  to.Set("logprob", typed_array(env, from.logprob));
  to.Set("rank", typed_array(env, from.rank));
  to.Set("topStarts", typed_array(env, from.top_starts));
  to.Set("topTokens", typed_array(env, from.top_tokens));
  to.Set("topLogprobs", typed_array(env, from.top_logprobs));
  to.Set("segmentStatus", typed_array(env, from.segment_status));
  to.Set("rowStatus", typed_array(env, from.row_status));
  if (with_logits) to.Set("logits", typed_array(env, from.logits));
  to.Set("runMs", from.run_ms);
  to.Set("sampleMs", from.sample_ms);
  if (!from.warning.empty()) to.Set("warning", from.warning);
  return to;
}

}  // namespace lorikeet
