#include "block/device_name.h"

#include <fmt/format.h>

#include "base/coding.h"
#include "base/parse_size.h"

namespace tifs::block {
namespace {

Error BadName(std::string_view text, std::string_view why) {
  return Error(ErrorCode::kInvalid, "device", fmt::format("'{}': {}", EscapeForLog(text), why));
}

Result<uint64_t> SizeOfMemory(std::string_view text, std::string_view size) {
  const Result<uint64_t> bytes = ParseSize(size);
  if (bytes) return *bytes;
  return BadName(text, fmt::format("{}; write a size such as mem:64MiB", bytes.error().detail()));
}

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

}  // namespace

Result<DeviceName> ParseDeviceName(std::string_view text) {
  DeviceName name{.text = std::string(text)};
  if (text.find('\0') != std::string_view::npos) return BadName(text, "a NUL in the name");
  if (text.starts_with("/dev/") && text.size() > 5) {
    name.kind = DeviceKind::kBlock;
    name.path = text;
    return name;
  }
  if (text.starts_with("file:")) {
    name.kind = DeviceKind::kFile;
    name.path = text.substr(5);
    if (name.path.starts_with("///")) name.path.erase(0, 2);  // file:///x, as a URI has it
    if (!name.path.starts_with('/') || name.path.starts_with("//")) {
      return BadName(text, "write file:/absolute/path");
    }
    return name;
  }
  if (text.starts_with("mem:")) {
    name.kind = DeviceKind::kMemory;
    name.size_bytes = TRY(SizeOfMemory(text, text.substr(4)));
    return name;
  }
  if (text.starts_with("spdk:")) {
    name.kind = DeviceKind::kSpdk;
    name.parameters = text.substr(5);
    return name;
  }
  if (text.starts_with('/')) {
    return BadName(text, fmt::format("not below /dev; if it is a file as a disk, write file:{}",
                                     EscapeForLog(text)));
  }
  return BadName(text, "not a device; write /dev/…, file:/absolute/path or mem:SIZE");
}

std::string EncodeDeviceParameter(std::string_view device) {
  std::string encoded;
  for (char c : device) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte <= ' ' || byte == 0x7f || std::string_view("&?#%").find(c) != std::string_view::npos) {
      encoded += fmt::format("%{:02X}", byte);
    } else {
      encoded.push_back(c);
    }
  }
  return encoded;
}

Result<std::string> DecodeDeviceParameter(std::string_view parameter) {
  std::string decoded;
  for (size_t i = 0; i < parameter.size(); ++i) {
    char c = parameter[i];
    if (c == '%') {
      const int high = i + 2 < parameter.size() ? HexDigit(parameter[i + 1]) : -1;
      const int low = i + 2 < parameter.size() ? HexDigit(parameter[i + 2]) : -1;
      if (high < 0 || low < 0) {
        return BadName(parameter, "a '%' without two hexadecimal digits; a percent sign is '%25'");
      }
      c = static_cast<char>(high * 16 + low);
      i += 2;
    }
    if (c == '\0') return BadName(parameter, "a NUL in the name");
    decoded.push_back(c);
  }
  return decoded;
}

}  // namespace tifs::block
