#pragma once

#include <memory>
#include <string>

namespace rocksdb {
class ObjectLibrary;
}

namespace tifs::rocksfs {

class OpenVolumes;

// Makes `library` know file systems by tifs-volume:// URIs (rocksfs/volume_uri.h), over the
// machine's own as base. Those that it makes share `volumes`, so that two URIs of one device are
// one volume. Returns how many factories it added: none if there is one already.
int RegisterVolumeFileSystem(rocksdb::ObjectLibrary& library, std::shared_ptr<OpenVolumes> volumes);

}  // namespace tifs::rocksfs

// The same for RocksDB's default library, for programs that link libtifs_volume.a. To be called
// once before the first URI is used, and from any thread; again does nothing.
extern "C" int tifs_register_volume_file_system();

// The form that RocksDB's build calls for its plugins.
extern "C" int tifs_register_rocksdb_plugin(rocksdb::ObjectLibrary& library,
                                            const std::string& argument);
