#include "volume/stored_profile.h"

#include <string>
#include <utility>

#include "volume/file.h"
#include "volume/root.h"

namespace tifs::volume {
namespace {

constexpr std::string_view kUnfinished = "device-profile.new";

}  // namespace

Result<std::optional<block::DeviceProfile>> LoadDeviceProfile(Volume& volume) {
  using Profile = block::DeviceProfile;
  const auto is_missing = [](const Error& error) { return error.code() == ErrorCode::kNotFound; };
  auto root = volume.OpenRoot(Profile::kRoot, /*create=*/false);
  if (!root) {
    if (is_missing(root.error())) return std::optional<Profile>();
    return std::move(root).error();
  }
  auto file = (*root)->Open(Profile::kFile, {});
  if (!file) {
    if (is_missing(file.error())) return std::optional<Profile>();
    return std::move(file).error();
  }
  // A byte more than a profile may have, so that what is too long shows.
  std::string text(Profile::kMaxTextBytes + 1, '\0');
  text.resize(TRY((*file)->ReadAt(0, text)));
  return std::optional<Profile>(TRY(Profile::Parse(text)));
}

Status SaveDeviceProfile(Volume& volume, const block::DeviceProfile& profile) {
  TRY(profile.Validate());
  const auto root = TRY(volume.OpenRoot(block::DeviceProfile::kRoot, /*create=*/true));
  const auto file = TRY(root->Open(
      kUnfinished, {.write = true, .create = true, .exclusive = false, .truncate = true}));
  TRY(file->Append(profile.ToText()));
  TRY(file->Sync());
  TRY(file->Close());
  TRY(root->Rename(kUnfinished, block::DeviceProfile::kFile));
  return root->SyncDirectory("");
}

}  // namespace tifs::volume
