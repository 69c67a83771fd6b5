#include "fs/data/block_value.h"

#include "base/coding.h"

namespace tifs::fs {
namespace {

constexpr uint8_t kVersion = 1;

}  // namespace

void BlockValue::AppendHead(std::string& out, BlockEncoding encoding, uint32_t epoch) {
  Encoder encoder(out);
  encoder.Fixed(kVersion);
  encoder.Fixed(static_cast<uint8_t>(encoding));
  encoder.Fixed(epoch);
}

Result<BlockValue> BlockValue::Decode(std::string_view value) {
  Decoder decoder(value);
  const auto version = decoder.Fixed<uint8_t>();
  const auto encoding = decoder.Fixed<uint8_t>();
  BlockValue block;
  block.epoch = decoder.Fixed<uint32_t>();
  if (!decoder.ok() || version != kVersion) return Error(ErrorCode::kCorrupt, "block version");
  if (encoding > static_cast<uint8_t>(BlockEncoding::kExtent)) {
    return Error(ErrorCode::kCorrupt, "block encoding");
  }
  block.encoding = static_cast<BlockEncoding>(encoding);
  block.payload = decoder.Rest();
  return block;
}

void ExtentReference::Append(std::string& out) const {
  Encoder encoder(out);
  encoder.Fixed(slot);
  encoder.Fixed(length_bytes);
}

Result<ExtentReference> ExtentReference::Decode(const BlockValue& block) {
  if (block.encoding != BlockEncoding::kExtent || block.payload.size() != kBytes) {
    return Error(ErrorCode::kCorrupt, "extent");
  }
  const ExtentReference extent = FromPayload(block.payload);
  if (extent.slot > kMaxSlot) return Error(ErrorCode::kCorrupt, "extent");
  return extent;
}

ExtentReference ExtentReference::FromPayload(std::string_view payload) {
  Decoder decoder(payload);
  const auto slot = decoder.Fixed<uint64_t>();
  return {slot, decoder.Fixed<uint32_t>()};
}

uint64_t SlotLimit(uint64_t data_file_bytes, uint32_t block_size_bytes) {
  constexpr uint64_t kMaxLostBytes = uint64_t{1} << 40;
  return (data_file_bytes + kMaxLostBytes) / block_size_bytes;
}

Result<uint32_t> BlockLength(const BlockValue& block) {
  if (block.encoding == BlockEncoding::kRaw) return static_cast<uint32_t>(block.payload.size());
  return TRY(ExtentReference::Decode(block)).length_bytes;
}

}  // namespace tifs::fs
