#pragma once

#include <optional>
#include <type_traits>

#include "fs/operation.h"
#include "fs/space_account.h"

namespace tifs::fs {

// Runs `body(Operation&) -> Result<T>` as a transaction that changes something: reserves the space
// it takes, commits, and lets the background see what it left. The body may run several times.
template <typename Body>
std::invoke_result_t<Body&, Operation&> Mutate(MountState& mount, const OpContext& context,
                                               Body&& body) {
  using R = std::invoke_result_t<Body&, Operation&>;
  const BlockStore::Pin pin = mount.blocks->PinBlocks();
  SpaceAccount::Operation space(mount.space);
  // Inside the account's gate, at which a mount that becomes read-only waits for those before it.
  if (mount.read_only.load(std::memory_order_relaxed)) {
    return Error(ErrorCode::kReadOnly, "read-only mount");
  }
  std::optional<Operation> op;
  R result = mount.runner.Run([&](kv::Transaction& txn) -> R {
    space.Release();
    op.emplace(mount, txn, context);
    R attempt = body(*op);
    if (!attempt) return attempt;
    if (Status reserved = space.Reserve(op->space); !reserved) return std::move(reserved).error();
    return attempt;
  });
  if (result) {
    space.Commit();
    op->Committed();
  }
  return result;
}

// Runs `body` at one snapshot; it only reads.
template <typename Body>
std::invoke_result_t<Body&, Operation&> Query(MountState& mount, const OpContext& context,
                                              Body&& body) {
  using R = std::invoke_result_t<Body&, Operation&>;
  const BlockStore::Pin pin = mount.blocks->PinBlocks();
  return mount.runner.Read([&](kv::Transaction& txn) -> R {
    Operation op(mount, txn, context);
    return body(op);
  });
}

}  // namespace tifs::fs
