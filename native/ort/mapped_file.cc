#include "mapped_file.h"
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <algorithm>
#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <utility>

namespace lorikeet {

MappedFile::MappedFile(const std::string& path) : path_(path) {
  auto fail = [&] { throw std::runtime_error("cannot map " + path + ": " + std::strerror(errno)); };
  int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) fail();
  struct stat info {};
  if (fstat(fd, &info) != 0) {
    close(fd);
    fail();
  }
  size_ = static_cast<size_t>(info.st_size);
  void* p = size_ ? mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, fd, 0) : nullptr;
  close(fd);
  if (p == MAP_FAILED) fail();
  data_ = static_cast<const uint8_t*>(p);
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : path_(std::move(other.path_)), data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

MappedFile::~MappedFile() {
  if (data_) munmap(const_cast<uint8_t*>(data_), size_);
}

void MappedFile::prefetch(const std::function<void(size_t)>& done) const {
  constexpr size_t part = 16 << 20, page = 4096;
  for (size_t at = 0; at < size_; at += part) {
    size_t end = std::min(size_, at + part);
    madvise(const_cast<uint8_t*>(data_) + at, end - at, MADV_WILLNEED);
    for (size_t i = at; i < end; i += page) {
      volatile uint8_t touched = data_[i];
      (void)touched;
    }
    done(end - at);
  }
}

void MappedFile::expect(size_t offset, size_t length) const { advise(offset, length, MADV_WILLNEED); }

void MappedFile::release_pages(size_t offset, size_t length) const { advise(offset, length, MADV_DONTNEED); }

void MappedFile::advise(size_t offset, size_t length, int advice) const {
  const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE)), begin = offset / page * page, end = std::min(size_, offset + length);
  if (begin < end) madvise(const_cast<uint8_t*>(data_) + begin, end - begin, advice);
}

}  // namespace lorikeet
