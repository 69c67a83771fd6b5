#include "kv/tikv/command_batch.h"

#include <gtest/gtest.h>

#include <deque>
#include <thread>
#include <vector>

#include "base/sync.h"
#include "proto/kvrpcpb.pb.h"
#include "proto/tikvpb.pb.h"

namespace tifs::kv::tikv {
namespace {

using std::chrono::milliseconds;

// Streams on which nothing is written or answered but by the test's hand.
class HandTransport : public Transport {
 public:
  struct Opened {
    std::shared_ptr<StreamListener> listener;
    std::vector<tikvpb::BatchCommandsRequest> messages;
    bool cancelled = false;
  };
  class HandStream : public Stream {
   public:
    explicit HandStream(std::shared_ptr<Opened> opened) : opened_(std::move(opened)) {}
    ~HandStream() override { opened_->cancelled = true; }
    void Write(std::unique_ptr<Message> message) override {
      opened_->messages.push_back(static_cast<tikvpb::BatchCommandsRequest&>(*message));
    }

   private:
    const std::shared_ptr<Opened> opened_;
  };

  void Call(const std::string&, const char*, const Message&, Message&, std::chrono::nanoseconds,
            Done done) override {
    ++alone;
    done({});
  }
  std::unique_ptr<Stream> OpenStream(const std::string&, const char*,
                                     std::shared_ptr<StreamListener> listener) override {
    opened.push_back(std::make_shared<Opened>(Opened{.listener = std::move(listener)}));
    return std::make_unique<HandStream>(opened.back());
  }
  void Shutdown() override {}

  std::vector<std::shared_ptr<Opened>> opened;
  int alone = 0;
};

class CommandBatchTest : public ::testing::Test {
 protected:
  struct Get {
    kvrpcpb::GetRequest request;
    kvrpcpb::GetResponse response;
    std::optional<Status> status;
  };

  Get& Send(const std::string& key, std::chrono::nanoseconds timeout = std::chrono::seconds(60)) {
    Get& get = gets_.emplace_back();
    get.request.set_key(key);
    batching_->Call("store", "/tikvpb.Tikv/KvGet", get.request, get.response, timeout,
                    [this, &get](Status status) {
                      MutexLock lock(mutex_);
                      get.status = std::move(status);
                    });
    return get;
  }
  HandTransport::Opened& stream(size_t i) { return *hand_->opened.at(i); }
  // Each command of the message is answered by its own key as the value.
  static void Answer(HandTransport::Opened& stream, size_t message, bool backwards = false) {
    const tikvpb::BatchCommandsRequest& batch = stream.messages.at(message);
    tikvpb::BatchCommandsResponse response;
    for (int i = 0; i < batch.requests_size(); ++i) {
      const int at = backwards ? batch.requests_size() - 1 - i : i;
      const auto command = SplitCommand(batch.requests(at));
      ASSERT_TRUE(command);
      EXPECT_EQ(MethodOfField(command->first), "/tikvpb.Tikv/KvGet");
      kvrpcpb::GetRequest get;
      ASSERT_TRUE(get.ParseFromString(std::string(command->second)));
      kvrpcpb::GetResponse answer;
      answer.set_value(get.key());
      response.add_request_ids(batch.request_ids(at));
      response.add_responses(JoinCommand(command->first, answer.SerializeAsString()));
    }
    stream.listener->OnMessage(response);
  }
  bool Answered(const Get& get) {
    MutexLock lock(mutex_);
    return get.status.has_value();
  }
  ErrorCode CodeOf(const Get& get) { return get.status->error().code(); }

  Mutex mutex_;
  std::deque<Get> gets_;
  HandTransport* const hand_ = new HandTransport;
  std::unique_ptr<Transport> batching_ =
      MakeBatchingTransport(std::unique_ptr<Transport>(hand_), SystemClock(),
                            {.unanswered = 6, .commands = 4, .bytes = 1000});
};

TEST_F(CommandBatchTest, WhatComesWhileAMessageIsWrittenGoesTogether) {
  Get& first = Send("a");
  Get& second = Send("b");
  Get& third = Send("c");
  ASSERT_EQ(hand_->opened.size(), 1u);
  ASSERT_EQ(stream(0).messages.size(), 1u);
  EXPECT_EQ(stream(0).messages[0].requests_size(), 1);
  stream(0).listener->OnWritten();
  ASSERT_EQ(stream(0).messages.size(), 2u);
  EXPECT_EQ(stream(0).messages[1].requests_size(), 2);
  EXPECT_FALSE(Answered(first));
  Answer(stream(0), 1, true);
  EXPECT_FALSE(Answered(first));
  EXPECT_EQ(second.response.value(), "b");
  EXPECT_EQ(third.response.value(), "c");
  Answer(stream(0), 0);
  EXPECT_TRUE(*first.status);
  EXPECT_EQ(first.response.value(), "a");
}

TEST_F(CommandBatchTest, KeepsItsLimits) {
  for (int i = 0; i < 9; ++i) Send(std::string(1, static_cast<char>('a' + i)));
  stream(0).listener->OnWritten();
  EXPECT_EQ(stream(0).messages[1].requests_size(), 4);  // of one message
  stream(0).listener->OnWritten();
  EXPECT_EQ(stream(0).messages[2].requests_size(), 1);  // unanswered
  stream(0).listener->OnWritten();
  EXPECT_EQ(stream(0).messages.size(), 3u);
  Answer(stream(0), 0);
  ASSERT_EQ(stream(0).messages.size(), 4u);
  EXPECT_EQ(stream(0).messages[3].requests_size(), 1);
  stream(0).listener->OnWritten();
  Answer(stream(0), 1);
  ASSERT_EQ(stream(0).messages.size(), 5u);
  EXPECT_EQ(stream(0).messages[4].requests_size(), 2);
}

TEST_F(CommandBatchTest, LargeRequestsGoAlone) {
  Send("a");
  Send(std::string(2000, 'x'));
  Send("b");
  stream(0).listener->OnWritten();
  EXPECT_EQ(stream(0).messages[1].requests_size(), 1);
  stream(0).listener->OnWritten();
  EXPECT_EQ(stream(0).messages[2].requests_size(), 1);
}

TEST_F(CommandBatchTest, ABrokenStreamAnswersNothingAndTheNextRequestOpensAnother) {
  Get& sent = Send("a");
  Get& waiting = Send("b");
  const auto old = stream(0).listener;
  old->OnClosed(Error(ErrorCode::kUnavailable, "grpc", "cut"));
  EXPECT_EQ(CodeOf(sent), ErrorCode::kUnavailable);
  EXPECT_EQ(CodeOf(waiting), ErrorCode::kUnavailable);
  Get& next = Send("c");
  ASSERT_EQ(hand_->opened.size(), 2u);
  Answer(stream(0), 0);  // too late
  old->OnClosed(Error(ErrorCode::kUnavailable, "grpc", "again"));
  EXPECT_FALSE(Answered(next));
  Answer(stream(1), 0);
  EXPECT_EQ(next.response.value(), "c");
}

TEST_F(CommandBatchTest, AStoreWithoutBatchesGetsEachRequestByItself) {
  Get& first = Send("a");
  stream(0).listener->OnClosed(Error(ErrorCode::kNotSupported, "grpc", "no such method"));
  EXPECT_TRUE(*first.status);
  EXPECT_EQ(hand_->alone, 1);
  EXPECT_TRUE(*Send("b").status);
  EXPECT_EQ(hand_->alone, 2);
  EXPECT_EQ(hand_->opened.size(), 1u);
}

TEST_F(CommandBatchTest, ASilentStreamIsGivenUpWithAllThatWasSentOnIt) {
  Get& patient = Send("a");
  Get& impatient = Send("b", milliseconds(5));
  while (!Answered(impatient)) std::this_thread::yield();
  EXPECT_EQ(CodeOf(impatient), ErrorCode::kUnavailable);
  while (!Answered(patient)) std::this_thread::yield();
  EXPECT_TRUE(stream(0).cancelled);
  Send("c");
  EXPECT_EQ(hand_->opened.size(), 2u);
}

TEST_F(CommandBatchTest, OneLateAnswerDoesNotBreakAStreamThatIsHeard) {
  Get& late = Send("a", milliseconds(1000));
  stream(0).listener->OnWritten();
  Get& answered = Send("b");
  Answer(stream(0), 1);
  EXPECT_TRUE(Answered(answered));
  while (!Answered(late)) std::this_thread::yield();
  EXPECT_FALSE(stream(0).cancelled);
  Answer(stream(0), 0);  // nobody waits for it
  Send("c");
  EXPECT_EQ(hand_->opened.size(), 1u);
}

TEST_F(CommandBatchTest, AnAnswerOfAnotherKindIsAnError) {
  Get& get = Send("a");
  tikvpb::BatchCommandsResponse response;
  response.add_request_ids(stream(0).messages[0].request_ids(0));
  response.add_responses(JoinCommand(FieldOfMethod("/tikvpb.Tikv/KvScan"), ""));
  stream(0).listener->OnMessage(response);
  EXPECT_EQ(CodeOf(get), ErrorCode::kUnavailable);
}

TEST_F(CommandBatchTest, ShutdownAnswersAll) {
  Get& sent = Send("a");
  Get& waiting = Send("b");
  batching_->Shutdown();
  EXPECT_EQ(CodeOf(sent), ErrorCode::kUnavailable);
  EXPECT_EQ(CodeOf(waiting), ErrorCode::kUnavailable);
  EXPECT_EQ(CodeOf(Send("c")), ErrorCode::kUnavailable);
}

TEST(CommandTest, CommandsAreOneField) {
  for (const char* method : {"/tikvpb.Tikv/KvGet", "/tikvpb.Tikv/KvCheckSecondaryLocks"}) {
    const uint32_t field = FieldOfMethod(method);
    EXPECT_EQ(MethodOfField(field), method);
    for (const size_t size : {size_t{0}, size_t{127}, size_t{128}, size_t{70'000}}) {
      const std::string bytes(size, 'x');
      const std::string command = JoinCommand(field, bytes);
      const auto parts = SplitCommand(command);
      ASSERT_TRUE(parts);
      EXPECT_EQ(parts->first, field);
      EXPECT_EQ(parts->second, bytes);
      EXPECT_FALSE(SplitCommand(command + "x"));
      EXPECT_FALSE(SplitCommand(std::string_view(command).substr(0, command.size() - 1)));
    }
  }
  EXPECT_EQ(FieldOfMethod("/pdpb.PD/GetRegion"), 0u);
  EXPECT_EQ(FieldOfMethod("/tikvpb.Tikv/KvOther"), 0u);
  EXPECT_EQ(MethodOfField(99), "");
}

}  // namespace
}  // namespace tifs::kv::tikv
