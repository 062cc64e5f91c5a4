// Streams, events and graphs. Whatever is put into a stream is done at once, or after its time (clock.cc); only captures keep what they were given, and of
// that the number.
#include <algorithm>
#include <chrono>
#include <thread>
#include <utility>
#include <vector>
#include "hollow.h"

struct CUevent_st {
  enum { never, recorded, in_capture } state = never;
  hollow::Moment at;  // when it is done
};
struct CUgraph_st {
  int nodes;
  uint64_t frees;  // of device memory, when it was captured
};
struct CUgraphExec_st : CUgraph_st {};

namespace hollow {

std::recursive_mutex lock;

namespace {

struct Capture {
  CUstream_st* stream;
  std::thread::id thread;
};
std::vector<Capture> captures;
CUstream_st default_stream;
int graphs = 0;  // instantiated, and not destroyed
thread_local cudaStreamCaptureMode interaction = cudaStreamCaptureModeGlobal;

void forbid(CUstream_st* stream, const char* call) {
  log("FORBIDDEN %s while a graph is captured", call);
  stream->spoilt = true;
}
const Capture* capture_here() {
  const auto found = std::find_if(captures.begin(), captures.end(), [](const Capture& c) { return c.thread == std::this_thread::get_id(); });
  return found == captures.end() ? nullptr : &*found;
}

}  // namespace

CUstream_st* of(cudaStream_t stream) { return reinterpret_cast<uintptr_t>(stream) > 2 ? stream : &default_stream; }

cudaError_t unsafe(const char* call) {
  const std::lock_guard guard(lock);
  if (interaction == cudaStreamCaptureModeRelaxed) return cudaSuccess;
  for (const Capture& capture : captures) {
    const cudaStreamCaptureMode mode = capture.stream->mode;
    const bool here = capture.thread == std::this_thread::get_id();
    if (here ? mode == cudaStreamCaptureModeRelaxed : mode != cudaStreamCaptureModeGlobal || interaction != cudaStreamCaptureModeGlobal) continue;
    forbid(capture.stream, call);
    return fail(cudaErrorStreamCaptureUnsupported);
  }
  return cudaSuccess;
}

bool captured(cudaStream_t stream, const char*& mark) {
  const std::lock_guard guard(lock);
  if (!of(stream)->capturing) {
    // It is done now and never again: the graph lacks it.
    if (capture_here()) mark = " ASIDE";
    return false;
  }
  of(stream)->nodes++;
  mark = " captured";
  return true;
}

}  // namespace hollow

using namespace hollow;

extern "C" {

cudaError_t cudaStreamCreate(cudaStream_t* stream) { return *stream = new CUstream_st, cudaSuccess; }
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) { return cudaStreamCreate(stream); }
cudaError_t cudaStreamDestroy(cudaStream_t stream) { return delete stream, cudaSuccess; }
cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  if (const cudaError_t error = fault("cudaStreamSynchronize")) return error;
  Moment until;
  {
    const std::lock_guard guard(lock);
    if (of(stream)->capturing) {
      forbid(of(stream), "cudaStreamSynchronize of the captured stream");
      return fail(cudaErrorStreamCaptureUnsupported);
    }
    if (const cudaError_t error = unsafe("cudaStreamSynchronize")) return error;
    until = of(stream)->until;
  }
  wait_until(until);
  return cudaSuccess;
}
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  if (const cudaError_t error = fault("cudaStreamWaitEvent")) return error;
  const std::lock_guard guard(lock);
  const bool capturing = of(stream)->capturing;
  if (event->state == CUevent_st::never || capturing == (event->state == CUevent_st::in_capture)) {
    if (!capturing) of(stream)->until = std::max(of(stream)->until, event->at);
    return cudaSuccess;
  }
  // A captured stream may not wait for work outside its capture; another one that waits for work inside would become part of it.
  for (const Capture& capture : captures) forbid(capture.stream, "cudaStreamWaitEvent across the capture's border");
  return fail(cudaErrorStreamCaptureIsolation);
}
cudaError_t cudaStreamIsCapturing(cudaStream_t stream, cudaStreamCaptureStatus* status) {
  const std::lock_guard guard(lock);
  *status = !of(stream)->capturing ? cudaStreamCaptureStatusNone : of(stream)->spoilt ? cudaStreamCaptureStatusInvalidated : cudaStreamCaptureStatusActive;
  return cudaSuccess;
}
cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode) {
  if (const cudaError_t error = fault("cudaStreamBeginCapture")) return error;
  const std::lock_guard guard(lock);
  if (of(stream) == &default_stream || stream->capturing) return fail(cudaErrorStreamCaptureUnsupported);
  stream->capturing = true;
  stream->spoilt = false;
  stream->mode = mode;
  stream->nodes = 0;
  captures.push_back({stream, std::this_thread::get_id()});
  log("capture begins, mode %d", mode);
  return cudaSuccess;
}
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  std::this_thread::sleep_for(std::chrono::milliseconds(slow("slow-capture")));
  *graph = nullptr;
  const std::lock_guard guard(lock);
  const auto found = std::find_if(captures.begin(), captures.end(), [&](const Capture& c) { return c.stream == stream; });
  if (found == captures.end()) return fail(cudaErrorIllegalState);
  if (found->thread != std::this_thread::get_id() && stream->mode != cudaStreamCaptureModeRelaxed) return fail(cudaErrorStreamCaptureWrongThread);
  captures.erase(found);
  stream->capturing = false;
  log("capture ends, %d nodes%s", stream->nodes, stream->spoilt ? ", SPOILT" : "");
  if (stream->spoilt) return fail(cudaErrorStreamCaptureInvalidated);
  if (const cudaError_t error = fault("cudaStreamEndCapture")) return error;
  *graph = new CUgraph_st{stream->nodes, device_frees()};
  return cudaSuccess;
}
cudaError_t cudaThreadExchangeStreamCaptureMode(cudaStreamCaptureMode* mode) { return std::swap(*mode, interaction), cudaSuccess; }

cudaError_t cudaGraphInstantiate(cudaGraphExec_t* exec, cudaGraph_t graph, unsigned long long) {
  if (const cudaError_t error = fault("cudaGraphInstantiate")) return error;
  const std::lock_guard guard(lock);
  *exec = new CUgraphExec_st{*graph};
  log("graph made, %d in all", ++graphs);
  return cudaSuccess;
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream) {
  if (const cudaError_t error = fault("cudaGraphLaunch")) return error;
  log("replay, %d nodes%s", exec->nodes, exec->frees != device_frees() ? " STALE" : "");
  step_works(of(stream));
  return cudaSuccess;
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph) { return delete graph, cudaSuccess; }
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec) {
  const std::lock_guard guard(lock);
  log("graph gone, %d in all", --graphs);
  return delete exec, cudaSuccess;
}

cudaError_t cudaEventCreate(cudaEvent_t* event) { return *event = new CUevent_st, cudaSuccess; }
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) { return cudaEventCreate(event); }
cudaError_t cudaEventDestroy(cudaEvent_t event) { return delete event, cudaSuccess; }
cudaError_t cudaEventRecordWithFlags(cudaEvent_t event, cudaStream_t stream, unsigned flags) {
  if (const cudaError_t error = fault("cudaEventRecord")) return error;
  const std::lock_guard guard(lock);
  const bool capturing = of(stream)->capturing, external = flags == cudaEventRecordExternal;
  if (external && !capturing) return fail(cudaErrorInvalidValue);
  if (capturing) of(stream)->nodes += external;
  event->state = capturing && !external ? CUevent_st::in_capture : CUevent_st::recorded;
  if (!capturing) event->at = of(stream)->until;
  return cudaSuccess;
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) { return cudaEventRecordWithFlags(event, stream, cudaEventRecordDefault); }
cudaError_t cudaEventQuery(cudaEvent_t event) {
  if (const cudaError_t error = fault("cudaEventQuery")) return error;
  const std::lock_guard guard(lock);
  if (event->state == CUevent_st::in_capture) return fail(cudaErrorCapturedEvent);
  if (const cudaError_t error = unsafe("cudaEventQuery")) return error;
  return std::chrono::steady_clock::now() < event->at ? cudaErrorNotReady : cudaSuccess;
}
cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  if (const cudaError_t error = fault("cudaEventSynchronize")) return error;
  Moment at;
  {
    const std::lock_guard guard(lock);
    if (event->state == CUevent_st::in_capture) return fail(cudaErrorCapturedEvent);
    if (const cudaError_t error = unsafe("cudaEventSynchronize")) return error;
    at = event->at;
  }
  wait_until(at);
  return cudaSuccess;
}
cudaError_t cudaEventElapsedTime(float* ms, cudaEvent_t from, cudaEvent_t to) {
  *ms = 0.01f;
  const std::lock_guard guard(lock);
  return from->state == CUevent_st::recorded && to->state == CUevent_st::recorded ? cudaSuccess : fail(cudaErrorInvalidResourceHandle);
}

}  // extern "C"
