// cuBLAS and cuBLASLt as ONNX Runtime's CUDA provider calls them, without the products: every call succeeds.
#include <cstddef>
#include <cstring>
#include "log.h"

#define NOTHING(name) \
  int name(...) { return 0; }
#define HANDLE(name)        \
  int name(void** handle) { \
    static int made;        \
    *handle = &made;        \
    return 0;               \
  }

extern "C" {

HANDLE(cublasCreate_v2)
HANDLE(cublasLtCreate)
HANDLE(cublasLtMatmulDescCreate)
HANDLE(cublasLtMatmulPreferenceCreate)
HANDLE(cublasLtMatrixLayoutCreate)
HANDLE(cublasLtMatrixTransformDescCreate)
int cublasGetMathMode(void*, int* mode) { return *mode = 0; }
const char* cublasGetStatusName(int) { return "hollow"; }
const char* cublasGetStatusString(int) { return "hollow"; }
int cublasGemmEx(void*, int, int, int m, int n, int k, ...) { return hollow::log("product %dx%dx%d", m, n, k), 0; }
int cublasGemmStridedBatchedEx(void*, int, int, int m, int n, int k, ...) { return hollow::log("products %dx%dx%d", m, n, k), 0; }
int cublasLtMatmul(...) { return hollow::log("product (Lt)"), 0; }
// One algorithm, all zeros: state success, no workspace.
int cublasLtMatmulAlgoGetHeuristic(void*, void*, void*, void*, void*, void*, void*, int, void* results, int* count) {
  std::memset(results, 0, 64);
  *count = 1;
  return 0;
}

NOTHING(cublasDcopy_v2) NOTHING(cublasDestroy_v2) NOTHING(cublasDgeam) NOTHING(cublasDgemmBatched) NOTHING(cublasDgemmStridedBatched)
NOTHING(cublasDgemm_v2) NOTHING(cublasDgetrfBatched) NOTHING(cublasDgetriBatched) NOTHING(cublasGemmBatchedEx) NOTHING(cublasScopy_v2)
NOTHING(cublasSetMathMode) NOTHING(cublasSetStream_v2) NOTHING(cublasSetWorkspace_v2) NOTHING(cublasSgeam) NOTHING(cublasSgemmBatched)
NOTHING(cublasSgemmStridedBatched) NOTHING(cublasSgemm_v2) NOTHING(cublasSgetrfBatched) NOTHING(cublasSgetriBatched) NOTHING(cublasSscal_v2)
NOTHING(cublasLtDestroy) NOTHING(cublasLtMatmulAlgoConfigSetAttribute) NOTHING(cublasLtMatmulAlgoInit) NOTHING(cublasLtMatmulDescDestroy)
NOTHING(cublasLtMatmulDescSetAttribute) NOTHING(cublasLtMatmulPreferenceDestroy) NOTHING(cublasLtMatmulPreferenceSetAttribute)
NOTHING(cublasLtMatrixLayoutDestroy) NOTHING(cublasLtMatrixLayoutSetAttribute) NOTHING(cublasLtMatrixTransform) NOTHING(cublasLtMatrixTransformDescDestroy)

}  // extern "C"
