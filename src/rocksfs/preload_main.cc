// All that libtifs_rocksdb.so adds to libtifs_volume.a: who preloads it need not call anything.
#include "rocksfs/registry.h"

namespace {
// RocksDB is a dependency of this object, so its own objects are made by now.
[[maybe_unused]] const int registered = tifs_register_volume_file_system();
}  // namespace
