// What RocksDB's build compiles of us: a reference that has the linker take the registration, and
// with it the rest, out of libtifs_volume.a. In the language of RocksDB's own sources.
#include <string>

namespace rocksdb {
class ObjectLibrary;
}

extern "C" int tifs_register_rocksdb_plugin(rocksdb::ObjectLibrary& library,
                                            const std::string& argument);

extern "C" {
extern int (*const tifs_rocksdb_plugin)(rocksdb::ObjectLibrary&, const std::string&);
int (*const tifs_rocksdb_plugin)(rocksdb::ObjectLibrary&,
                                 const std::string&) = tifs_register_rocksdb_plugin;
}
