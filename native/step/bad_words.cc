#include "bad_words.h"
#include <stdexcept>
#include <string>

namespace lorikeet {

std::vector<int32_t> bad_words_of(const std::vector<int32_t>& records, int64_t vocab) {
  const auto refuse = [](const std::string& what, int64_t value, const std::string& wanted) {
    throw std::invalid_argument("badWords: " + what + " is " + std::to_string(value) + "; it must be " + wanted);
  };
  std::vector<int32_t> starts, tokens;
  for (size_t at = 0; at < records.size();) {
    const int64_t length = records[at++], left = static_cast<int64_t>(records.size() - at);
    if (length < 1 || length > left) refuse("a word's length", length, "1 to " + std::to_string(left));
    starts.push_back(static_cast<int32_t>(tokens.size()));
    for (const size_t end = at + static_cast<size_t>(length); at < end; at++) {
      if (records[at] < 0 || records[at] >= vocab) refuse("a token", records[at], "0 to " + std::to_string(vocab - 1));
      tokens.push_back(records[at]);
    }
  }
  if (starts.empty()) return {};
  starts.push_back(static_cast<int32_t>(tokens.size()));
  for (int32_t& start : starts) start += static_cast<int32_t>(starts.size());
  starts.insert(starts.end(), tokens.begin(), tokens.end());
  return starts;
}

}  // namespace lorikeet
