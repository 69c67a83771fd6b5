#include "program_works.h"

#include <sqlite3.h>

#include <chrono>
#include <thread>

namespace tifs::bench {
namespace {

constexpr uint32_t kStatusRuns = 3;
constexpr int kRowBytes = 100;
constexpr auto kNextSecond = std::chrono::milliseconds(1100);

class Database {
 public:
  explicit Database(const std::string& path) : path_(path) {
    Check(sqlite3_open(path.c_str(), &db_));
  }
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;
  ~Database() { sqlite3_close(db_); }

  void Execute(const char* sql) { Check(sqlite3_exec(db_, sql, nullptr, nullptr, nullptr)); }

  // Each insert is a transaction of its own.
  void InsertRows(uint32_t rows) {
    sqlite3_stmt* insert;
    Check(sqlite3_prepare_v2(db_, "INSERT INTO t VALUES (NULL, randomblob(?))", -1, &insert,
                             nullptr));
    for (uint32_t i = 0; i < rows; ++i) {
      Check(sqlite3_bind_int(insert, 1, kRowBytes));
      if (sqlite3_step(insert) != SQLITE_DONE) Fail(path_, sqlite3_errmsg(db_));
      Check(sqlite3_reset(insert));
    }
    sqlite3_finalize(insert);
  }

  std::string QueryText(const char* sql) {
    sqlite3_stmt* query;
    Check(sqlite3_prepare_v2(db_, sql, -1, &query, nullptr));
    if (sqlite3_step(query) != SQLITE_ROW) Fail(path_, sqlite3_errmsg(db_));
    std::string text = reinterpret_cast<const char*>(sqlite3_column_text(query, 0));
    sqlite3_finalize(query);
    return text;
  }

 private:
  void Check(int result) {
    if (result != SQLITE_OK) Fail(path_, sqlite3_errmsg(db_));
  }

  std::string path_;
  sqlite3* db_ = nullptr;
};

std::vector<std::string> Git(const std::string& directory, std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), {"git", "-C", directory});
  return arguments;
}

}  // namespace

std::vector<Work> ProgramWorks::Works() {
  const std::string transactions = Grouped(environment_.scale.transactions) + " transactions";
  const uint64_t megabytes = environment_.scale.repository_size_bytes / 1'000'000;
  return {
      {"sqlite", "SQLite, " + transactions + ", rollback journal, FULL", "tx/s", true,
       [this] { return SqliteTransactions(); }},
      {"git_clone", "git clone of a " + Grouped(megabytes) + " MB repository", "s", false,
       [this] { return GitClone(); }},
      {"git_status", "git status again", "s", false, [this] { return GitStatusAgain(); }},
      {"rm_rf", "rm -rf of the clone", "s", false, [this] { return RemoveClone(); }},
  };
}

double ProgramWorks::SqliteTransactions() {
  const std::string directory =
      environment_.directory + "/sqlite." + std::to_string(databases_made_++);
  MakeDirectory(directory);
  double seconds;
  {
    Database database(directory + "/bench.db");
    database.Execute("PRAGMA journal_mode=DELETE");
    database.Execute("PRAGMA synchronous=FULL");
    database.Execute("CREATE TABLE t (id INTEGER PRIMARY KEY, body BLOB)");
    Settle();
    const Stopwatch stopwatch;
    database.InsertRows(environment_.scale.transactions);
    seconds = stopwatch.Seconds();
    if (database.QueryText("SELECT count(*) FROM t") !=
            std::to_string(environment_.scale.transactions) ||
        database.QueryText("PRAGMA integrity_check") != "ok") {
      Fail(directory, "the database lost rows or is corrupt");
    }
  }
  return environment_.scale.transactions / seconds;
}

double ProgramWorks::CloneSeconds() {
  if (!Exists(environment_.repository)) {
    GenerateRepository(environment_.repository, environment_.scale.repository_size_bytes,
                       environment_.seed);
  }
  RemoveTree(ClonePath());
  Settle();
  const Stopwatch stopwatch;
  // --no-local: objects travel as over a network, not as hard links where those happen to work.
  RunProgram({"git", "clone", "--quiet", "--no-local", environment_.repository, ClonePath()});
  return stopwatch.Seconds();
}

void ProgramWorks::PrepareClone() {
  if (!Exists(ClonePath())) CloneSeconds();
  Settle();
}

double ProgramWorks::GitClone() { return CloneSeconds(); }

double ProgramWorks::GitStatusAgain() {
  PrepareClone();
  // git compares whole seconds: a file of the second in which the index was written is read anew
  // by each status. So the index is written once more in a later second.
  std::this_thread::sleep_for(kNextSecond);
  RunProgram(Git(ClonePath(), {"update-index", "--force-write-index"}));
  const std::vector<std::string> status = Git(ClonePath(), {"status", "--porcelain"});
  std::string changes;
  RunProgram(status, &changes);
  if (!changes.empty()) Fail(ClonePath(), "git status sees changes in a fresh clone");
  const Stopwatch stopwatch;
  for (uint32_t i = 0; i < kStatusRuns; ++i) RunProgram(status);
  return stopwatch.Seconds() / kStatusRuns;
}

double ProgramWorks::RemoveClone() {
  PrepareClone();
  const Stopwatch stopwatch;
  RunProgram({"rm", "-rf", ClonePath()});
  return stopwatch.Seconds();
}

}  // namespace tifs::bench
