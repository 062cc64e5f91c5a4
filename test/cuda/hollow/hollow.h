// A hollow CUDA runtime: device memory is the host's, kernels do nothing, and everything else answers as on an H100. ONNX Runtime's real CUDA provider and
// the addon's real CUDA build run on it here: providers load, nodes are placed, shapes are checked, graphs are captured. What is computed is nothing.
//
// It holds rules that only a device would hold otherwise: those of stream capture (CUDA C++ Programming Guide, "CUDA Graphs"; the runtime API's page of
// cudaThreadExchangeStreamCaptureMode), the limits of launches, the bounds of copies. What breaks one fails as there, and says so in the log:
//   FORBIDDEN  a call that a capture forbids, which spoils the capture       REFUSED   a launch or copy that a device refuses
//   ASIDE      work of the capturing thread that is not in its capture       PAGEABLE  a copy from or to memory that is not pinned
//   STALE      a replay of a graph older than the last freed device memory
// HOLLOW_LOG=FILE gets a line for every kernel, product, copy, allocation, capture and (clock.cc) step. HOLLOW_FAULTS=FILE says what fails (faults.cc).
#pragma once
#include <cuda_runtime_api.h>
#include <chrono>
#include <cstdint>
#include <mutex>
#include "log.h"

namespace hollow {
using Moment = std::chrono::steady_clock::time_point;
}

struct CUstream_st {
  bool capturing = false, spoilt = false;
  cudaStreamCaptureMode mode = cudaStreamCaptureModeGlobal;
  int nodes = 0;
  hollow::Moment until;  // when what it holds is done: clock.cc
  bool stepping = false;
};

namespace hollow {

// Of everything that is shared by threads.
extern std::recursive_mutex lock;

// The calling thread's last error, which cudaGetLastError takes: returns what it is given.
cudaError_t fail(cudaError_t error);
// What HOLLOW_FAULTS has for this call; cudaSuccess otherwise.
cudaError_t fault(const char* call);
// The number behind `what` in HOLLOW_FAULTS: slow-capture, slow-step; 0 without.
int slow(const char* what);

// Null, cudaStreamLegacy and cudaStreamPerThread are one stream here.
CUstream_st* of(cudaStream_t stream);
// For calls that allocate, ask or wait: fails where a capture forbids them to this thread.
cudaError_t unsafe(const char* call);
// Whether work that is put into the stream goes into a capture. `mark`: what the log adds to its line.
bool captured(cudaStream_t stream, const char*& mark);

// Simulated time (clock.cc). What a stream does from now on belongs to a new step; a step's work is put into it: all of a step's time passes with the first.
void step_begins(CUstream_st* stream);
void step_works(CUstream_st* stream);
// Blocks the calling thread, which holds no lock.
void wait_until(Moment moment);

// Device memory that was freed so far, in frees.
uint64_t device_frees();
enum class Place { device, pinned, pageable };
// Where `bytes` from `p` on lie. `inside`: false if they leave the allocation in which they begin.
Place place_of(const void* p, size_t bytes, bool& inside);

}  // namespace hollow
