#include "kv/tikv/timestamp_oracle.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <deque>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace tifs::kv::tikv {
namespace {

using ::testing::ElementsAre;

// PD whose answers the test gives.
class ScriptedPd : public Transport {
 public:
  struct Connection {
    std::shared_ptr<StreamListener> listener;
    std::vector<uint32_t> counts;  // of the requests that were sent
    bool cancelled = false;
  };

  void Call(const std::string&, const char*, const Message&, Message& response,
            std::chrono::nanoseconds, Done done) override {
    auto& members = static_cast<pdpb::GetMembersResponse&>(response);
    members.mutable_header()->set_cluster_id(7);
    members.mutable_leader()->add_client_urls("http://pd:1");
    done({});
  }

  std::unique_ptr<Stream> OpenStream(const std::string&, const char*,
                                     std::shared_ptr<StreamListener> listener) override {
    connections.emplace_back().listener = std::move(listener);
    if (refused > 0) {
      --refused;
      connections.back().listener->OnClosed(Error(ErrorCode::kUnavailable, "refused"));
    }
    return std::make_unique<OpenedStream>(connections.back(), *this);
  }
  void Shutdown() override {}

  void Answer(Timestamp last, uint32_t count) {
    pdpb::TsoResponse response;
    response.set_count(count);
    response.mutable_timestamp()->set_physical(static_cast<int64_t>(PhysicalMs(last)));
    response.mutable_timestamp()->set_logical(
        static_cast<int64_t>(last & ((uint64_t{1} << kLogicalBits) - 1)));
    connections.back().listener->OnMessage(response);
  }

  std::deque<Connection> connections;
  int refused = 0;
  Timestamp answer_at_once = 0;  // not 0: each request is, from that timestamp on

 private:
  class OpenedStream : public Stream {
   public:
    OpenedStream(Connection& connection, ScriptedPd& pd) : connection_(connection), pd_(pd) {}
    ~OpenedStream() override { connection_.cancelled = true; }
    void Write(std::unique_ptr<Message> message) override {
      const uint32_t count = static_cast<const pdpb::TsoRequest&>(*message).count();
      connection_.counts.push_back(count);
      if (pd_.answer_at_once == 0) return;
      pd_.answer_at_once += count;
      pd_.Answer(pd_.answer_at_once, count);
    }

   private:
    Connection& connection_;
    ScriptedPd& pd_;
  };
};

class TimestampOracleTest : public ::testing::Test {
 protected:
  // Waits with nobody else there to answer: what is not there yet will not come.
  Result<Timestamp> Wait(const std::shared_ptr<PendingTimestamp>& pending) {
    Backoff backoff = environment_.NewBackoff();
    return oracle_.Wait(*pending, backoff);
  }
  void Connect() {
    transport_.answer_at_once = 1000;
    ASSERT_TRUE(Wait(oracle_.Ask()));
    transport_.answer_at_once = 0;
    transport_.connections.back().counts.clear();
  }

  ScriptedPd transport_;
  ManualClock clock_;
  StopSignal stop_;
  Environment environment_{.transport = transport_,
                           .clock = clock_,
                           .stop = stop_,
                           .options = {.pd_addresses = {"pd:1"}}};
  PdClient pd_{environment_};
  TimestampOracle oracle_{environment_, pd_};
};

TEST_F(TimestampOracleTest, NobodyJoinsARequestThatHasBeenSent) {
  Connect();
  std::vector<std::shared_ptr<PendingTimestamp>> asked;
  for (int i = 0; i < 7; ++i) asked.push_back(oracle_.Ask());
  // Four are on their way, each with who was there when it went; three wait for the next.
  EXPECT_THAT(transport_.connections.back().counts, ElementsAre(1, 1, 1, 1));
  transport_.Answer(2000, 1);
  EXPECT_THAT(transport_.connections.back().counts, ElementsAre(1, 1, 1, 1, 3));
  transport_.Answer(2001, 1);
  transport_.Answer(2002, 1);
  transport_.Answer(2003, 1);
  transport_.Answer(3003, 3);
  EXPECT_EQ(*Wait(asked[0]), 2000u);
  EXPECT_EQ(*Wait(asked[3]), 2003u);
  EXPECT_EQ(*Wait(asked[4]), 3001u);
  EXPECT_EQ(*Wait(asked[5]), 3002u);
  EXPECT_EQ(*Wait(asked[6]), 3003u);
  EXPECT_EQ(transport_.connections.size(), 1u);
}

TEST_F(TimestampOracleTest, WhatABrokenStreamLeftIsAskedForAgain) {
  Connect();
  const auto first = oracle_.Ask();
  const auto second = oracle_.Ask();
  transport_.connections.back().listener->OnClosed(Error(ErrorCode::kUnavailable, "broken"));
  transport_.answer_at_once = 5000;
  EXPECT_EQ(*Wait(first), 5001u);
  EXPECT_EQ(*Wait(second), 5002u);
  ASSERT_EQ(transport_.connections.size(), 2u);
  EXPECT_THAT(transport_.connections.back().counts, ElementsAre(2));
}

TEST_F(TimestampOracleTest, ASilentStreamIsReplaced) {
  Connect();
  const auto asked = oracle_.Ask();
  EXPECT_FALSE(Wait(asked)) << "nobody answers";
  EXPECT_GT(transport_.connections.size(), 1u);
  EXPECT_TRUE(transport_.connections.front().cancelled);
  // An answer of the old stream is not taken for one of the new.
  pdpb::TsoResponse late;
  late.set_count(1);
  late.mutable_timestamp()->set_physical(1);
  transport_.connections.front().listener->OnMessage(late);
  transport_.answer_at_once = 9000;
  EXPECT_EQ(*Wait(oracle_.Ask()), 9002u);
  EXPECT_EQ(*Wait(asked), 9001u);
}

TEST_F(TimestampOracleTest, RefusedConnectionsAreTriedAgainAfterAWait) {
  transport_.refused = 3;
  transport_.answer_at_once = 1000;
  const auto before = clock_.Monotonic();
  EXPECT_EQ(*Wait(oracle_.Ask()), 1001u);
  EXPECT_EQ(transport_.connections.size(), 4u);
  EXPECT_GE(clock_.Monotonic() - before, std::chrono::milliseconds(30));
}

TEST_F(TimestampOracleTest, TimestampsThatGoBackAreRefused) {
  Connect();
  const auto first = oracle_.Ask();
  transport_.Answer(2000, 1);
  EXPECT_EQ(*Wait(first), 2000u);
  const auto second = oracle_.Ask();
  transport_.Answer(2000, 1);
  EXPECT_EQ(Wait(second).error().code(), ErrorCode::kCorrupt);
}

TEST_F(TimestampOracleTest, AnAnswerForAnotherCountBreaksTheStream) {
  Connect();
  const auto asked = oracle_.Ask();
  transport_.Answer(2000, 2);
  transport_.answer_at_once = 3000;
  EXPECT_EQ(*Wait(asked), 3001u);
  EXPECT_EQ(transport_.connections.size(), 2u);
}

}  // namespace
}  // namespace tifs::kv::tikv
