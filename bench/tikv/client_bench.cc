// Drives a TiKV cluster by TiFS's client; go_client does the same by the community's. One work for
// some seconds; one line of JSON: operations, conflicts, seconds, cpu_seconds (of this process).
#include <fmt/format.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#include <atomic>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "base/random.h"
#include "kv/tikv/grpc_transport.h"
#include "kv/tikv/tikv_kv.h"

namespace tifs::kv::tikv {
namespace {

constexpr uint64_t kKeys = 1000;
constexpr uint32_t kKeyspace = 0xfff1;

[[noreturn]] void Fail(const std::string& what) {
  fprintf(stderr, "client_bench: %s\n", what.c_str());
  exit(1);
}

template <typename T>
T OrFail(Result<T> result) {
  if (!result) Fail(result.error().ToString());
  return *std::move(result);
}

std::string Key(uint64_t i) { return fmt::format("our{:06}", i); }

Status Put(Store& store, uint64_t i, const std::string& value) {
  auto transaction = TRY(store.Begin());
  TRY(transaction->Put(Key(i), value));
  return transaction->Commit();
}

Status Once(Store& store, const std::string& work, const std::string& value, Random& random) {
  const uint64_t i = random.Below(kKeys);
  if (work == "timestamp") {
    if (OrFail(store.Begin())->begin_timestamp() == 0) Fail("no timestamp");
    return {};
  }
  if (work == "get") {
    Result<std::optional<Value>> found = store.GetLatest(Key(i));
    if (!found) return std::move(found).error();
    if (!*found || (*found)->view().size() != value.size()) Fail("a value is not there");
    return {};
  }
  return Put(store, i, value);
}

double CpuSeconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& t) { return t.tv_sec + t.tv_usec / 1e6; };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

int Main(int argc, char** argv) {
  std::map<std::string, std::string> flags = {
      {"-pd", ""},       {"-work", "get"},         {"-threads", "1"},
      {"-seconds", "2"}, {"-value-bytes", "4096"}, {"-batch", "1"}};
  for (int i = 1; i < argc; i += 2) {
    const auto flag = flags.find(argv[i]);
    if (flag == flags.end() || i + 1 == argc) Fail(std::string("no such flag: ") + argv[i]);
    flag->second = argv[i + 1];
  }
  const std::string& work = flags["-work"];
  TikvOptions options;
  options.pd_addresses = {flags["-pd"]};
  options.keyspace = kKeyspace;
  options.one_phase = options.async_commit = work != "put_two_phases";
  auto store = OrFail(TikvKv::Open(
      options, MakeGrpcTransport({.batch_commands = flags["-batch"] == "1"}), SystemClock()));
  Random bytes(1);
  std::string value(std::stoul(flags["-value-bytes"]), '\0');
  for (char& byte : value) byte = static_cast<char>(bytes.Below(256));
  if (work == "get") {
    for (uint64_t i = 0; i < kKeys; ++i) {
      if (Status put = Put(*store, i, value); !put) Fail(put.error().ToString());
    }
  }
  for (int i = 0; i < 50; ++i) {
    if (Status done = Once(*store, work, value, bytes); !done) Fail(done.error().ToString());
  }

  std::atomic<uint64_t> operations{0};
  std::atomic<uint64_t> conflicts{0};
  const double cpu = CpuSeconds();
  const auto begun = SystemClock().Monotonic();
  const auto end =
      begun + std::chrono::nanoseconds(static_cast<int64_t>(std::stod(flags["-seconds"]) * 1e9));
  std::vector<std::thread> threads;
  for (int thread = 0; thread < std::stoi(flags["-threads"]); ++thread) {
    threads.emplace_back([&, thread] {
      Random random(thread + 1);
      while (SystemClock().Monotonic() < end) {
        const Status done = Once(*store, work, value, random);
        if (done) {
          ++operations;
        } else if (done.error().code() == ErrorCode::kConflict) {
          ++conflicts;
        } else {
          Fail(done.error().ToString());
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  const auto took = SystemClock().Monotonic() - begun;
  fmt::print("{{\"operations\":{},\"conflicts\":{},\"seconds\":{},\"cpu_seconds\":{}}}\n",
             operations.load(), conflicts.load(), std::chrono::duration<double>(took).count(),
             CpuSeconds() - cpu);
  return 0;
}

}  // namespace
}  // namespace tifs::kv::tikv

int main(int argc, char** argv) { return tifs::kv::tikv::Main(argc, argv); }
