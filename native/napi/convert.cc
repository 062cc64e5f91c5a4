#include "convert.h"
#include <algorithm>
#include <iterator>

namespace lorikeet {

int32_t integer(const Napi::Object& from, const char* name) {
  Napi::Value value = from.Get(name);
  if (!value.IsNumber()) throw Napi::TypeError::New(from.Env(), std::string(name) + " must be a number");
  return value.As<Napi::Number>().Int32Value();
}

uint64_t bigint(const Napi::Object& from, const char* name) {
  Napi::Value value = from.Get(name);
  if (!value.IsBigInt()) throw Napi::TypeError::New(from.Env(), std::string(name) + " must be a bigint");
  bool lossless = false;
  return value.As<Napi::BigInt>().Uint64Value(&lossless);
}

namespace {

int32_t integer_or(const Napi::Object& from, const char* name, int32_t otherwise) {
  return from.Get(name).IsUndefined() ? otherwise : integer(from, name);
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

std::vector<Napi::Value> list_or_none(const Napi::Object& from, const char* name) {
  return from.Get(name).IsUndefined() ? std::vector<Napi::Value>() : list(from, name);
}

DType dtype(const Napi::Object& from, const char* name) {
  const std::string value = text(from, name);
  if (value == "float32") return DType::f32;
  if (value == "float16") return DType::f16;
  if (value == "bfloat16") return DType::bf16;
  throw Napi::TypeError::New(from.Env(), std::string(name) + " must be float32, float16 or bfloat16, not " + value);
}

WeightForm weight_form(const std::string& value) {
  if (value == "bfloat16") return WeightForm::bf16;
  if (value == "float16") return WeightForm::f16;
  if (value == "int8") return WeightForm::int8;
  if (value == "int4") return WeightForm::int4;
  if (value == "uint4") return WeightForm::uint4;
  if (value == "uint8") return WeightForm::uint8;
  throw std::invalid_argument("pack must be float16, bfloat16, int8, int4, uint4 or uint8, not " + value);
}

FilePart file_part(const Napi::Value& from) {
  if (!from.IsObject()) return {};
  const auto object = from.As<Napi::Object>();
  return {size(object, "file"), size(object, "offset"), size(object, "length")};
}

}  // namespace

StoredForm stored_form(const Napi::Object& from) {
  StoredForm form;
  const std::string layout = text(from, "layout");
  const auto* found = std::find(std::begin(kStoredLayouts), std::end(kStoredLayouts), layout);
  if (found == std::end(kStoredLayouts)) throw Napi::TypeError::New(from.Env(), "layout must be one that native/numeric/stored.h has, not " + layout);
  form.layout = static_cast<StoredLayout>(found - std::begin(kStoredLayouts));
  form.bits = integer(from, "bits");
  form.in = from.Get("in").ToNumber().Int64Value();
  form.out = from.Get("out").ToNumber().Int64Value();
  form.group = from.Get("group").ToNumber().Int64Value();
  form.zero_offset = integer(from, "zeroOffset");
  form.byte_zeros = from.Get("byteZeros").ToBoolean();
  form.one_scale = from.Get("oneScale").ToBoolean();
  form.scale_type = dtype(from, "scaleType");
  return form;
}

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
    if (Napi::Value wanted = object.Get("pack"); wanted.IsString()) ref.pack = weight_form(wanted.ToString());
    if (Napi::Value stored = object.Get("stored"); stored.IsObject()) {
      const auto parts = stored.As<Napi::Object>();
      ref.stored = {stored_form(parts.Get("form").As<Napi::Object>()), file_part(parts.Get("scales")), file_part(parts.Get("zeros")), file_part(parts.Get("order"))};
    }
    for (const auto& d : list(object, "shape")) ref.shape.push_back(d.ToNumber().Int64Value());
    ref.zeros = object.Get("zeros").ToBoolean();
    ref.file = size(object, "file");
    ref.offset = size(object, "offset");
    ref.length = size(object, "length");
    options.initializers.push_back(std::move(ref));
  }
  if (!from.Get("packedFile").IsUndefined()) options.packed_file = text(from, "packedFile");
  options.threads = integer(from, "threads");
  for (const auto& cpu : list_or_none(from, "cpus")) options.cpus.push_back(cpu.ToNumber().Int32Value());
  for (const auto& node : list_or_none(from, "memoryNodes")) options.memory_nodes.push_back(node.ToNumber().Int32Value());
  if (!options.cpus.empty() && options.cpus.size() != static_cast<size_t>(options.threads)) throw Napi::TypeError::New(from.Env(), "cpus must have one for each thread");
  options.layers = integer(from, "layers");
  options.kv_heads = integer(from, "kvHeads");
  options.head_dim = integer(from, "headDim");
  options.vocab_size = integer(from, "vocabSize");
  options.added_tokens = integer_or(from, "addedTokens", 0);
  options.block_size = integer(from, "blockSize");
  options.block_count = integer(from, "blockCount");
  options.site_count = integer(from, "siteCount");
  const std::string cache = text(from, "cacheDtype");
  options.cache = cache == "int8" ? CacheType::i8 : cache == "float8" ? CacheType::f8 : static_cast<CacheType>(dtype(from, "cacheDtype"));
  options.adapter_dtype = text(from, "adapterDtype") == "int8" ? DType::i8 : dtype(from, "adapterDtype");
  if (options.cuda && options.adapter_dtype == DType::i8) throw Napi::TypeError::New(from.Env(), "adapterDtype int8 needs the CPU");
  if (!from.Get("frameBytes").IsUndefined()) {
    options.frame_bytes = integer(from, "frameBytes");
    if (options.frame_bytes <= 0 || options.frame_bytes % 64 || options.block_bytes() % options.frame_bytes)
      throw Napi::TypeError::New(from.Env(), "frameBytes must be a multiple of 64 that divides a block");
  }
  if (!from.Get("siteShapes").IsUndefined()) {
    const auto shapes = vector_of<int32_t>(from, "siteShapes");
    if (shapes.size() != size_t{3} * options.site_count) throw Napi::TypeError::New(from.Env(), "siteShapes must have three numbers per site");
    for (size_t i = 0; i < shapes.size(); i += 3) options.sites.push_back({shapes[i], shapes[i + 1], shapes[i + 2]});
  }
  options.memory_fraction = from.Get("memoryFraction").ToNumber().DoubleValue();
  options.max_block_count = integer(from, "maxBlockCount");
  options.max_batch_tokens = integer(from, "maxBatchTokens");
  options.max_sequences = integer(from, "maxSequences");
  options.max_model_len = integer(from, "maxModelLen");
  options.max_logits_rows = integer(from, "maxLogitsRows");
  options.max_site_inputs = integer(from, "maxSiteInputs");
  options.headless = from.Get("headless").ToBoolean();
  options.hidden_size = integer(from, "hiddenSize");
  options.head_site = integer(from, "headSite");
  options.added_head_site = integer_or(from, "addedHeadSite", -1);
  options.capture_graphs = from.Get("captureGraphs").ToBoolean();
  if (const Napi::Value lookup = from.Get("lookup"); lookup.IsObject()) {
    options.lookup = {integer(lookup.As<Napi::Object>(), "shortest"), integer(lookup.As<Napi::Object>(), "longest")};
    if (options.lookup.shortest < 1 || options.lookup.longest < options.lookup.shortest) throw Napi::TypeError::New(from.Env(), "lookup.shortest must be 1 to lookup.longest");
  }
  options.overlap_launches = from.Get("overlapLaunches").ToBoolean();
  return options;
}

SlotInput slot_input(const Napi::Object& from) {
  SlotInput input;
  input.slot = integer(from, "slot");
  input.prompt_length = integer(from, "promptLength");
  input.vocab_size = integer_or(from, "vocabSize", 0);
  input.tokens = vector_of<int32_t>(from, "tokens");
  input.options = vector_of<double>(from, "options");
  input.seed = bigint(from, "seed");
  input.bias_tokens = vector_of<int32_t>(from, "biasTokens");
  input.bias_values = vector_of<float>(from, "biasValues");
  input.stop_tokens = vector_of<int32_t>(from, "stopTokens");
  input.end_tokens = vector_of<int32_t>(from, "endTokens");
  if (!from.Get("badWords").IsUndefined()) input.bad_words = vector_of<int32_t>(from, "badWords");
  input.allowed = vector_of<uint32_t>(from, "allowed");
  const auto adapter = vector_of<int32_t>(from, "entryAdapter"), generation = vector_of<int32_t>(from, "entryGeneration");
  const auto digest = vector_of<uint64_t>(from, "entryDigest");
  if (generation.size() != adapter.size() || digest.size() != adapter.size())
    throw Napi::RangeError::New(from.Env(), "entryAdapter, entryGeneration and entryDigest must have one length");
  for (size_t e = 0; e < adapter.size(); e++) input.adapters.push_back({adapter[e], generation[e], digest[e]});
  input.weights = vector_of<float>(from, "entryWeight");
  if (!from.Get("entryRank").IsUndefined()) input.ranks = vector_of<int32_t>(from, "entryRank");
  input.adapters_from = integer_or(from, "adaptersFrom", 0);
  input.drafts = integer_or(from, "drafts", 0);
  return input;
}

StepBatch step_batch(const Napi::Object& from) {
  return {records_of<StepSequence>(from, "sequences"), records_of<StepBlock>(from, "blocks"), from.Get("masks").IsUndefined() ? std::vector<StepMask>{} : records_of<StepMask>(from, "masks"),
          from.Get("returnLogits").ToBoolean()};
}

Napi::Object step_output(Napi::Env env, const Step& step) {
  const StepResult& result = step.result;
  std::vector<uint8_t> sequence_status;
  for (const int32_t segment : step.input.segment_of) sequence_status.push_back(step.input.segment_status[segment]);
  auto to = Napi::Object::New(env);
  to.Set("tokens", typed_array(env, result.tokens));
  to.Set("logprob", typed_array(env, result.logprob));
  to.Set("rank", typed_array(env, result.rank));
  to.Set("topStarts", typed_array(env, result.top_starts));
  to.Set("topTokens", typed_array(env, result.top_tokens));
  to.Set("topLogprobs", typed_array(env, result.top_logprobs));
  to.Set("sequenceStatus", typed_array(env, sequence_status));
  to.Set("rowStatus", typed_array(env, result.row_status));
  to.Set("stopped", typed_array(env, result.stopped));
  if (!result.drafts.empty()) to.Set("drafts", typed_array(env, result.drafts));
  if (!step.input.summed.empty()) to.Set("sums", typed_array(env, result.sums));
  if (step.input.return_logits) to.Set("logits", typed_array(env, result.logits));
  to.Set("runMs", result.run_ms);
  to.Set("sampleMs", result.sample_ms);
  if (!result.warning.empty()) to.Set("warning", result.warning);
  return to;
}

}  // namespace lorikeet
