// JavaScript values to plain C++ and back. TypeScript has validated; a wrong type here is a bug and throws a JavaScript TypeError.
#pragma once
#include <napi.h>
#include <string>
#include <vector>
#include "../engine/engine.h"

namespace lorikeet {

template <typename T>
struct TypedArrayOf;
template <> struct TypedArrayOf<int32_t> { using type = Napi::Int32Array; };
template <> struct TypedArrayOf<float> { using type = Napi::Float32Array; };
template <> struct TypedArrayOf<uint8_t> { using type = Napi::Uint8Array; };
template <> struct TypedArrayOf<uint64_t> { using type = Napi::BigUint64Array; };

// Copies: a step's arrays are a few kilobytes, and the caller may reuse its buffers at once.
template <typename T>
std::vector<T> vector_of(const Napi::Object& from, const char* name) {
  Napi::Value value = from.Get(name);
  if (!value.IsTypedArray()) throw Napi::TypeError::New(from.Env(), std::string(name) + " must be a typed array");
  auto array = value.As<typename TypedArrayOf<T>::type>();
  if (array.ElementSize() != sizeof(T)) throw Napi::TypeError::New(from.Env(), std::string(name) + " has the wrong element type");
  return std::vector<T>(array.Data(), array.Data() + array.ElementLength());
}

template <typename T>
Napi::Value typed_array(Napi::Env env, const std::vector<T>& from) {
  auto array = TypedArrayOf<T>::type::New(env, from.size());
  std::copy(from.begin(), from.end(), array.Data());
  return array;
}

EngineOptions engine_options(const Napi::Object& from);
StepInput step_input(const Napi::Object& from);
Napi::Object step_output(Napi::Env env, const StepResult& from, bool with_logits);

}  // namespace lorikeet
