#include "host_blocks.h"
#include <sys/mman.h>
#include <stdexcept>
#include <string>
#include "huge_pages.h"

namespace lorikeet {

HostBlocks::HostBlocks(int64_t block_count, int64_t block_bytes) : block_count_(block_count), block_bytes_(block_bytes) {
  mapped_ = static_cast<size_t>(block_count) * block_bytes;
  void* p = mmap(nullptr, mapped_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (p == MAP_FAILED) throw std::runtime_error("cannot allocate a pool of " + std::to_string(mapped_) + " bytes");
  prefer_huge_pages(p, mapped_);
  base_ = static_cast<uint8_t*>(p);
}

HostBlocks::~HostBlocks() { munmap(base_, mapped_); }

std::shared_ptr<CpuResident> point_into(const AdapterIdentity& id, const PackedAdapter& image, const ImageLimits& limits) {
  auto adapter = std::make_shared<CpuResident>();
  adapter->generation = id.generation;
  adapter->digest = id.digest;
  adapter->rows.resize(image.row_count);
  const std::vector<Page> pages = pages_of(image, limits);
  for (size_t i = 0; i < image.row_count; i++) adapter->rows[i] = image.image + pages[image.rows[2 * i]].from + image.rows[2 * i + 1];
  adapter->deltas.reserve(image.entry_count);  // by_site points into it
  adapter->by_site.assign(limits.site_count, nullptr);
  auto row = [&](int32_t first) { return first < 0 ? nullptr : adapter->rows.data() + first; };
  auto floats = [&](int32_t first) { return first < 0 ? nullptr : static_cast<const float*>(*row(first)); };
  for (size_t i = 0; i < image.entry_count; i++) {
    const AdapterEntry& e = image.entries[i];
    SiteDelta d;
    d.rank = e.rank;
    d.a = row(e.a);
    d.b = row(e.b);
    if (has_scales(e, limits.dtype)) d.scales = floats(e.a + e.rank);
    d.index = e.index < 0 ? nullptr : static_cast<const int32_t*>(*row(e.index));
    d.out_scale = floats(e.out_scale);
    d.bias = floats(e.bias);
    d.in_scale = floats(e.in_scale);
    adapter->deltas.push_back(d);
    adapter->by_site[e.site] = &adapter->deltas.back();
  }
  return adapter;
}

}  // namespace lorikeet
