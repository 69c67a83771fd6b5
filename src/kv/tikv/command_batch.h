#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "base/clock.h"
#include "kv/tikv/transport.h"

namespace tifs::kv::tikv {

struct BatchLimits {
  // Requests to one store that are sent and not answered; what comes beyond them waits its turn.
  size_t unanswered = 256;
  // What one message holds, but for a larger single request.
  size_t commands = 128;
  size_t bytes = size_t{1} << 20;
};

// A transport that sends the transactional requests to one store over one stream (BatchCommands),
// in one message what has come together while the last message was written; everything else, and
// all requests to stores that have no such stream, goes through `base` as it is. If the stream
// breaks, nothing that was sent on it is answered, and the next request opens another. `clock`
// outlives it.
std::unique_ptr<Transport> MakeBatchingTransport(std::unique_ptr<Transport> base, Clock& clock,
                                                 const BatchLimits& limits = {});

// A command of a batch is a message with one field, which says what request or response its bytes
// are. The field of a method, "/tikvpb.Tikv/KvGet"; 0: it cannot go into a batch.
uint32_t FieldOfMethod(std::string_view method);
// The other way round; empty if the field is of no method that we know.
std::string MethodOfField(uint32_t field);
std::string JoinCommand(uint32_t field, std::string_view bytes);
// Nothing if it is not one field.
std::optional<std::pair<uint32_t, std::string_view>> SplitCommand(std::string_view command);

}  // namespace tifs::kv::tikv
