// JavaScript values to plain C++ and back. TypeScript has validated; a wrong type here is a bug and throws a JavaScript TypeError.
#pragma once
#include <napi.h>
#include <cstring>
#include <string>
#include <vector>
#include "../engine/engine.h"

namespace lorikeet {

template <typename T>
struct TypedArrayOf;
template <> struct TypedArrayOf<int32_t> { using type = Napi::Int32Array; static constexpr auto kind = napi_int32_array; };
template <> struct TypedArrayOf<uint32_t> { using type = Napi::Uint32Array; static constexpr auto kind = napi_uint32_array; };
template <> struct TypedArrayOf<float> { using type = Napi::Float32Array; static constexpr auto kind = napi_float32_array; };
template <> struct TypedArrayOf<double> { using type = Napi::Float64Array; static constexpr auto kind = napi_float64_array; };
template <> struct TypedArrayOf<uint8_t> { using type = Napi::Uint8Array; static constexpr auto kind = napi_uint8_array; };
template <> struct TypedArrayOf<uint64_t> { using type = Napi::BigUint64Array; static constexpr auto kind = napi_biguint64_array; };

template <typename T>
typename TypedArrayOf<T>::type array_of(const Napi::Object& from, const char* name) {
  using Array = typename TypedArrayOf<T>::type;
  Napi::Value value = from.Get(name);
  if (!value.IsTypedArray() || value.As<Napi::TypedArray>().TypedArrayType() != TypedArrayOf<T>::kind)
    throw Napi::TypeError::New(from.Env(), std::string(name) + " must be a typed array of the type that native/types.ts names");
  return value.As<Array>();
}

// Copies: the caller may reuse its buffers at once.
template <typename T>
std::vector<T> vector_of(const Napi::Object& from, const char* name) {
  auto array = array_of<T>(from, name);
  return std::vector<T>(array.Data(), array.Data() + array.ElementLength());
}

// An array of plain structs of int32 fields.
template <typename T>
std::vector<T> records_of(const Napi::Object& from, const char* name) {
  constexpr size_t fields = sizeof(T) / sizeof(int32_t);
  auto array = array_of<int32_t>(from, name);
  if (array.ElementLength() % fields)
    throw Napi::RangeError::New(from.Env(), std::string(name) + ".length must be a multiple of " + std::to_string(fields));
  std::vector<T> records(array.ElementLength() / fields);
  // Of nothing there is no address: memcpy may not be told so.
  if (!records.empty()) std::memcpy(records.data(), array.Data(), sizeof(T) * records.size());
  return records;
}

template <typename T>
Napi::Value typed_array(Napi::Env env, const std::vector<T>& from) {
  auto array = TypedArrayOf<T>::type::New(env, from.size());
  std::copy(from.begin(), from.end(), array.Data());
  return array;
}

int32_t integer(const Napi::Object& from, const char* name);
uint64_t bigint(const Napi::Object& from, const char* name);
// native/types.ts StoredForm, without its parts.
StoredForm stored_form(const Napi::Object& from);
EngineOptions engine_options(const Napi::Object& from);
SlotInput slot_input(const Napi::Object& from);
StepBatch step_batch(const Napi::Object& from);
Napi::Object step_output(Napi::Env env, const Step& step);

}  // namespace lorikeet
