#include <fcntl.h>

#include <algorithm>
#include <cstdlib>
#include <random>

#include "program_works.h"

namespace tifs::bench {
namespace {

constexpr uint32_t kFilesPerDirectory = 20;
constexpr uint32_t kMeanFileBytes = 15'000;
constexpr uint32_t kCommits = 10;
constexpr uint32_t kWords = 4096;
constexpr uint32_t kWordsPerLine = 9;

// Text that compresses about as source code does.
class TextGenerator {
 public:
  explicit TextGenerator(uint64_t seed) : random_(seed) {
    for (uint32_t i = 0; i < kWords; ++i) {
      std::string word;
      for (uint64_t length = 2 + random_() % 9; length > 0; --length) {
        word += static_cast<char>('a' + random_() % 26);
      }
      words_.push_back(word);
    }
  }

  uint64_t Below(uint64_t bound) { return random_() % bound; }

  std::string Line() {
    std::string line;
    for (uint32_t i = 0; i < kWordsPerLine; ++i) {
      // The smaller of two is skewed towards the first words, as words are.
      line += words_[std::min(Below(kWords), Below(kWords))];
      line += i + 1 < kWordsPerLine ? ' ' : '\n';
    }
    return line;
  }

  std::string Text(size_t size) {
    std::string text;
    while (text.size() < size) text += Line();
    return text;
  }

 private:
  std::mt19937_64 random_;
  std::vector<std::string> words_;
};

void Commit(const std::string& path, uint32_t number) {
  const std::string date = std::to_string(1'700'000'000 + 86'400 * number) + " +0000";
  setenv("GIT_AUTHOR_DATE", date.c_str(), 1);
  setenv("GIT_COMMITTER_DATE", date.c_str(), 1);
  RunProgram({"git", "-C", path, "add", "--all"});
  RunProgram({"git", "-C", path, "commit", "--quiet", "-m", "commit " + std::to_string(number)});
}

}  // namespace

void GenerateRepository(const std::string& path, uint64_t size_bytes, uint64_t seed) {
  TextGenerator generator(seed);
  RunProgram({"git", "init", "--quiet", "--initial-branch=main", path});
  std::vector<std::string> files;
  std::string directory;
  uint64_t written_bytes = 0;
  while (written_bytes < size_bytes) {
    if (files.size() % kFilesPerDirectory == 0) {
      directory = path + "/d" + std::to_string(files.size() / kFilesPerDirectory);
      MakeDirectory(directory);
    }
    files.push_back(directory + "/f" + std::to_string(files.size()) + ".txt");
    const std::string text = generator.Text(500 + generator.Below(2 * kMeanFileBytes - 1000));
    CreateFile(files.back(), text.data(), text.size());
    written_bytes += text.size();
  }
  Commit(path, 0);
  for (uint32_t number = 1; number < kCommits; ++number) {
    for (size_t i = 0; i < files.size() / 20; ++i) {
      const std::string& file = files[generator.Below(files.size())];
      const std::string line = generator.Line();
      WriteAllAt(File(file, O_WRONLY).fd(), line.data(), line.size(), 0, file);
    }
    Commit(path, number);
  }
  RunProgram({"git", "-C", path, "repack", "-a", "-d", "--quiet"});
}

}  // namespace tifs::bench
