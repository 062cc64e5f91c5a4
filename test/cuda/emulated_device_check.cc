// The emulated device: what waits and what does not, poison, and what a captured graph would freeze.
#include <functional>
#include "../../native/device/device.h"
#include "../native/harness.h"
#include "emulated/frozen.h"
#include "emulated_check.h"
#include "emulator.h"

namespace lorikeet::test {
namespace {

using device::Buffer, device::Event, device::Memory, device::OwnedStream;

bool throws(const std::function<void()>& work) {
  try {
    work();
    return false;
  } catch (const std::exception&) {
    return true;
  }
}

// Work of a thread that runs beside the steps. A thread of its own, since it stays one.
void beside(const std::function<void()>& work) {
  std::thread([&] {
    device::allow_captures_elsewhere();
    work();
  }).join();
}

void check_copies() {
  OwnedStream compute, copies;
  Buffer image(Memory::pinned, 64), there(Memory::device, 64), back(Memory::pinned, 64);
  check(there.data()[0] == 0xff && image.data()[63] == 0xff, "new memory is poison");
  std::memset(image.data(), 7, 64);
  Event arrived, done;
  beside([&] {
    device::copy_to_device(there.data(), image.data(), 64, copies.get());
    arrived.record(copies.get());
  });
  check(there.data()[0] == 0xff, "a copy beside the steps waits");
  check(!arrived.done(), "its event says so");
  std::memset(image.data(), 9, 64);
  arrived.hold(compute.get());
  check(there.data()[0] == 9 && arrived.done(), "a stream that is held brings it; pinned bytes are read then");

  device::copy_to_host(back.data(), there.data(), 64, compute.get());
  done.record(compute.get());
  check(back.data()[0] == 0xff, "a copy to pinned memory is poison until it is waited for");
  done.wait();
  check(back.data()[0] == 9, "and there afterwards");

  std::vector<uint8_t> plain(64, 3);
  beside([&] { device::copy_to_device(there.data(), plain.data(), 64, copies.get()); });
  std::fill(plain.begin(), plain.end(), 4);
  device::synchronize(copies.get());
  check(there.data()[0] == 3, "bytes that are not pinned are taken at once");

  beside([&] {
    device::copy_to_device(there.data(), image.data(), 64, copies.get());
    arrived.record(copies.get());
  });
  int asked = 0;
  while (!arrived.done() && asked < 100) asked++;
  check(asked > 0 && asked < 100 && there.data()[0] == 9, "an event that is asked comes true after a while");

  beside([&] { device::copy_to_device(there.data(), plain.data(), 64, copies.get()); });
  cuda::run_grid({1, 1, false, copies.get()}, [&] { check(there.data()[0] == 4, "a kernel comes after its stream's copies"); });
}

void check_misuse() {
  OwnedStream copies;
  Buffer there(Memory::device, 64), pinned(Memory::pinned, 64);
  std::vector<uint8_t> host(4096);
  check(throws([&] { device::copy_to_device(host.data(), pinned.data(), 64, copies.get()); }), "the host's memory is not the device's");
  check(throws([&] { device::copy_to_device(there.data() + 1, pinned.data(), 64, copies.get()); }), "a copy that leaves its buffer");
  check(throws([&] { device::copy_to_host(pinned.data(), host.data(), 64, copies.get()); }), "a copy from what is not the device's");
  check(throws([&] { device::unpin(host.data()); }), "unpinning what is not pinned");
  check(throws([&] { device::unpin(pinned.data()); }), "unpinning what the device allocated");
  device::pin(host.data(), host.size());
  check(throws([&] { device::pin(host.data(), host.size()); }), "pinning twice");
  beside([&] { device::copy_to_device(there.data(), host.data(), 64, copies.get()); });
  check(throws([&] { device::unpin(host.data()); }), "unpinning under a copy");
  device::synchronize(copies.get());
  device::unpin(host.data());
  check(throws([] { Buffer(Memory::device, size_t{1} << 40); }), "more than the device has");
}

// A captured run of one graph of `session` that hands `values` over.
bool runs(const void* session, int32_t graph, const std::vector<uint64_t>& values) {
  using namespace device::emulated;
  return !throws([&] {
    captured_run_begins(session, graph);
    for (const uint64_t& value : values) frozen_value("a value", value);
    captured_run_ends();
  });
}

void check_frozen() {
  int session = 0, other = 0;
  Buffer buffer(Memory::device, 4096);
  const auto address = [&](size_t offset) { return reinterpret_cast<uint64_t>(buffer.data() + offset); };
  std::vector<char> one(1 << 20), two(1 << 20);  // as the host's allocator gives them
  check(runs(&session, 1, {5, address(0)}), "a first run may hand over anything");
  check(runs(&session, 1, {5, address(0)}), "the same again");
  check(!runs(&session, 1, {6, address(0)}), "another number");
  check(!runs(&session, 1, {5, address(256)}), "another place in the device's memory");
  check(!runs(&session, 1, {5}), "fewer values");
  check(!runs(&session, 1, {5, address(0), 7}), "more values");
  check(runs(&session, 2, {6}) && runs(&other, 1, {6}), "another graph, or another session's");
  check(runs(&session, 0, {1}) && runs(&session, 0, {2}), "what is not captured");
  check(runs(&session, 3, {reinterpret_cast<uint64_t>(one.data())}) && runs(&session, 3, {reinterpret_cast<uint64_t>(two.data())}),
        "activations of the CPU provider may move");
}

}  // namespace

void check_emulated_device() {
  check_copies();
  check_misuse();
  check_frozen();
}

}  // namespace lorikeet::test
