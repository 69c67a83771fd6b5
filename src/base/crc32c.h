#pragma once

#include <cstdint>
#include <string_view>

namespace tifs {

// CRC-32C (Castagnoli; RFC 3720, appendix B.4) of `bytes`, or of what gave `crc` and then `bytes`.
// Finds every error burst of up to 32 bits; no protection against forgery. By the processor's
// instruction where there is one, else by tables.
uint32_t Crc32c(std::string_view bytes, uint32_t crc = 0);

// The same without the instruction, for tests.
uint32_t Crc32cByTables(std::string_view bytes, uint32_t crc = 0);

}  // namespace tifs
