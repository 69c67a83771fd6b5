#include "kv/rocks/tuning.h"

#include <rocksdb/cache.h>
#include <rocksdb/convenience.h>
#include <rocksdb/filter_policy.h>
#include <rocksdb/table.h>
#include <rocksdb/utilities/table_properties_collectors.h>
#include <rocksdb/write_buffer_manager.h>

#include <algorithm>
#include <vector>

namespace tifs::kv {
namespace {

constexpr size_t kMiB = size_t{1} << 20;

rocksdb::BlockBasedTableOptions TableOptions(std::shared_ptr<rocksdb::Cache> cache) {
  rocksdb::BlockBasedTableOptions table;
  table.format_version = 5;
  table.block_cache = std::move(cache);
  table.block_size = 8 << 10;
  table.filter_policy.reset(rocksdb::NewBloomFilterPolicy(10));
  table.optimize_filters_for_memory = true;
  // Index and filters count against the budget, in partitions, so that a store much larger than
  // memory needs only those it uses; what every read passes through stays.
  table.cache_index_and_filter_blocks = true;
  table.cache_index_and_filter_blocks_with_high_priority = true;
  table.index_type = rocksdb::BlockBasedTableOptions::kTwoLevelIndexSearch;
  table.partition_filters = true;
  table.metadata_cache_options.top_level_index_pinning = rocksdb::PinningTier::kAll;
  table.metadata_cache_options.partition_pinning = rocksdb::PinningTier::kFlushedAndSimilar;
  table.data_block_index_type = rocksdb::BlockBasedTableOptions::kDataBlockBinaryAndHash;
  return table;
}

void SetCompression(rocksdb::Options& options) {
  const std::vector<rocksdb::CompressionType> supported = rocksdb::GetSupportedCompressions();
  const bool has_lz4 = std::ranges::count(supported, rocksdb::kLZ4Compression) > 0;
  options.compression = has_lz4 ? rocksdb::kLZ4Compression : rocksdb::kNoCompression;
  // What is young is rewritten or deleted soon; a flush should be quick.
  options.compression_per_level.assign(options.num_levels, options.compression);
  options.compression_per_level[0] = rocksdb::kNoCompression;
  options.compression_per_level[1] = rocksdb::kNoCompression;
}

void SetMemory(rocksdb::Options& options, size_t memory_bytes) {
  options.write_buffer_size = std::clamp(memory_bytes / 8, 2 * kMiB, 64 * kMiB);
  options.max_write_buffer_number = 4;
  // Reads of older keys, and of keys that are not there, need not search the memtables.
  options.memtable_prefix_bloom_size_ratio = 0.02;
  options.memtable_whole_key_filtering = true;
  // One budget: memtables are charged to the cache, which gives up blocks for them.
  const auto cache = rocksdb::NewLRUCache(memory_bytes, /*num_shard_bits=*/4,
                                          /*strict_capacity_limit=*/false,
                                          /*high_pri_pool_ratio=*/0.3);
  options.write_buffer_manager =
      std::make_shared<rocksdb::WriteBufferManager>(memory_bytes / 2, cache);
  options.table_factory.reset(rocksdb::NewBlockBasedTableFactory(TableOptions(cache)));
  options.max_total_wal_size = 4 * options.write_buffer_size;
  options.max_open_files = 512;
}

}  // namespace

rocksdb::Options TunedOptions(size_t memory_bytes) {
  rocksdb::Options options;
  SetMemory(options, memory_bytes);
  SetCompression(options);

  options.manual_wal_flush = true;
  // An incomplete tail is what a crash leaves; nothing after the first gap is taken.
  options.wal_recovery_mode = rocksdb::WALRecoveryMode::kPointInTimeRecovery;
  // One writer at a time: ours (commits are serialised already).
  options.allow_concurrent_memtable_write = false;
  options.enable_write_thread_adaptive_yield = false;

  options.level_compaction_dynamic_level_bytes = true;
  options.target_file_size_base = std::max(options.write_buffer_size, 8 * kMiB);
  options.max_bytes_for_level_base = 4 * options.target_file_size_base;
  options.max_background_jobs = 2;
  options.max_subcompactions = 1;
  options.bytes_per_sync = kMiB;
  // Ranges that were cleared (a removed tree, a truncated file) are compacted away soon, so that
  // scans do not wade through tombstones.
  options.table_properties_collector_factories.push_back(
      rocksdb::NewCompactOnDeletionCollectorFactory(/*sliding_window_size=*/4096,
                                                    /*deletion_trigger=*/2048));

  // Nothing periodic: an idle store does nothing.
  options.stats_dump_period_sec = 0;
  options.stats_persist_period_sec = 0;
  options.recycle_log_file_num = 0;
  return options;
}

}  // namespace tifs::kv
