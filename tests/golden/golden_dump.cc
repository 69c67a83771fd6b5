#include "tests/golden/golden_dump.h"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <optional>

namespace tifs::golden {
namespace {

// Shorter repetitions are written out.
constexpr size_t kMinRun = 24;

size_t RunLength(std::string_view bytes) {
  const size_t end = bytes.find_first_not_of(bytes.front());
  return end == bytes.npos ? bytes.size() : end;
}

std::string HexOf(char byte) {
  static constexpr char kDigits[] = "0123456789abcdef";
  const auto value = static_cast<uint8_t>(byte);
  return {kDigits[value >> 4], kDigits[value & 15]};
}

// Calls `visit(offset, bytes, is_run)` for long runs of one byte and for what lies between them.
template <typename Visit>
void ForEachPiece(std::string_view bytes, Visit visit) {
  size_t literal = 0;
  for (size_t at = 0; at < bytes.size();) {
    const size_t run = RunLength(bytes.substr(at));
    if (run >= kMinRun) {
      if (literal < at) visit(literal, bytes.substr(literal, at - literal), false);
      visit(at, bytes.substr(at, run), true);
      literal = at + run;
    }
    at += run;
  }
  if (literal < bytes.size()) visit(literal, bytes.substr(literal), false);
}

std::string PieceToText(std::string_view piece, bool is_run) {
  if (is_run) return "[" + HexOf(piece.front()) + "*" + std::to_string(piece.size()) + "]";
  std::string text;
  for (char byte : piece) text += HexOf(byte);
  return text;
}

std::string BytesToText(std::string_view bytes) {
  if (bytes.empty()) return "-";
  std::string text;
  ForEachPiece(bytes, [&](size_t, std::string_view piece, bool is_run) {
    text += PieceToText(piece, is_run);
  });
  return text;
}

// Takes digits off the front of `text`.
std::optional<uint64_t> TakeNumber(std::string_view& text, int base, size_t max_digits) {
  uint64_t number = 0;
  const char* end = text.data() + std::min(max_digits, text.size());
  const auto [after, error] = std::from_chars(text.data(), end, number, base);
  if (error != std::errc()) return std::nullopt;
  text.remove_prefix(static_cast<size_t>(after - text.data()));
  return number;
}

std::optional<std::string> BytesFromText(std::string_view text) {
  std::string bytes;
  if (text == "-") return bytes;
  while (!text.empty()) {
    const bool is_run = text.front() == '[';
    if (is_run) text.remove_prefix(1);
    const size_t before = text.size();
    const auto byte = TakeNumber(text, 16, 2);
    if (!byte || before - text.size() != 2) return std::nullopt;
    uint64_t count = 1;
    if (is_run) {
      if (!text.starts_with('*')) return std::nullopt;
      text.remove_prefix(1);
      const auto number = TakeNumber(text, 10, 9);
      if (!number || !text.starts_with(']')) return std::nullopt;
      text.remove_prefix(1);
      count = *number;
    }
    bytes.append(count, static_cast<char>(*byte));
  }
  return bytes;
}

Status ParseLine(std::string_view line, Dump& dump) {
  const auto bad = [] { return Error(ErrorCode::kInvalid, "golden dump"); };
  const size_t space = line.find(' ');
  if (space == line.npos) return bad();
  std::string_view head = line.substr(0, space);
  std::string_view rest = line.substr(space + 1);
  if (head == "blocks") {
    const auto size = TakeNumber(rest, 10, 9);
    if (!size || !rest.empty()) return bad();
    dump.blocks.assign(*size, '\0');
    return {};
  }
  const auto bytes = BytesFromText(rest);
  if (!bytes) return bad();
  if (head.starts_with('@')) {
    head.remove_prefix(1);
    const auto offset = TakeNumber(head, 10, 9);
    if (!offset || !head.empty() || *offset + bytes->size() > dump.blocks.size()) return bad();
    dump.blocks.replace(*offset, bytes->size(), *bytes);
    return {};
  }
  const auto key = BytesFromText(head);
  if (!key) return bad();
  dump.pairs.emplace_back(*key, *bytes);
  return {};
}

}  // namespace

std::string Dump::ToText() const {
  std::string text;
  for (const auto& [key, value] : pairs) {
    text += BytesToText(key) + " " + BytesToText(value) + "\n";
  }
  text += "blocks " + std::to_string(blocks.size()) + "\n";
  ForEachPiece(blocks, [&](size_t offset, std::string_view piece, bool is_run) {
    if (is_run && piece.front() == '\0') return;
    text += "@" + std::to_string(offset) + " " + PieceToText(piece, is_run) + "\n";
  });
  return text;
}

Result<Dump> Dump::FromText(std::string_view text) {
  Dump dump;
  for (size_t number = 1; !text.empty(); ++number) {
    const size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.empty() || line.starts_with('#')) continue;
    if (!ParseLine(line, dump)) {
      return Error(ErrorCode::kInvalid, "golden dump", "line " + std::to_string(number));
    }
  }
  return dump;
}

Result<Dump> Dump::Of(kv::Store& store, const fs::MemExtentDevice& device) {
  Dump dump;
  const auto txn = TRY(store.Begin());
  TRY(txn->Scan({}, 0, kv::Direction::kForward, [&](std::string_view key, std::string_view value) {
    dump.pairs.emplace_back(key, value);
    return true;
  }));
  dump.blocks = device.bytes();
  return dump;
}

Status Dump::Restore(kv::Store& store, fs::MemExtentDevice& device) const {
  const auto txn = TRY(store.Begin());
  for (const auto& [key, value] : pairs) TRY(txn->Put(key, value));
  TRY(txn->Commit());
  return device.Write(0, blocks);
}

}  // namespace tifs::golden
