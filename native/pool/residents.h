// Adapters that lie in a pool, whichever device it is on: the identity of what was put where, and what an image must satisfy.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>
#include "../numeric/dtype.h"
#include "../step/step.h"

namespace lorikeet {

// Field order of one entry, as ENTRY in adapters-store/types.ts.
struct AdapterEntry {
  int32_t site, rank, a, b, index, out_scale, bias, in_scale;
};

// Whether the row behind A's holds the scales of an entry's rank rows.
inline bool has_scales(const AdapterEntry& e, DType dtype) { return dtype == DType::i8 && e.a >= 0 && e.rank > 0; }

// native/types.ts's PackedAdapter without its identity; the caller keeps the arrays.
struct PackedAdapter {
  const uint8_t* image = nullptr;
  size_t bytes = 0;
  const int32_t* blocks = nullptr;  // whole ones, then
  size_t block_count = 0;
  const int32_t* frames = nullptr;  // parts of blocks: block · (frames in a block) + place in it
  size_t frame_count = 0;
  const int32_t* rows = nullptr;  // [row_count * 2]
  size_t row_count = 0;
  const AdapterEntry* entries = nullptr;
  size_t entry_count = 0;

  size_t page_count() const { return block_count + frame_count; }
};

// How long the rows of a site's deltas are: native/types.ts's siteShapes.
struct SiteShape {
  int32_t in, out, embedding;
};

// What an image must fit into.
struct ImageLimits {
  int64_t block_count = 0, block_bytes = 0, frame_bytes = 0;
  int32_t site_count = 0;
  DType dtype = DType::f16;          // of rank rows
  std::vector<SiteShape> sites;      // [site_count]; empty: nobody said, and rows are taken to be as long as they must be

  int64_t frames_in_block() const { return block_bytes / frame_bytes; }
};

// What an image's rows count in: its whole blocks, then its frames.
struct Page {
  int64_t from, to, bytes;  // from where in the image to where in the pool; `bytes` is the page's, the image may end before
};
std::vector<Page> pages_of(const PackedAdapter& image, const ImageLimits& limits);

// Throws std::invalid_argument, which names what it is, when anything of the image leaves its pages, the pool, the sites or their outputs: a row that is
// trusted wrongly is another tenant's memory.
void check_image(const AdapterIdentity& id, const PackedAdapter& image, const ImageLimits& limits);

// Used from the engine's JavaScript thread only; a step keeps what it resolved alive by shared ownership.
class ResidentTable {
 public:
  void put(int32_t index, std::shared_ptr<Resident> resident);
  std::shared_ptr<Resident> drop(int32_t index);  // null if there was none
  std::shared_ptr<Resident> at(int32_t index) const;
  // Null unless exactly this residency is in the table.
  std::shared_ptr<const Resident> find(const AdapterIdentity& id) const;

 private:
  std::vector<std::shared_ptr<Resident>> table_;
};

// Looks the batch's adapters up: fills input.resolved and input.segment_status.
void resolve_adapters(const ResidentTable& table, StepInput& input);

}  // namespace lorikeet
