#pragma once
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <mutex>

namespace hollow {

// A line in the file that HOLLOW_LOG names.
__attribute__((format(printf, 1, 2))) inline void log(const char* format, ...) {
  static std::FILE* const file = std::getenv("HOLLOW_LOG") ? std::fopen(std::getenv("HOLLOW_LOG"), "a") : nullptr;
  if (!file) return;
  static std::mutex mutex;
  const std::lock_guard guard(mutex);
  va_list arguments;
  va_start(arguments, format);
  std::vfprintf(file, format, arguments);
  va_end(arguments);
  std::fputc('\n', file);
  std::fflush(file);
}

}  // namespace hollow
