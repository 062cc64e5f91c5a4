// How ONNX Runtime calls the types that a KV cache on CUDA can have.
#pragma once
#include <stdexcept>
#include "../../ort/api.h"
#include "../options.h"

namespace lorikeet::cuda {

// Throws std::invalid_argument for one that it cannot.
inline ONNXTensorElementDataType cache_type(CacheType type) {
  switch (type) {
    case CacheType::f16: return ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16;
    case CacheType::bf16: return ONNX_TENSOR_ELEMENT_DATA_TYPE_BFLOAT16;
    case CacheType::i8: return ONNX_TENSOR_ELEMENT_DATA_TYPE_INT8;
    case CacheType::f8: return ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT8E4M3FN;
    case CacheType::f32: break;
  }
  throw std::invalid_argument("the KV cache on CUDA is float16, bfloat16, int8 or float8");
}

}  // namespace lorikeet::cuda
