# Read by RocksDB's build: README.md.
tifs_SOURCES = plugin.cc
tifs_FUNC = tifs_register_rocksdb_plugin
tifs_LDFLAGS = -L$(TIFS_BUILD)/lib -ltifs_volume -luring -lspdlog -lfmt
