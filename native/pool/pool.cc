#include "pool.h"
#include <sys/mman.h>
#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <string>

namespace lorikeet {

Pool::Pool(int64_t block_count, int64_t block_bytes) : block_count_(block_count), block_bytes_(block_bytes) {
  mapped_ = static_cast<size_t>(block_count) * block_bytes;
  void* p = mmap(nullptr, mapped_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (p == MAP_FAILED) throw std::runtime_error("cannot allocate a pool of " + std::to_string(mapped_) + " bytes");
#ifdef MADV_HUGEPAGE
  madvise(p, mapped_, MADV_HUGEPAGE);  // rank rows are read at random: fewer TLB misses
#endif
  base_ = static_cast<uint8_t*>(p);
}

Pool::~Pool() { munmap(base_, mapped_); }

void AdapterTable::put(const AdapterIdentity& id, const uint8_t* image, size_t image_bytes, const int32_t* blocks,
                       size_t block_count, const int32_t* rows, size_t row_count, const AdapterEntry* entries, size_t entry_count) {
  auto require = [](bool ok, const char* what) {
    if (!ok) throw std::invalid_argument(std::string("putAdapter: ") + what);
  };
  const auto block_bytes = static_cast<size_t>(pool_.block_bytes());
  require(id.index >= 0 && id.index < (1 << 24), "index out of range");
  require(image_bytes <= block_count * block_bytes, "the image is larger than its blocks");
  for (size_t i = 0; i < block_count; i++) require(blocks[i] >= 0 && blocks[i] < pool_.block_count(), "a block is out of range");
  auto adapter = std::make_shared<ResidentAdapter>();
  adapter->generation = id.generation;
  adapter->digest = id.digest;
  adapter->rows.resize(row_count);
  for (size_t i = 0; i < row_count; i++) {
    const int32_t block = rows[2 * i], offset = rows[2 * i + 1];
    require(block >= 0 && static_cast<size_t>(block) < block_count && offset >= 0 && static_cast<size_t>(offset) < block_bytes,
            "a row is out of range");
    adapter->rows[i] = pool_.block(blocks[block]) + offset;
  }
  adapter->deltas.reserve(entry_count);
  adapter->by_site.assign(site_count_, nullptr);
  auto row = [&](int32_t first, int32_t count) -> const void* const* {
    if (first < 0) return nullptr;
    require(count >= 0 && static_cast<size_t>(first) + count <= row_count, "an entry names rows that do not exist");
    return adapter->rows.data() + first;
  };
  auto floats = [&](int32_t first) { return first < 0 ? nullptr : static_cast<const float*>(*row(first, 1)); };
  for (size_t i = 0; i < entry_count; i++) {
    const AdapterEntry& e = entries[i];
    require(e.site >= 0 && e.site < site_count_ && !adapter->by_site[e.site], "an entry's site is out of range or named twice");
    SiteDelta d;
    d.rank = e.rank;
    d.a = row(e.a, e.rank);
    d.b = row(e.b, e.rank);
    d.index = e.index < 0 ? nullptr : static_cast<const int32_t*>(*row(e.index, 1));
    d.out_scale = floats(e.out_scale);
    d.bias = floats(e.bias);
    d.in_scale = floats(e.in_scale);
    adapter->deltas.push_back(d);
    adapter->by_site[e.site] = &adapter->deltas.back();
  }
  for (size_t i = 0; i < block_count && i * block_bytes < image_bytes; i++)
    std::memcpy(pool_.block(blocks[i]), image + i * block_bytes, std::min(block_bytes, image_bytes - i * block_bytes));
  if (table_.size() <= static_cast<size_t>(id.index)) table_.resize(id.index + 1);
  table_[id.index] = std::move(adapter);
}

void AdapterTable::drop(int32_t index) {
  if (index >= 0 && static_cast<size_t>(index) < table_.size()) table_[index].reset();
}

std::shared_ptr<const ResidentAdapter> AdapterTable::resolve(const AdapterIdentity& id) const {
  if (id.index < 0 || static_cast<size_t>(id.index) >= table_.size()) return nullptr;
  const auto& found = table_[id.index];
  return found && found->generation == id.generation && found->digest == id.digest ? found : nullptr;
}

}  // namespace lorikeet
