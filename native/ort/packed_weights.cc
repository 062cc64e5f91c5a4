#include "packed_weights.h"
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>
#include <algorithm>
#include <atomic>
#include <bit>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <stdexcept>
#include <string>
#include <thread>
#include "../numeric/quantize.h"

namespace lorikeet {
namespace {

// About what a thread packs at a time: the floats that it is given stay in its cache.
constexpr int64_t kElementsAtOnce = 1 << 17;

// The beginning of a file; the weights follow at the next page.
struct Header {
  uint64_t magic, bytes, checksum;
};
constexpr size_t kHeaderBytes = 4096;
constexpr uint64_t kMagic = 0x31444b5041504b4c;  // "LKPAPKD1"
constexpr size_t kCheckedAtOnce = 16 << 20;

// Against disks that fail and files that were cut, not against people: eight sums side by side of all 64-bit words, faster than they can be read.
class Checksum {
 public:
  // `count`: a multiple of 64.
  void add(const uint8_t* data, size_t count) {
    for (size_t at = 0; at < count; at += 64) {
      uint64_t words[8];
      std::memcpy(words, data + at, 64);
      for (int i = 0; i < 8; i++) lanes_[i] = (std::rotl(lanes_[i], 29) ^ words[i]) * 0x9e3779b97f4a7c15u;
    }
  }
  uint64_t value() const {
    uint64_t sum = 0;
    for (const uint64_t lane : lanes_) sum = (std::rotl(sum, 29) ^ lane) * 0x9e3779b97f4a7c15u;
    return sum;
  }

 private:
  uint64_t lanes_[8] = {1, 2, 3, 4, 5, 6, 7, 8};
};

// Runs of whole tiles of `rows` rows, on `threads` threads: run(scratch of the thread's own, first row, rows).
template <typename Run>
void in_tiles(int64_t rows, int64_t in, int threads, const Run& run) {
  const int64_t tiles = std::max<int64_t>(1, kElementsAtOnce / (in * kLinearTile)), at_once = tiles * kLinearTile;
  std::atomic<int64_t> next = 0;
  const auto take = [&] {
    std::vector<float> scratch;
    for (int64_t row; (row = next.fetch_add(at_once)) < rows;) run(scratch, row, std::min(at_once, rows - row));
  };
  std::vector<std::thread> others;
  for (int64_t t = 1; t < std::min<int64_t>(threads, (rows + at_once - 1) / at_once); t++) others.emplace_back(take);
  take();
  for (auto& other : others) other.join();
}

}  // namespace

PackedWeights::~PackedWeights() {
  if (base_) munmap(base_, bytes_);
}

void PackedWeights::add(const LinearShape& shape) {
  offsets_.push_back(bytes_);
  list_.push_back({shape, nullptr});
  bytes_ += linear_bytes(shape);
}

void PackedWeights::reserve() {
  if (bytes_ == 0) return;
  void* p = mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (p == MAP_FAILED) throw std::runtime_error("cannot allocate " + std::to_string(bytes_) + " bytes for weights");
#ifdef MADV_HUGEPAGE
  madvise(p, bytes_, MADV_HUGEPAGE);
#endif
  base_ = static_cast<uint8_t*>(p);
  set_base(base_);
}

void PackedWeights::set_base(const uint8_t* base) {
  for (size_t i = 0; i < list_.size(); i++) list_[i].data = base + offsets_[i];
}

bool PackedWeights::map(const std::string& path, const std::function<void(float)>& progress) {
  try {
    MappedFile file(path);
    if (file.size() != kHeaderBytes + bytes_) return false;
    Header header;
    std::memcpy(&header, file.data(), sizeof header);
    if (header.magic != kMagic || header.bytes != bytes_) return false;
    // Reading all of it for the checksum also has it in memory when the first step begins.
    Checksum sum;
    for (size_t at = 0; at < bytes_; at += kCheckedAtOnce) {
      const size_t count = std::min(kCheckedAtOnce, bytes_ - at);
      file.expect(kHeaderBytes + at + count, kCheckedAtOnce);
      sum.add(file.data() + kHeaderBytes + at, count);
      progress(static_cast<float>(at + count) / static_cast<float>(bytes_));
    }
    if (sum.value() != header.checksum) return false;
    file_.emplace(std::move(file));
  } catch (const std::runtime_error&) {
    return false;  // there is none
  }
  set_base(file_->data() + kHeaderBytes);
  return true;
}

bool PackedWeights::keep(const std::string& path) const {
  std::string part = path + ".XXXXXX.part";
  const int fd = mkstemps(part.data(), 5);
  if (fd < 0) return false;
  const auto write_all = [&](const uint8_t* data, size_t count) {
    for (size_t at = 0; at < count;) {
      const ssize_t wrote = write(fd, data + at, std::min<size_t>(count - at, size_t{1} << 30));
      if (wrote < 0 && errno == EINTR) continue;
      if (wrote <= 0) return false;
      at += static_cast<size_t>(wrote);
    }
    return true;
  };
  Checksum sum;
  sum.add(base_, bytes_);
  std::vector<uint8_t> first(kHeaderBytes);
  const Header header{kMagic, bytes_, sum.value()};
  std::memcpy(first.data(), &header, sizeof header);
  const bool written = write_all(first.data(), first.size()) && write_all(base_, bytes_) && fsync(fd) == 0;
  const bool closed = close(fd) == 0;
  if (written && closed && rename(part.c_str(), path.c_str()) == 0) return true;
  unlink(part.c_str());
  return false;
}

void PackedWeights::pack(size_t i, int64_t first, const Matrix& rows, int threads) {
  const LinearShape& shape = list_.at(i).shape;
  in_tiles(rows.rows, shape.in, threads, [&](std::vector<float>& floats, int64_t row, int64_t count) {
    floats.resize(static_cast<size_t>(count * shape.in));
    convert_elements(rows.at(row, 0), rows.dtype, floats.data(), DType::f32, floats.size(), 1);
    pack_linear(shape, floats.data(), first + row, count, base_ + offsets_[i]);
  });
}

void PackedWeights::pack(size_t i, const StoredWeight& weight, int threads) {
  const LinearShape& shape = list_.at(i).shape;
  in_tiles(shape.out, shape.in, threads, [&](std::vector<float>&, int64_t row, int64_t count) { pack_stored(shape, weight, row, count, base_ + offsets_[i]); });
}

}  // namespace lorikeet
