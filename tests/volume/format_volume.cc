// format_volume FILE SIZE: makes FILE, SIZE bytes long and written all over, and formats it as a
// volume. For tests and benches.
#include <fcntl.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "base/clock.h"
#include "block/open_device.h"
#include "volume/volume.h"

namespace {

bool WriteAllOver(const char* path, uint64_t size_bytes) {
  const int fd = open(path, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);
  if (fd < 0) return false;
  const std::vector<char> piece(1 << 20, '\x5a');
  bool good = true;
  for (uint64_t done = 0; good && done < size_bytes; done += piece.size()) {
    const size_t size = std::min<uint64_t>(piece.size(), size_bytes - done);
    good = write(fd, piece.data(), size) == static_cast<ssize_t>(size);
  }
  good = good && fsync(fd) == 0;
  return close(fd) == 0 && good;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: format_volume FILE SIZE\n");
    return 2;
  }
  if (!WriteAllOver(argv[1], std::strtoull(argv[2], nullptr, 10))) {
    std::perror(argv[1]);
    return 1;
  }
  auto device = tifs::block::OpenDevice(std::string("file:") + argv[1]);
  tifs::Status formatted =
      device ? tifs::volume::Volume::Format(**device, {.name = "test"}, tifs::SystemClock())
             : tifs::Status(std::move(device).error());
  if (formatted) return 0;
  std::fprintf(stderr, "%s: %s\n", argv[1], formatted.error().ToString().c_str());
  return 1;
}
