// cuBLAS and cuBLASLt as ONNX Runtime's CUDA provider calls them, without the products.
#include <cstddef>
#include <cstdio>
#include <cstring>
#include "product.h"

namespace {

constexpr int kExecutionFailed = 13;  // CUBLAS_STATUS_EXECUTION_FAILED

struct Handle {
  CUstream_st* stream = nullptr;
};

int product(int m, int n, int k, int batch, void* handle) {
  char size[64];
  std::snprintf(size, sizeof size, batch > 1 ? "%dx%dx%d times %d" : "%dx%dx%d", m, n, k, batch);
  return hollow_product(size, static_cast<Handle*>(handle)->stream) ? kExecutionFailed : 0;
}

}  // namespace

#define NOTHING(name) \
  int name(...) { return 0; }
#define MADE(name)          \
  int name(void** made) {   \
    static int thing;       \
    *made = &thing;         \
    return 0;               \
  }

extern "C" {

int cublasCreate_v2(void** handle) { return *handle = new Handle, 0; }
int cublasDestroy_v2(void* handle) { return delete static_cast<Handle*>(handle), 0; }
int cublasSetStream_v2(void* handle, CUstream_st* stream) { return static_cast<Handle*>(handle)->stream = stream, 0; }
int cublasGetMathMode(void*, int* mode) { return *mode = 0; }
const char* cublasGetStatusName(int) { return "hollow"; }
const char* cublasGetStatusString(int) { return "hollow"; }
int cublasGemmEx(void* handle, int, int, int m, int n, int k, ...) { return product(m, n, k, 1, handle); }
int cublasSgemm_v2(void* handle, int, int, int m, int n, int k, ...) { return product(m, n, k, 1, handle); }
int cublasGemmStridedBatchedEx(void* handle, int, int, int m, int n, int k, const void*, const void*, int, int, long long, const void*, int, int, long long,
                               const void*, void*, int, int, long long, int batch, ...) {
  return product(m, n, k, batch, handle);
}
MADE(cublasLtCreate) MADE(cublasLtMatmulDescCreate) MADE(cublasLtMatmulPreferenceCreate) MADE(cublasLtMatrixLayoutCreate)
MADE(cublasLtMatrixTransformDescCreate)
int cublasLtMatmul(void*, void*, void*, void*, void*, void*, void*, void*, void*, void*, void*, void*, void*, void*, size_t, CUstream_st* stream) {
  return hollow_product("(Lt)", stream) ? kExecutionFailed : 0;
}
// One algorithm, all zeros: state success, no workspace.
int cublasLtMatmulAlgoGetHeuristic(void*, void*, void*, void*, void*, void*, void*, int, void* results, int* count) {
  std::memset(results, 0, 64);
  *count = 1;
  return 0;
}

NOTHING(cublasDcopy_v2) NOTHING(cublasDgeam) NOTHING(cublasDgemmBatched) NOTHING(cublasDgemmStridedBatched)
NOTHING(cublasDgemm_v2) NOTHING(cublasDgetrfBatched) NOTHING(cublasDgetriBatched) NOTHING(cublasGemmBatchedEx) NOTHING(cublasScopy_v2)
NOTHING(cublasSetMathMode) NOTHING(cublasSetWorkspace_v2) NOTHING(cublasSgeam) NOTHING(cublasSgemmBatched)
NOTHING(cublasSgemmStridedBatched) NOTHING(cublasSgetrfBatched) NOTHING(cublasSgetriBatched) NOTHING(cublasSscal_v2)
NOTHING(cublasLtDestroy) NOTHING(cublasLtMatmulAlgoConfigSetAttribute) NOTHING(cublasLtMatmulAlgoInit) NOTHING(cublasLtMatmulDescDestroy)
NOTHING(cublasLtMatmulDescSetAttribute) NOTHING(cublasLtMatmulPreferenceDestroy) NOTHING(cublasLtMatmulPreferenceSetAttribute)
NOTHING(cublasLtMatrixLayoutDestroy) NOTHING(cublasLtMatrixLayoutSetAttribute) NOTHING(cublasLtMatrixTransform) NOTHING(cublasLtMatrixTransformDescDestroy)

}  // extern "C"
