#include "cli/metrics_server.h"

#include <fmt/format.h>
#include <netdb.h>
#include <prometheus/collectable.h>
#include <prometheus/exposer.h>
#include <prometheus/metric_family.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <exception>
#include <utility>
#include <vector>

#include "cli/mount_options.h"
#include "cli/output.h"
#include "cli/volume_io.h"

namespace tifs::cli {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;

constexpr double kSecondsPerNs = 1e-9;

// Reads the counters when it is asked, and keeps none of its own.
class Collector : public prometheus::Collectable {
 public:
  Collector(fs::FileSystem& file_system, ClaimedStore& store)
      : file_system_(file_system), store_(store) {}

  std::vector<MetricFamily> Collect() const override {
    std::vector<MetricFamily> families;
    AddOperations(families);
    const fs::FileSystemMetrics& metrics = file_system_.metrics();
    AddCounter(families, "read_bytes_total", "Bytes read from files", metrics.read_bytes.value());
    AddCounter(families, "written_bytes_total", "Bytes written to files",
               metrics.written_bytes.value());
    AddCounter(families, "reclaimed_inodes_total", "Unlinked inodes reclaimed",
               metrics.reclaimed_inodes.value());
    AddCounter(families, "cleared_blocks_total", "Blocks cleared in the background",
               metrics.cleared_blocks.value());
    AddCounter(families, "corrupt_values_total", "Corrupt values met",
               metrics.corrupt_values.value());
    const kv::TransactionMetrics& transactions = file_system_.transaction_metrics();
    AddCounter(families, "transactions_started_total", "Transactions begun",
               transactions.started.value());
    AddCounter(families, "transactions_committed_total", "Transactions committed",
               transactions.committed.value());
    AddCounter(families, "transaction_conflicts_total", "Transactions run again after a conflict",
               transactions.conflicts.value());
    AddUsage(families);
    if (const auto io = store_.Io()) AddVolumeIo(families, *io);
    for (const auto& [name, value] : store_.Figures()) {
      AddGauge(families, "store_" + name, "A figure of the store below",
               static_cast<double>(value));
    }
    return families;
  }

 private:
  static MetricFamily Family(std::string_view name, std::string_view help, MetricType type) {
    MetricFamily family;
    family.name = fmt::format("tifs_{}", name);
    family.help = help;
    family.type = type;
    return family;
  }

  static void AddCounter(std::vector<MetricFamily>& families, std::string_view name,
                         std::string_view help, uint64_t value) {
    MetricFamily family = Family(name, help, MetricType::Counter);
    family.metric.emplace_back().counter.value = static_cast<double>(value);
    families.push_back(std::move(family));
  }

  static void AddGauge(std::vector<MetricFamily>& families, std::string_view name,
                       std::string_view help, double value) {
    MetricFamily family = Family(name, help, MetricType::Gauge);
    family.metric.emplace_back().gauge.value = value;
    families.push_back(std::move(family));
  }

  void AddOperations(std::vector<MetricFamily>& families) const {
    MetricFamily latencies =
        Family("operation_seconds", "Latency of operations", MetricType::Summary);
    MetricFamily errors =
        Family("operation_errors_total", "Operations that failed", MetricType::Counter);
    const auto& operations = file_system_.metrics().ops;
    for (size_t i = 0; i < operations.size(); ++i) {
      const std::string name(fs::OpName(static_cast<fs::Op>(i)));
      const LatencyHistogram& latency = operations[i].latency;
      ClientMetric& summary = latencies.metric.emplace_back();
      summary.label.push_back({"operation", name});
      summary.summary.sample_count = latency.count();
      summary.summary.sample_sum = static_cast<double>(latency.sum_ns()) * kSecondsPerNs;
      for (double quantile : {0.5, 0.9, 0.99, 0.999}) {
        summary.summary.quantile.push_back(
            {quantile, static_cast<double>(latency.QuantileNs(quantile)) * kSecondsPerNs});
      }
      ClientMetric& count = errors.metric.emplace_back();
      count.label.push_back({"operation", name});
      count.counter.value = static_cast<double>(operations[i].errors.value());
    }
    families.push_back(std::move(latencies));
    families.push_back(std::move(errors));
  }

  void AddUsage(std::vector<MetricFamily>& families) const {
    const Result<fs::FileSystemUsage> usage = file_system_.Statfs();
    if (!usage) return;
    const auto bytes = [&usage](uint64_t blocks) {
      return static_cast<double>(blocks) * static_cast<double>(usage->block_size_bytes);
    };
    AddGauge(families, "total_bytes", "Size of the file system", bytes(usage->total_blocks));
    AddGauge(families, "available_bytes", "Free space", bytes(usage->available_blocks));
    AddGauge(families, "total_inodes", "Most inodes", static_cast<double>(usage->total_inodes));
    AddGauge(families, "free_inodes", "Free inodes", static_cast<double>(usage->free_inodes));
  }

  static void AddVolumeIo(std::vector<MetricFamily>& families, const VolumeIo& io) {
    AddTransfers(families, io);
    MetricFamily waits =
        Family("volume_waits_total", "Background transfers held back", MetricType::Counter);
    MetricFamily waited =
        Family("volume_waited_seconds_total", "How long background transfers were held back",
               MetricType::Counter);
    for (size_t i = 1; i < block::kIoClasses; ++i) {
      const ClientMetric::Label label = {
          "class", std::string(block::IoClassName(static_cast<block::IoClass>(i)))};
      const block::IoSchedulerCounts::Class& one = io.counts.classes[i];
      AddCount(waits, {label}, static_cast<double>(one.waits));
      AddCount(waited, {label}, static_cast<double>(one.waited_ns) * kSecondsPerNs);
    }
    families.push_back(std::move(waits));
    families.push_back(std::move(waited));
    AddGauge(families, "volume_scheduler_enabled", "Whether background I/O is scheduled",
             io.counts.enabled ? 1 : 0);
    AddGauge(families, "volume_background_share",
             "Of the device's time, what the background may have beside reads",
             io.counts.background_share_percent / 100);
    AddGauge(families, "volume_read_p99_seconds", "Latency of foreground reads, 99th percentile",
             static_cast<double>(io.counts.read_p99_ns) * kSecondsPerNs);
  }

  // By class and by whom they were for.
  static void AddTransfers(std::vector<MetricFamily>& families, const VolumeIo& io) {
    constexpr auto kCounter = MetricType::Counter;
    MetricFamily reads = Family("volume_reads_total", "Reads from the volume", kCounter);
    MetricFamily read_bytes = Family("volume_read_bytes_total", "Bytes of them", kCounter);
    MetricFamily writes = Family("volume_writes_total", "Writes to the volume", kCounter);
    MetricFamily write_bytes = Family("volume_written_bytes_total", "Bytes of them", kCounter);
    for (const VolumeIo::Instance& instance : io.instances) {
      for (size_t i = 0; i < block::kIoClasses; ++i) {
        const std::vector<ClientMetric::Label> labels = {
            {"class", std::string(block::IoClassName(static_cast<block::IoClass>(i)))},
            {"user", instance.name}};
        const block::IoClassCounts& one = instance.classes[i];
        AddCount(reads, labels, static_cast<double>(one.reads));
        AddCount(read_bytes, labels, static_cast<double>(one.read_bytes));
        AddCount(writes, labels, static_cast<double>(one.writes));
        AddCount(write_bytes, labels, static_cast<double>(one.write_bytes));
      }
    }
    for (MetricFamily* family : {&reads, &read_bytes, &writes, &write_bytes}) {
      families.push_back(std::move(*family));
    }
  }

  static void AddCount(MetricFamily& family, std::vector<ClientMetric::Label> labels,
                       double value) {
    ClientMetric& metric = family.metric.emplace_back();
    metric.label = std::move(labels);
    metric.counter.value = value;
  }

  fs::FileSystem& file_system_;
  ClaimedStore& store_;
};

// The system's words for why nobody can listen there, which the web server keeps to itself.
std::string WhyNotListening(const HostPort& where) {
  addrinfo hints = {};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE | AI_NUMERICHOST;
  addrinfo* found = nullptr;
  const std::string port = std::to_string(where.port);
  if (const int failed = ::getaddrinfo(where.host.c_str(), port.c_str(), &hints, &found);
      failed != 0) {
    return "not an IP address";
  }
  std::string reason;
  const int fd = ::socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0 || ::bind(fd, found->ai_addr, found->ai_addrlen) != 0 || ::listen(fd, 1) != 0) {
    reason = std::strerror(errno);
  }
  if (fd >= 0) ::close(fd);
  ::freeaddrinfo(found);
  return reason;
}

}  // namespace

Result<std::unique_ptr<MetricsServer>> MetricsServer::Start(std::string_view address,
                                                            fs::FileSystem& file_system,
                                                            ClaimedStore& store) {
  const HostPort host_port = TRY(ParseHostPort(address));
  const bool is_v6 = host_port.host.find(':') != std::string::npos;
  const std::string listen_at = is_v6 ? fmt::format("[{}]:{}", host_port.host, host_port.port)
                                      : fmt::format("{}:{}", host_port.host, host_port.port);
  std::unique_ptr<MetricsServer> server(new MetricsServer);
  server->collector_ = std::make_shared<Collector>(file_system, store);
  try {
    server->exposer_ = std::make_unique<prometheus::Exposer>(listen_at, /*num_threads=*/1);
    server->exposer_->RegisterCollectable(server->collector_);
  } catch (const std::exception& error) {
    const std::string reason = WhyNotListening(host_port);
    return Explained(
        ErrorCode::kBusy, fmt::format("metrics={}", Escaped(address)),
        fmt::format("cannot listen there ({})", reason.empty() ? Escaped(error.what()) : reason),
        "choose a free port and an address of this machine");
  }
  return server;
}

MetricsServer::~MetricsServer() = default;

}  // namespace tifs::cli
