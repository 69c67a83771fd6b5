#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <utility>

#include "kv/rocks/rocks_kv.h"

namespace tifs::kv {

// For tests: a directory with a store in it, gone at the end.
class RocksTestDirectory : public ::testing::Test {
 protected:
  RocksTestDirectory() {
    char path[] = "/tmp/rocks_kv_test.XXXXXX";
    EXPECT_NE(mkdtemp(path), nullptr);
    directory_ = path;
    options_.path = directory_ + "/store";
    options_.create = true;
    options_.memory_bytes = 16 << 20;
    // What is written out or synced, the test does.
    options_.wal = {.flush_interval = std::chrono::hours(1),
                    .sync_interval = std::chrono::hours(1)};
  }
  ~RocksTestDirectory() override {
    store_.reset();
    std::filesystem::remove_all(directory_);
  }

  void Open() {
    store_.reset();
    Result<std::unique_ptr<RocksKv>> store = RocksKv::Open(options_);
    ASSERT_TRUE(store) << store.error().ToString();
    store_ = *std::move(store);
  }
  ErrorCode OpenError(const RocksOptions& options) {
    Result<std::unique_ptr<RocksKv>> store = RocksKv::Open(options);
    EXPECT_FALSE(store);
    return store ? ErrorCode::kInvalid : store.error().code();
  }
  // What is on the disk now, as after kill -9, becomes the store.
  void OpenCopyAfterCrash() {
    const std::string copy = directory_ + "/copy" + std::to_string(++copies_);
    // RocksDB may be at work meanwhile: once more, if it was.
    std::string before;
    do {
      before = Names();
      std::error_code vanished;
      std::filesystem::remove_all(copy);
      std::filesystem::copy(options_.path, copy, vanished);
    } while (Names() != before);
    std::unique_ptr<RocksKv> crashed = std::move(store_);
    options_.path = copy;
    Open();
  }

  Status Put(std::string_view key, std::string_view value) {
    auto transaction = TRY(store_->Begin());
    TRY(transaction->Put(key, value));
    return transaction->Commit();
  }
  // "" if there is none.
  std::string Get(std::string_view key) {
    Result<std::optional<Value>> value = store_->GetLatest(key);
    EXPECT_TRUE(value) << value.error().ToString();
    return value && *value ? std::string((*value)->view()) : "";
  }

  // Of all files; and the length of the one that grows with each new table.
  std::string Names() {
    std::set<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(options_.path)) {
      std::string name = entry.path().filename();
      std::error_code vanished;
      if (name.starts_with("MANIFEST")) {
        name += " " + std::to_string(std::filesystem::file_size(entry.path(), vanished));
      }
      names.insert(name);
    }
    std::string joined;
    for (const std::string& name : names) joined += name + "\n";
    return joined;
  }

  int copies_ = 0;
  std::string directory_;
  RocksOptions options_;
  std::unique_ptr<RocksKv> store_;
};

}  // namespace tifs::kv
