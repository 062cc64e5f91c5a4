#include "fold.h"
#include "convert.h"
#include <optional>
#include <string>
#include <vector>
#include "../fold/multiply.h"
#include "../fold/norms.h"
#include "../fold/place.h"
#include "../numeric/quantize.h"
#include "../ort/mapped_file.h"

namespace lorikeet {
namespace {

using fold::Image;

DType dtype_of(const Napi::Value& value) {
  const std::string name = value.As<Napi::String>();
  return name == "float32" ? DType::f32 : name == "float16" ? DType::f16 : DType::bf16;
}

// Rank rows may be int8; nothing that is read is.
DType image_dtype_of(const Napi::Value& value) { return value.As<Napi::String>().Utf8Value() == "int8" ? DType::i8 : dtype_of(value); }

// A part of a weight that is quantized, for the time of a call.
struct MappedPart {
  std::optional<MappedFile> file;
  StoredPart part;

  explicit MappedPart(const Napi::Value& value) {
    if (!value.IsObject()) return;
    const auto place = value.As<Napi::Object>();
    file.emplace(place.Get("file").ToString().Utf8Value());
    const int64_t offset = place.Get("offset").ToNumber(), length = place.Get("length").ToNumber();
    if (offset < 0 || length < 0 || offset + length > static_cast<int64_t>(file->size())) throw std::runtime_error(file->path() + " ended early: it has changed since the start");
    part = {file->data() + offset, static_cast<size_t>(length)};
  }
};

// `count` floats from row `row` on of a weight that is quantized, whole rows.
std::vector<float> floats_of(const Napi::Object& data, int64_t count) {
  const auto stored = data.Get("stored").As<Napi::Object>();
  const MappedPart codes(data.Get("codes")), scales(stored.Get("scales")), zeros(stored.Get("zeros")), order(stored.Get("order"));
  StoredForm form = stored_form(stored.Get("form").As<Napi::Object>());
  form.codes = codes.part, form.scales = scales.part, form.zeros = zeros.part, form.order = order.part;
  const StoredWeight weight(form, "of the base model");
  const int64_t row = data.Get("row").ToNumber(), rows = (count + form.in - 1) / form.in;
  if (row < 0 || row + rows > form.out) throw std::invalid_argument("rows of a quantized weight are read beyond its last");
  std::vector<float> values(static_cast<size_t>(rows * form.in));
  read_stored(weight, row, rows, values.data(), 1);
  return values;
}

// A FoldMatrix for the time of a call: the file that it lies in stays mapped as long.
struct MatrixArgument {
  std::optional<MappedFile> file;
  std::vector<float> floats;
  Matrix matrix;

  explicit MatrixArgument(const Napi::Value& value) {
    const auto from = value.As<Napi::Object>();
    const int64_t rows = from.Get("rows").ToNumber(), columns = from.Get("columns").ToNumber();
    const bool transposed = from.Get("transposed").ToBoolean();
    const Napi::Value stride = from.Get("stride");
    const int64_t lines = transposed ? columns : rows, line = transposed ? rows : columns;
    const int64_t step = stride.IsNumber() ? stride.ToNumber().Int64Value() : line;
    matrix = {nullptr, dtype_of(from.Get("dtype")), rows, columns, transposed ? 1 : step, transposed ? step : 1};
    const int64_t bytes = lines > 0 ? static_cast<int64_t>(element_size(matrix.dtype)) * ((lines - 1) * step + line) : 0;
    const Napi::Value data = from.Get("data");
    int64_t there = 0;
    if (data.IsTypedArray()) {
      auto array = data.As<Napi::TypedArray>();
      there = static_cast<int64_t>(array.ByteLength());
      matrix.data = bytes_of(array);
    } else if (const auto place = data.As<Napi::Object>(); place.Has("stored")) {
      floats = floats_of(place, bytes / static_cast<int64_t>(sizeof(float)));
      there = static_cast<int64_t>(floats.size() * sizeof(float));
      matrix.data = reinterpret_cast<const uint8_t*>(floats.data());
    } else {
      file.emplace(place.Get("file").ToString().Utf8Value());
      const int64_t offset = place.Get("offset").ToNumber();
      there = static_cast<int64_t>(file->size()) - offset;
      matrix.data = file->data() + offset;
      if (bytes > there) throw std::runtime_error(file->path() + " ended early: it has changed since the start");
    }
    if (bytes > there) throw std::invalid_argument("a matrix of " + std::to_string(bytes) + " bytes lies in " + std::to_string(there));
  }

  static uint8_t* bytes_of(const Napi::TypedArray& array) {
    void* data = nullptr;
    napi_get_typedarray_info(array.Env(), array, nullptr, nullptr, &data, nullptr, nullptr);
    return static_cast<uint8_t*>(data);
  }
};

void require_same(int64_t a, int64_t b, const char* what) {
  if (a != b) throw std::invalid_argument(std::string(what) + ": " + std::to_string(a) + " and " + std::to_string(b));
}

Image image_of(const Napi::Value& value) {
  const auto from = value.As<Napi::Object>();
  return {from.Get("bytes").As<Napi::Uint8Array>().Data(), from.Get("places").As<Napi::Int32Array>().Data(), from.Get("blocks").ToNumber(),
          from.Get("blockBytes").ToNumber(), from.Get("frameBytes").ToNumber(), image_dtype_of(from.Get("dtype"))};
}

// What lies in `into`, which has `rows` whole rows.
float* rows_of(const Napi::Value& value, int64_t rows, int64_t columns) {
  auto into = value.As<Napi::Float32Array>();
  require_same(static_cast<int64_t>(into.ElementLength()), rows * columns, "elements written and elements there");
  return into.Data();
}

Napi::Value convert(const Napi::CallbackInfo& info) {
  const auto from = info[0].As<Napi::TypedArray>(), to = info[2].As<Napi::TypedArray>();
  const DType from_type = dtype_of(info[1]), to_type = dtype_of(info[3]);
  const size_t count = to.ByteLength() / element_size(to_type);
  require_same(static_cast<int64_t>(from.ByteLength() / element_size(from_type)), static_cast<int64_t>(count), "elements to convert and to write");
  convert_elements(MatrixArgument::bytes_of(from), from_type, MatrixArgument::bytes_of(to), to_type, count, 1);
  return info.Env().Undefined();
}

Napi::Value largest(const Napi::CallbackInfo& info) {
  const MatrixArgument from(info[0]);
  return Napi::Number::New(info.Env(), fold::largest(from.matrix, info[1].ToNumber()));
}

Napi::Value read_rows(const Napi::CallbackInfo& info) {
  const MatrixArgument from(info[0]);
  fold::read_rows(rows_of(info[1], from.matrix.rows, from.matrix.columns), from.matrix, info[2].ToNumber());
  return info.Env().Undefined();
}

Napi::Value place_factors(const Napi::CallbackInfo& info) {
  const Image image = image_of(info[0]);
  const MatrixArgument a(info[1]), b(info[3]);
  require_same(a.matrix.rows, b.matrix.rows, "ranks of A and B");
  const auto excess = fold::place_factors(image, a.matrix, info[2].ToNumber(), b.matrix, info[4].ToNumber(), info[5].ToNumber(), info[6].ToNumber());
  if (!excess) return info.Env().Undefined();
  auto object = Napi::Object::New(info.Env());
  object.Set("row", static_cast<double>(excess->row));
  object.Set("a", excess->a);
  object.Set("b", excess->b);
  return object;
}

Napi::Value place_rows(const Napi::CallbackInfo& info) {
  const int64_t at = info[1].ToNumber(), count = info[2].ToNumber(), first = info[3].ToNumber();
  const MatrixArgument rows(info[4]);
  if (first < 0 || first + rows.matrix.rows > count) throw std::invalid_argument("rows are placed beyond the last");
  return Napi::Number::New(info.Env(), fold::place_rows(image_of(info[0]), at, count, first, rows.matrix, info[5].ToNumber()));
}

Napi::Value add_product(const Napi::CallbackInfo& info) {
  const MatrixArgument left(info[1]), right(info[2]);
  require_same(left.matrix.columns, right.matrix.rows, "columns of the left side and rows of the right");
  float* into = rows_of(info[0], left.matrix.rows, right.matrix.columns);
  fold::add_product(into, left.matrix, right.matrix, info[3].ToNumber(), info[4].ToNumber());
  return info.Env().Undefined();
}

Napi::Value multiply_by_product(const Napi::CallbackInfo& info) {
  const MatrixArgument left(info[1]), right(info[2]);
  require_same(left.matrix.columns, right.matrix.rows, "columns of the left side and rows of the right");
  fold::multiply_by_product(rows_of(info[0], left.matrix.rows, right.matrix.columns), left.matrix, right.matrix, info[3].ToNumber());
  return info.Env().Undefined();
}

Napi::Value multiply_elements(const Napi::CallbackInfo& info) {
  const MatrixArgument by(info[1]);
  fold::multiply_elements(rows_of(info[0], by.matrix.rows, by.matrix.columns), by.matrix, info[2].ToNumber());
  return info.Env().Undefined();
}

Napi::Value square_norms(const Napi::CallbackInfo& info) {
  const MatrixArgument weight(info[0]), a(info[1]), b(info[2]);
  require_same(weight.matrix.columns, a.matrix.columns, "inputs of W and A");
  require_same(weight.matrix.rows, b.matrix.rows, "outputs of W and B");
  require_same(a.matrix.rows, b.matrix.columns, "ranks of A and B");
  auto squares = Napi::Float64Array::New(info.Env(), static_cast<size_t>(weight.matrix.rows));
  fold::square_norms(weight.matrix, a.matrix, b.matrix, info[3].ToNumber(), squares.Data(), info[4].ToNumber());
  return squares;
}

// Misuse as a RangeError, the system's refusals as an Error. An exception that left a binding would end the process.
template <Napi::Value (*function)(const Napi::CallbackInfo&)>
Napi::Value caught(const Napi::CallbackInfo& info) {
  try {
    return function(info);
  } catch (const Napi::Error&) {
    throw;
  } catch (const std::invalid_argument& e) {
    throw Napi::RangeError::New(info.Env(), e.what());
  } catch (const std::exception& e) {
    throw Napi::Error::New(info.Env(), e.what());
  }
}

}  // namespace

Napi::Object fold_functions(Napi::Env env) {
  auto functions = Napi::Object::New(env);
  functions.Set("convert", Napi::Function::New<caught<convert>>(env, "convert"));
  functions.Set("largest", Napi::Function::New<caught<largest>>(env, "largest"));
  functions.Set("readRows", Napi::Function::New<caught<read_rows>>(env, "readRows"));
  functions.Set("placeFactors", Napi::Function::New<caught<place_factors>>(env, "placeFactors"));
  functions.Set("placeRows", Napi::Function::New<caught<place_rows>>(env, "placeRows"));
  functions.Set("addProduct", Napi::Function::New<caught<add_product>>(env, "addProduct"));
  functions.Set("multiplyByProduct", Napi::Function::New<caught<multiply_by_product>>(env, "multiplyByProduct"));
  functions.Set("multiplyElements", Napi::Function::New<caught<multiply_elements>>(env, "multiplyElements"));
  functions.Set("squareNorms", Napi::Function::New<caught<square_norms>>(env, "squareNorms"));
  return functions;
}

}  // namespace lorikeet
