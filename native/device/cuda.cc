#include <cuda_runtime_api.h>
#include <stdexcept>
#include "device.h"

namespace lorikeet::device {
namespace {

void must(cudaError_t error, const char* what) {
  if (error != cudaSuccess) throw std::runtime_error(std::string("CUDA, ") + what + ": " + cudaGetErrorString(error));
}

}  // namespace

bool available(std::string& missing) {
  int count = 0;
  const cudaError_t error = cudaGetDeviceCount(&count);
  if (error == cudaSuccess && count > 0) return true;
  missing = error == cudaSuccess                    ? "no CUDA device is visible"
            : error == cudaErrorInsufficientDriver ? "no NVIDIA driver, or one older than CUDA " + std::to_string(CUDART_VERSION / 1000) + " needs"
                                                   : cudaGetErrorString(error);
  cudaGetLastError();  // a later call must not find it
  return false;
}

Info info() {
  allow_captures_elsewhere();
  Info info;
  cudaDeviceProp properties{};
  must(cudaGetDeviceProperties(&properties, 0), "device properties");
  must(cudaMemGetInfo(&info.free, &info.total), "free memory");
  info.name = properties.name;
  info.major = properties.major;
  info.minor = properties.minor;
  info.multiprocessors = properties.multiProcessorCount;
  return info;
}

void allow_captures_elsewhere() {
  thread_local bool allowed = false;
  if (allowed) return;
  cudaStreamCaptureMode mode = cudaStreamCaptureModeThreadLocal;
  must(cudaThreadExchangeStreamCaptureMode(&mode), "the capture mode");
  allowed = true;
}

Buffer::Buffer(Memory kind, size_t bytes) : kind_(kind), bytes_(bytes) {
  void* data = nullptr;
  if (kind == Memory::device) {
    if (cudaMalloc(&data, bytes) != cudaSuccess) {
      cudaGetLastError();
      throw std::runtime_error("the device has no " + std::to_string(bytes) + " bytes left");
    }
  } else {
    must(cudaHostAlloc(&data, bytes, cudaHostAllocDefault), "pinned memory");
  }
  data_ = static_cast<uint8_t*>(data);
}

Buffer::Buffer(Buffer&& other) noexcept { *this = std::move(other); }

Buffer& Buffer::operator=(Buffer&& other) noexcept {
  std::swap(kind_, other.kind_);
  std::swap(data_, other.data_);
  std::swap(bytes_, other.bytes_);
  return *this;
}

Buffer::~Buffer() {
  if (data_) kind_ == Memory::device ? cudaFree(data_) : cudaFreeHost(data_);
}

OwnedStream::OwnedStream() { must(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "a stream"); }
OwnedStream::~OwnedStream() { cudaStreamDestroy(stream_); }

Event::Event(bool timed) { must(cudaEventCreateWithFlags(&event_, timed ? cudaEventDefault : cudaEventDisableTiming), "an event"); }
Event::~Event() { cudaEventDestroy(event_); }
void Event::record(Stream stream) { must(cudaEventRecord(event_, stream), "an event's record"); }
bool Event::done() const {
  const cudaError_t error = cudaEventQuery(event_);
  if (error != cudaErrorNotReady) must(error, "an event");
  return error == cudaSuccess;
}
void Event::wait() const { must(cudaEventSynchronize(event_), "the device"); }
void Event::hold(Stream stream) const { must(cudaStreamWaitEvent(stream, event_, 0), "a stream's wait"); }
double Event::ms_since(const Event& from) const {
  float ms = 0;
  if (cudaEventElapsedTime(&ms, from.event_, event_) != cudaSuccess) cudaGetLastError();
  return ms;
}

void copy_to_device(void* to, const void* from, size_t bytes, Stream stream) {
  must(cudaMemcpyAsync(to, from, bytes, cudaMemcpyHostToDevice, stream), "a copy to the device");
}
void copy_to_host(void* to, const void* from, size_t bytes, Stream stream) {
  must(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToHost, stream), "a copy to the host");
}
void copy_on_device(void* to, const void* from, size_t bytes, Stream stream) {
  must(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, stream), "a copy on the device");
}
void synchronize(Stream stream) { must(cudaStreamSynchronize(stream), "the device"); }
bool abandon_capture(Stream stream) {
  cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
  if (cudaStreamIsCapturing(stream, &status) == cudaSuccess && status != cudaStreamCaptureStatusNone) {
    cudaGraph_t graph = nullptr;
    cudaStreamEndCapture(stream, &graph);
    if (graph) cudaGraphDestroy(graph);
  }
  cudaGetLastError();  // an error of the capture alone is gone after this
  return cudaStreamSynchronize(stream) != cudaSuccess;
}
void pin(void* data, size_t bytes) { must(cudaHostRegister(data, bytes, cudaHostRegisterDefault), "pinning memory"); }
void unpin(void* data) { must(cudaHostUnregister(data), "unpinning memory"); }

}  // namespace lorikeet::device
