// A read-only memory-mapped file: weights are used where they lie.
#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>

namespace lorikeet {

class MappedFile {
 public:
  // Throws std::runtime_error naming the file.
  explicit MappedFile(const std::string& path);
  MappedFile(MappedFile&& other) noexcept;
  MappedFile(const MappedFile&) = delete;
  ~MappedFile();

  const uint8_t* data() const { return data_; }
  size_t size() const { return size_; }
  const std::string& path() const { return path_; }
  // Reads every page once, so that later work does not wait for the disk; `done` gets the bytes of each part read.
  void prefetch(const std::function<void(size_t)>& done) const;
  // Has the disk begin to read a part, and returns.
  void expect(size_t offset, size_t length) const;
  // Gives the resident pages, or those of a part, back to the page cache; the next access reads them again.
  void release_pages() const { release_pages(0, size_); }
  void release_pages(size_t offset, size_t length) const;

 private:
  void advise(size_t offset, size_t length, int advice) const;

  std::string path_;
  const uint8_t* data_ = nullptr;
  size_t size_ = 0;
};

}  // namespace lorikeet
