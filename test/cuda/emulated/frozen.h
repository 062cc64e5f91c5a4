// What a captured graph would freeze. A decode step that the engine captures runs here as any other, but everything that the host hands to kernels is
// recorded at the first run of its graph, and must be the same at every later one: there a GPU would use the first run's, whatever the host says.
// Compared are the kernels and grids in order, every byte of their arguments but the padding, and the sizes that other operations take. A pointer
// outside the device's buffers is an activation of ONNX Runtime's CPU provider, which puts it elsewhere each time; on a GPU the graph keeps the place.
#pragma once
#include <cstddef>
#include <cstdint>

namespace lorikeet::device::emulated {

// Between the two, on this thread, values belong to that graph of that session. `ends` throws std::runtime_error when this run has handed over fewer.
void captured_run_begins(const void* session, int32_t graph);
void captured_run_ends();
// Throws std::runtime_error where nothing was captured under that number, or it is gone already.
void captured_graph_released(const void* session, int32_t graph);
// Its graphs are no more: another session may come to lie where it did.
void captured_session_ended(const void* session);
// Gone without a check: the run has failed.
void captured_run_abandoned();

// Throws std::runtime_error when the value is not the first run's. Outside of captured runs: nothing.
void frozen_bytes(const char* what, const void* data, size_t bytes);
template <class T>
void frozen_value(const char* what, const T& value) {
  frozen_bytes(what, &value, sizeof value);
}

}  // namespace lorikeet::device::emulated
