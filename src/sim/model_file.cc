#include "sim/model_file.h"

#include <algorithm>

namespace tifs::sim {

std::string ModelFile::Read(uint64_t offset_bytes, uint64_t length_bytes) const {
  if (offset_bytes >= size_bytes_) return {};
  std::string out(std::min(length_bytes, size_bytes_ - offset_bytes), '\0');
  const uint64_t end = offset_bytes + out.size();
  for (auto page = pages_.lower_bound(offset_bytes / kPageBytes);
       page != pages_.end() && page->first * kPageBytes < end; ++page) {
    const uint64_t page_begin = page->first * kPageBytes;
    const uint64_t from = std::max(offset_bytes, page_begin);
    const uint64_t to = std::min(end, page_begin + kPageBytes);
    page->second.copy(out.data() + (from - offset_bytes), to - from, from - page_begin);
  }
  return out;
}

void ModelFile::Write(uint64_t offset_bytes, std::string_view data) {
  for (size_t done = 0; done < data.size();) {
    const uint64_t at = offset_bytes + done;
    const uint64_t in_page = at % kPageBytes;
    const size_t count = std::min<uint64_t>(kPageBytes - in_page, data.size() - done);
    std::string& page = pages_[at / kPageBytes];
    page.resize(kPageBytes);
    page.replace(in_page, count, data.substr(done, count));
    touched_pages_.insert(at / kPageBytes);
    data_blocks_.insert(at / block_size_bytes_);
    done += count;
  }
  if (!data.empty()) size_bytes_ = std::max(size_bytes_, offset_bytes + data.size());
}

void ModelFile::Resize(uint64_t size_bytes) {
  if (size_bytes < size_bytes_) {
    Zero(size_bytes, size_bytes_ - size_bytes, false);
    const uint64_t blocks = size_bytes / block_size_bytes_ + (size_bytes % block_size_bytes_ != 0);
    data_blocks_.erase(data_blocks_.lower_bound(blocks), data_blocks_.end());
  }
  size_bytes_ = size_bytes;
}

void ModelFile::Zero(uint64_t offset_bytes, uint64_t length_bytes, bool release) {
  const uint64_t end = offset_bytes + length_bytes;
  for (auto page = pages_.lower_bound(offset_bytes / kPageBytes);
       page != pages_.end() && page->first * kPageBytes < end; ++page) {
    const uint64_t page_begin = page->first * kPageBytes;
    const uint64_t from = std::max(offset_bytes, page_begin);
    const uint64_t to = std::min(end, page_begin + kPageBytes);
    page->second.replace(from - page_begin, to - from, to - from, '\0');
  }
  if (!release) return;
  const uint64_t first_whole =
      offset_bytes / block_size_bytes_ + (offset_bytes % block_size_bytes_ != 0);
  // The file's last block counts as whole where the range covers all of it that there is.
  const uint64_t past_whole = end >= size_bytes_ ? UINT64_MAX : end / block_size_bytes_;
  if (first_whole >= past_whole) return;
  data_blocks_.erase(data_blocks_.lower_bound(first_whole), data_blocks_.lower_bound(past_whole));
}

std::optional<uint64_t> ModelFile::NextNonZero(uint64_t offset_bytes) const {
  for (auto page = pages_.lower_bound(offset_bytes / kPageBytes); page != pages_.end(); ++page) {
    const uint64_t page_begin = page->first * kPageBytes;
    const uint64_t skip = offset_bytes > page_begin ? offset_bytes - page_begin : 0;
    const size_t found = page->second.find_first_not_of('\0', skip);
    if (found != std::string::npos) return page_begin + found;
  }
  return std::nullopt;
}

bool ModelFile::MayBeData(uint64_t offset_bytes) const {
  return data_blocks_.contains(offset_bytes / block_size_bytes_);
}

std::optional<uint64_t> ModelFile::NextMaybeData(uint64_t offset_bytes) const {
  const auto block = data_blocks_.lower_bound(offset_bytes / block_size_bytes_);
  if (block == data_blocks_.end()) return std::nullopt;
  return std::max(offset_bytes, *block * block_size_bytes_);
}

uint64_t ModelFile::NextHole(uint64_t offset_bytes) const {
  while (offset_bytes < size_bytes_ && MayBeData(offset_bytes)) {
    offset_bytes = (offset_bytes / block_size_bytes_ + 1) * block_size_bytes_;
  }
  return std::min(offset_bytes, size_bytes_);
}

std::vector<std::pair<uint64_t, uint64_t>> ModelFile::TouchedRanges() const {
  std::vector<std::pair<uint64_t, uint64_t>> ranges;
  for (const uint64_t page : touched_pages_) {
    const uint64_t begin = page * kPageBytes;
    if (begin >= size_bytes_) break;
    const uint64_t length = std::min(kPageBytes, size_bytes_ - begin);
    if (!ranges.empty() && ranges.back().first + ranges.back().second == begin) {
      ranges.back().second += length;
    } else {
      ranges.emplace_back(begin, length);
    }
  }
  return ranges;
}

}  // namespace tifs::sim
