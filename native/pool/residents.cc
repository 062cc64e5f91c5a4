#include "residents.h"
#include <cstring>
#include <stdexcept>
#include <string>
#include <utility>

namespace lorikeet {
namespace {

constexpr int32_t kRowAlignment = 64;  // bytes: docs/cuda.md counts a row's place in them

[[noreturn]] void refuse(const std::string& what) { throw std::invalid_argument("putAdapter: " + what); }
void require(bool ok, const char* what) {
  if (!ok) refuse(what);
}

// The rows of an image, checked one by one as entries name them.
class Rows {
 public:
  Rows(const PackedAdapter& image, const ImageLimits& limits) : image_(image), pages_(pages_of(image, limits)) {
    for (size_t i = 0; i < image.row_count; i++) {
      const int32_t page = image.rows[2 * i], offset = image.rows[2 * i + 1];
      if (page < 0 || static_cast<size_t>(page) >= pages_.size() || offset < 0 || offset >= pages_[page].bytes)
        refuse("row " + std::to_string(i) + " is out of range");
      if (offset % kRowAlignment) refuse("row " + std::to_string(i) + " does not begin at a multiple of 64 bytes");
    }
  }

  // Rows [first, first + count) of `bytes` each; none where first is −1.
  void require_rows(int32_t first, int32_t count, int64_t bytes, const std::string& what) const {
    if (first < 0) return;
    if (static_cast<size_t>(first) + count > image_.row_count) refuse(what + " names rows that do not exist");
    for (int32_t r = first; r < first + count; r++) {
      const Page& page = pages_[image_.rows[2 * r]];
      const int64_t end = image_.rows[2 * r + 1] + bytes;
      if (end > page.bytes) refuse(what + ": row " + std::to_string(r) + " does not end in its block or frame");
      if (page.from + end > static_cast<int64_t>(image_.bytes)) refuse(what + ": row " + std::to_string(r) + " leaves the image");
    }
  }

  // Row `row` holds `count` ascending numbers from 0 to below `most`. After require_rows.
  void require_ascending(int32_t row, int32_t count, int32_t most, const std::string& what) const {
    const uint8_t* const at = image_.image + pages_[image_.rows[2 * row]].from + image_.rows[2 * row + 1];
    int32_t before = -1;
    for (int32_t j = 0; j < count; j++) {
      int32_t value = 0;
      std::memcpy(&value, at + sizeof value * j, sizeof value);
      if (value <= before || value >= most)
        refuse(what + " holds " + std::to_string(value) + " after " + std::to_string(before) + ": it must ascend from 0 to below " + std::to_string(most));
      before = value;
    }
  }

 private:
  const PackedAdapter& image_;
  const std::vector<Page> pages_;
};

// An entry's rows, as ENTRY in adapters-store/types.ts says how long each is.
void check_entry(const AdapterEntry& e, const Rows& rows, const ImageLimits& limits) {
  const SiteShape site = limits.sites.empty() ? SiteShape{} : limits.sites[e.site];
  const auto element = static_cast<int64_t>(element_size(limits.dtype));
  const bool whole_rows = site.embedding && e.b < 0;  // of the table, each in the place of one token's
  const std::string at = "site " + std::to_string(e.site) + ", ";
  rows.require_rows(e.a, e.rank, element * (whole_rows ? site.out : site.in), at + "a");
  if (has_scales(e, limits.dtype)) rows.require_rows(e.a + e.rank, 1, int64_t{4} * e.rank, at + "the scales of a");
  rows.require_rows(e.b, e.rank, element * site.out, at + "b");
  rows.require_rows(e.index, 1, int64_t{4} * e.rank, at + "index");
  for (const auto& [first, name] : {std::pair{e.out_scale, "outScale"}, {e.bias, "bias"}}) rows.require_rows(first, 1, int64_t{4} * site.out, at + name);
  rows.require_rows(e.in_scale, 1, int64_t{4} * site.in, at + "inScale");
  if (limits.sites.empty() || e.a < 0 || e.b >= 0) return;
  const int32_t places = whole_rows ? site.in : site.out;
  if (e.index >= 0) rows.require_ascending(e.index, e.rank, places, at + "index");
  else if (e.rank > places) refuse(at + "rank is larger than the " + std::to_string(places) + " places that there are");
}

}  // namespace

std::vector<Page> pages_of(const PackedAdapter& image, const ImageLimits& limits) {
  std::vector<Page> pages;
  pages.reserve(image.page_count());
  int64_t from = 0;
  const auto add = [&](int32_t place, int64_t bytes) {
    pages.push_back({from, place * bytes, bytes});
    from += bytes;
  };
  for (size_t i = 0; i < image.block_count; i++) add(image.blocks[i], limits.block_bytes);
  for (size_t i = 0; i < image.frame_count; i++) add(image.frames[i], limits.frame_bytes);
  return pages;
}

void check_image(const AdapterIdentity& id, const PackedAdapter& image, const ImageLimits& limits) {
  require(id.index >= 0 && id.index < (1 << 24), "index out of range");
  require(image.bytes <= image.block_count * static_cast<size_t>(limits.block_bytes) + image.frame_count * static_cast<size_t>(limits.frame_bytes),
          "the image is larger than its blocks and frames");
  for (size_t i = 0; i < image.block_count; i++) require(image.blocks[i] >= 0 && image.blocks[i] < limits.block_count, "a block is out of range");
  const int64_t frames = limits.block_count * limits.frames_in_block();
  for (size_t i = 0; i < image.frame_count; i++) require(image.frames[i] >= 0 && image.frames[i] < frames, "a frame is out of range");
  const Rows rows(image, limits);
  std::vector<bool> named(limits.site_count);
  for (size_t i = 0; i < image.entry_count; i++) {
    const AdapterEntry& e = image.entries[i];
    require(e.site >= 0 && e.site < limits.site_count && !named[e.site], "an entry's site is out of range or named twice");
    named[e.site] = true;
    require(e.rank >= 0, "an entry's rank is negative");
    check_entry(e, rows, limits);
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
