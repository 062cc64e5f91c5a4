#include "residents.h"
#include <stdexcept>
#include <string>

namespace lorikeet {

void check_image(const AdapterIdentity& id, const PackedAdapter& image, int64_t block_count, int64_t block_bytes, int32_t site_count) {
  auto require = [](bool ok, const char* what) {
    if (!ok) throw std::invalid_argument(std::string("putAdapter: ") + what);
  };
  require(id.index >= 0 && id.index < (1 << 24), "index out of range");
  require(image.bytes <= image.block_count * static_cast<size_t>(block_bytes), "the image is larger than its blocks");
  for (size_t i = 0; i < image.block_count; i++) require(image.blocks[i] >= 0 && image.blocks[i] < block_count, "a block is out of range");
  for (size_t i = 0; i < image.row_count; i++) {
    const int32_t block = image.rows[2 * i], offset = image.rows[2 * i + 1];
    require(block >= 0 && static_cast<size_t>(block) < image.block_count && offset >= 0 && offset < block_bytes, "a row is out of range");
  }
  std::vector<bool> named(site_count);
  auto rows = [&](int32_t first, int32_t count) {
    require(first < 0 || (count >= 0 && static_cast<size_t>(first) + count <= image.row_count), "an entry names rows that do not exist");
  };
  for (size_t i = 0; i < image.entry_count; i++) {
    const AdapterEntry& e = image.entries[i];
    require(e.site >= 0 && e.site < site_count && !named[e.site], "an entry's site is out of range or named twice");
    named[e.site] = true;
    for (int32_t first : {e.a, e.b}) rows(first, e.rank);
    for (int32_t first : {e.index, e.out_scale, e.bias, e.in_scale}) rows(first, 1);
  }
}

void ResidentTable::put(int32_t index, std::shared_ptr<Resident> resident) {
  if (table_.size() <= static_cast<size_t>(index)) table_.resize(index + 1);
  table_[index] = std::move(resident);
}

std::shared_ptr<Resident> ResidentTable::at(int32_t index) const {
  return index >= 0 && static_cast<size_t>(index) < table_.size() ? table_[index] : nullptr;
}

std::shared_ptr<Resident> ResidentTable::drop(int32_t index) {
  auto dropped = at(index);
  if (dropped) table_[index].reset();
  return dropped;
}

std::shared_ptr<const Resident> ResidentTable::find(const AdapterIdentity& id) const {
  const auto found = at(id.index);
  return found && found->generation == id.generation && found->digest == id.digest ? found : nullptr;
}

}  // namespace lorikeet
