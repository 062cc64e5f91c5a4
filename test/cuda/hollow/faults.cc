// What is to fail. The first line of the file that HOLLOW_FAULTS names says so, and holds while it stands there; a running process sees a change at once.
//   cudaMalloc         every call fails
//   cudaMalloc 3       the first three succeed     cudaMalloc 3 1   and those after the next one
//   kernel 100         every launch but the first hundred fails, products too
//   lost 100           with the launch after that the device is lost: whatever is asked of it fails from then on; lost -1: at once
//   slow-capture 50    every capture takes 50 ms longer
//   slow-step 2000     a step takes the device 2000 µs (streams.cc); otherwise whatever is put into a stream is done at once
// Calls are counted from the line's last change.
#include <fcntl.h>
#include <sys/mman.h>
#include <climits>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include "hollow.h"

namespace hollow {
namespace {

constexpr size_t kMost = 64;

const char* mapped() {
  const char* const file = std::getenv("HOLLOW_FAULTS");
  const int descriptor = file ? open(file, O_RDONLY) : -1;
  if (descriptor < 0) return nullptr;
  void* const text = mmap(nullptr, kMost, PROT_READ, MAP_SHARED, descriptor, 0);
  return text == MAP_FAILED ? nullptr : static_cast<const char*>(text);
}

struct Fault {
  std::string line, name;
  int number = 0, most = INT_MAX;
};
int calls = 0;  // of what is to fail

// Under the lock.
const Fault& current() {
  static const char* const text = mapped();
  static Fault fault;
  if (!text) return fault;
  const std::string line(text, strcspn(std::string(text, strnlen(text, kMost)).c_str(), "\n"));
  if (line == fault.line) return fault;
  fault = {line, line.substr(0, line.find(' '))};
  std::sscanf(line.c_str(), "%*s %d %d", &fault.number, &fault.most);
  calls = 0;
  return fault;
}

cudaError_t error_of(const std::string& call) {
  if (call == "cudaMalloc" || call == "cudaHostAlloc" || call == "cudaHostRegister" || call == "cudaGraphInstantiate") return cudaErrorMemoryAllocation;
  if (call == "kernel") return cudaErrorLaunchOutOfResources;
  if (call == "cudaStreamEndCapture") return cudaErrorStreamCaptureInvalidated;
  return cudaErrorUnknown;
}

thread_local cudaError_t last = cudaSuccess;

}  // namespace

cudaError_t fail(cudaError_t error) { return last = error; }

cudaError_t fault(const char* call) {
  const std::lock_guard guard(lock);
  const Fault& now = current();
  const bool lost = now.name == "lost";
  if (std::strcmp(call, lost ? "kernel" : now.name.c_str()) == 0) calls++;
  else if (!lost) return cudaSuccess;
  if (calls <= now.number || calls - now.number > now.most) return cudaSuccess;
  log("fault in %s", call);
  return fail(lost ? cudaErrorIllegalAddress : error_of(now.name));
}

int slow(const char* what) {
  const std::lock_guard guard(lock);
  return current().name == what ? current().number : 0;
}

}  // namespace hollow

extern "C" {

cudaError_t cudaGetLastError() {
  if (const cudaError_t error = hollow::fault("cudaGetLastError")) return error;
  const cudaError_t error = hollow::last;
  hollow::last = cudaSuccess;
  return error;
}
cudaError_t cudaPeekAtLastError() { return hollow::last; }
const char* cudaGetErrorName(cudaError_t error) { return error ? "cudaError (hollow)" : "cudaSuccess"; }
const char* cudaGetErrorString(cudaError_t error) {
  switch (error) {
    case cudaSuccess: return "no error";
    case cudaErrorMemoryAllocation: return "out of memory";
    case cudaErrorInvalidConfiguration: return "invalid configuration argument";
    case cudaErrorInvalidValue: return "invalid argument";
    case cudaErrorIllegalAddress: return "an illegal memory access was encountered";
    case cudaErrorLaunchOutOfResources: return "too many resources requested for launch";
    case cudaErrorStreamCaptureUnsupported: return "operation not permitted when stream is capturing";
    case cudaErrorStreamCaptureInvalidated: return "operation failed due to a previous error during capture";
    default: return "an error";
  }
}

}  // extern "C"
