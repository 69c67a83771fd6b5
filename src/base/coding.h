#pragma once

#include <bit>
#include <concepts>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>

namespace tifs {

template <std::unsigned_integral T>
constexpr T ByteSwap(T value) {
  if constexpr (sizeof(T) == 1) return value;
  if constexpr (sizeof(T) == 2) return __builtin_bswap16(value);
  if constexpr (sizeof(T) == 4) return __builtin_bswap32(value);
  if constexpr (sizeof(T) == 8) return __builtin_bswap64(value);
}

// Big-endian integers sort as bytes: keys. Little-endian ones are loads: values.
template <std::unsigned_integral T>
void StoreBigEndian(char* out, T value) {
  if constexpr (std::endian::native == std::endian::little) value = ByteSwap(value);
  std::memcpy(out, &value, sizeof(T));
}

template <std::unsigned_integral T>
T LoadBigEndian(const char* in) {
  T value;
  std::memcpy(&value, in, sizeof(T));
  return std::endian::native == std::endian::little ? ByteSwap(value) : value;
}

template <std::unsigned_integral T>
void StoreLittleEndian(char* out, T value) {
  if constexpr (std::endian::native == std::endian::big) value = ByteSwap(value);
  std::memcpy(out, &value, sizeof(T));
}

template <std::unsigned_integral T>
T LoadLittleEndian(const char* in) {
  T value;
  std::memcpy(&value, in, sizeof(T));
  return std::endian::native == std::endian::big ? ByteSwap(value) : value;
}

// Appends little-endian integers and counted bytes to a string that the caller keeps.
class Encoder {
 public:
  explicit Encoder(std::string& out) : out_(out) {}

  template <std::unsigned_integral T>
  void Fixed(T value) {
    char bytes[sizeof(T)];
    StoreLittleEndian(bytes, value);
    out_.append(bytes, sizeof(T));
  }
  void Raw(std::string_view bytes) { out_.append(bytes); }
  // A 32-bit count, then the bytes.
  void Counted(std::string_view bytes) {
    Fixed(static_cast<uint32_t>(bytes.size()));
    Raw(bytes);
  }

 private:
  std::string& out_;
};

// Reads what Encoder wrote from bytes that nobody has vouched for. A read past the end yields zero
// or nothing and makes ok() false for ever; no read allocates.
class Decoder {
 public:
  explicit Decoder(std::string_view in) : in_(in) {}

  template <std::unsigned_integral T>
  T Fixed() {
    if (in_.size() < sizeof(T)) {
      Fail();
      return 0;
    }
    T value = LoadLittleEndian<T>(in_.data());
    in_.remove_prefix(sizeof(T));
    return value;
  }
  std::string_view Raw(size_t size) {
    if (in_.size() < size) {
      Fail();
      return {};
    }
    std::string_view bytes = in_.substr(0, size);
    in_.remove_prefix(size);
    return bytes;
  }
  std::string_view Counted() { return Raw(Fixed<uint32_t>()); }
  std::string_view Rest() { return Raw(in_.size()); }

  size_t remaining() const { return in_.size(); }
  bool ok() const { return ok_; }
  // All read, nothing missing and nothing left over.
  bool done() const { return ok_ && in_.empty(); }

 private:
  void Fail() {
    ok_ = false;
    in_ = {};
  }

  std::string_view in_;
  bool ok_ = true;
};

// `bytes` with everything but printable ASCII as \xNN, and backslash and double quote escaped: safe
// to print in a log line, whatever a file is named.
std::string EscapeForLog(std::string_view bytes);

}  // namespace tifs
