#include "device_residents.h"
#include <algorithm>
#include <cstring>
#include <iterator>
#include <stdexcept>
#include <utility>

namespace lorikeet {
namespace {

constexpr uintptr_t kPage = 4096;

}  // namespace

DeviceResidents::DeviceResidents(uint8_t* pool, ImageLimits limits) : pool_(pool), limits_(std::move(limits)) {}

DeviceResidents::~DeviceResidents() {
  try {
    device::synchronize(copies_.get());
    for (const auto& [image, pages] : pinned_) device::unpin(const_cast<uint8_t*>(pages.begin));
  } catch (const std::exception&) {
    // The device is lost, and with it what it held.
  }
}

void DeviceResidents::put(const AdapterIdentity& id, const PackedAdapter& image) {
  device::allow_captures_elsewhere();
  check_image(id, image, limits_);
  std::erase_if(arriving_, [&](const auto& resident) {
    if (!resident->arrived.done()) return false;
    settle(*resident);
    return true;
  });

  auto resident = std::make_shared<DeviceResident>();
  resident->generation = id.generation;
  resident->digest = id.digest;
  resident->image = image.image;
  resident->sites = SiteBits(limits_.site_count);
  for (size_t i = 0; i < image.entry_count; i++) resident->sites.add(image.entries[i]);
  const std::vector<Page> pages = pages_of(image, limits_);
  std::vector<int64_t> places;
  for (const Page& page : pages) places.push_back(page.to);
  const cuda::AdapterTables made = cuda::make_adapter_tables(image.rows, image.row_count, reinterpret_cast<const int32_t*>(image.entries),
                                                             image.entry_count, places.data(), limits_.site_count);
  resident->shape = made.shape;
  resident->table_bytes = made.bytes.size();
  resident->tables = tables_.allocate(resident->table_bytes);
  try {
    resident->staged = staging_.allocate(resident->table_bytes);
  } catch (...) {
    tables_.release(resident->tables, resident->table_bytes);
    throw;
  }
  std::memcpy(resident->staged, made.bytes.data(), made.bytes.size());

  // Pages that follow each other in the pool, as frames mostly do, are one copy.
  const auto bytes = static_cast<int64_t>(image.bytes);
  for (size_t i = 0, next = 0; i < pages.size() && pages[i].from < bytes; i = next) {
    for (next = i + 1; next < pages.size() && pages[next].to == pages[next - 1].to + pages[next - 1].bytes;) next++;
    const int64_t end = std::min(bytes, pages[next - 1].from + pages[next - 1].bytes);
    upload(pool_ + pages[i].to, image.image + pages[i].from, static_cast<size_t>(end - pages[i].from));
  }
  device::copy_to_device(resident->tables, resident->staged, made.bytes.size(), copies_.get());
  resident->arrived.record(copies_.get());
  arriving_.push_back(resident);
  table_.put(id.index, std::move(resident));
}

// Once its bytes have arrived.
void DeviceResidents::settle(DeviceResident& resident) {
  if (resident.staged) staging_.release(resident.staged, resident.table_bytes);
  resident.staged = nullptr;
  resident.image = nullptr;
}

bool DeviceResidents::ready(int32_t index) {
  device::allow_captures_elsewhere();
  const auto found = table_.at(index);
  return found && static_cast<const DeviceResident&>(*found).arrived.done();
}

void DeviceResidents::hold(device::Stream compute, const std::vector<std::shared_ptr<const Resident>>& used) {
  for (const auto& resident : used)
    if (resident && !static_cast<const DeviceResident&>(*resident).arrived.done()) static_cast<const DeviceResident&>(*resident).arrived.hold(compute);
  std::lock_guard lock(leaving_mutex_);
  for (const auto& resident : leaving_) resident->arrived.hold(compute);
  leaving_.clear();
}

void DeviceResidents::drop(int32_t index) {
  device::allow_captures_elsewhere();
  const auto dropped = std::static_pointer_cast<DeviceResident>(table_.drop(index));
  if (!dropped) return;
  // The next adapter's tables come on the same stream as these did: after them.
  tables_.release(dropped->tables, dropped->table_bytes);
  if (dropped->arrived.done()) return;
  std::lock_guard lock(leaving_mutex_);
  leaving_.push_back(dropped);
}

void DeviceResidents::pin(uint8_t* image, size_t bytes) {
  device::allow_captures_elsewhere();
  if (pinned_.contains(image)) return;
  // A page can be locked once, and the host's allocator lets neighbours share one.
  const auto page = [](uintptr_t address) { return reinterpret_cast<uint8_t*>(address / kPage * kPage); };
  uint8_t *const begin = page(reinterpret_cast<uintptr_t>(image) + kPage - 1), *const end = page(reinterpret_cast<uintptr_t>(image) + bytes);
  if (begin >= end) return;
  device::pin(begin, end - begin);
  pinned_[image] = {begin, end};
}

void DeviceResidents::unpin(uint8_t* image) {
  device::allow_captures_elsewhere();
  const auto found = pinned_.find(image);
  if (found == pinned_.end()) return;
  for (const auto& resident : arriving_)
    if (resident->image == image) resident->arrived.wait();
  uint8_t* const begin = const_cast<uint8_t*>(found->second.begin);
  pinned_.erase(found);
  device::unpin(begin);
}

void DeviceResidents::upload(uint8_t* to, const uint8_t* from, size_t bytes) {
  const uint8_t* const end = from + bytes;
  auto found = pinned_.upper_bound(from);  // the image that starts at `from` or before it
  const Pages pages = found == pinned_.begin() ? Pages{end, end} : std::prev(found)->second;
  const uint8_t* cuts[] = {from, std::clamp(pages.begin, from, end), std::clamp(pages.end, from, end), end};
  for (int i = 0; i < 3; i++)
    if (cuts[i] < cuts[i + 1]) device::copy_to_device(to + (cuts[i] - from), cuts[i], cuts[i + 1] - cuts[i], copies_.get());
}

}  // namespace lorikeet
