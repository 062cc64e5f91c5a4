// How the hollow cuBLAS puts a product into a stream of the hollow runtime. Returns a cudaError_t.
#pragma once
struct CUstream_st;
extern "C" int hollow_product(const char* size, CUstream_st* stream);
