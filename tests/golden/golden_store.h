#pragma once

#include <memory>

#include "base/clock.h"
#include "base/result.h"
#include "fs/data/mem_extent_device.h"
#include "fs/file_system.h"
#include "kv/mem_kv.h"
#include "tests/golden/golden_dump.h"

namespace tifs::golden {

// Where file blocks lie.
enum class Blocks { kInValues, kInDataFile };

inline constexpr uint32_t kBlockBytes = 4096;

// A small file system with one of everything that the format can hold, written with a fixed UUID,
// hash seed and clock, so that each run gives the same bytes. It is as a kill leaves it: a file
// that was open after its last unlink, blocks that wait to be cleared, a usage count reserved
// ahead.
Result<Dump> MakeGoldenStore(Blocks blocks);

// Opens what is in `store` and `device`, without background work. All outlive the answer.
Result<std::unique_ptr<fs::FileSystem>> OpenGolden(Blocks blocks, kv::Store& store,
                                                   fs::MemExtentDevice& device, Clock& clock);

}  // namespace tifs::golden
