// The client over TLS with certificates both ways, made here by openssl.
#include <stdlib.h>

#include <filesystem>
#include <fstream>

#include "kv/tikv/grpc_transport.h"
#include "tests/tikv/client_fixture.h"
#include "tests/tikv/store/grpc_cluster.h"

namespace tifs::tikv_store {
namespace {

using kv::tikv::TlsOptions;

class TlsTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    if (system("openssl version >/dev/null 2>&1") != 0) return;
    char path[] = "/tmp/tikv_tls.XXXXXX";
    ASSERT_NE(mkdtemp(path), nullptr);
    directory_ = path;
    // Two authorities that know nothing of each other.
    for (const std::string authority : {"ca", "other-ca"}) {
      Run("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=" +
          authority + " -keyout " + authority + ".key -out " + authority + ".pem");
    }
    Issue("server", "ca", "subjectAltName=IP:127.0.0.1");
    Issue("elsewhere", "ca", "subjectAltName=DNS:elsewhere.example");
    Issue("client", "ca", "keyUsage=digitalSignature");
    Issue("stranger", "other-ca", "keyUsage=digitalSignature");
  }
  static void TearDownTestSuite() {
    if (!directory_.empty()) std::filesystem::remove_all(directory_);
  }
  void SetUp() override {
    if (directory_.empty()) GTEST_SKIP() << "SKIPPED: needs the program openssl";
  }

  static void Run(const std::string& arguments) {
    const std::string command =
        "cd " + directory_ + " && openssl " + arguments + " >>log 2>&1 || { cat log; exit 1; }";
    ASSERT_EQ(system(command.c_str()), 0) << command;
  }
  static void Issue(const std::string& name, const std::string& authority,
                    const std::string& extension) {
    std::ofstream(directory_ + "/" + name + ".ext") << extension << "\n";
    Run("req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=" + name + " -keyout " +
        name + ".key -out " + name + ".csr");
    Run("x509 -req -days 2 -in " + name + ".csr -CA " + authority + ".pem -CAkey " + authority +
        ".key -CAcreateserial -extfile " + name + ".ext -out " + name + ".pem");
  }
  static std::string Path(const std::string& name) { return directory_ + "/" + name; }
  static std::string Bytes(const std::string& name) {
    std::ifstream file(Path(name));
    return {std::istreambuf_iterator<char>(file), {}};
  }
  static GrpcCluster::Tls Shows(const std::string& name) {
    return {.ca = Bytes("ca.pem"), .cert = Bytes(name + ".pem"), .key = Bytes(name + ".key")};
  }
  static TlsOptions Client(const std::string& name = "client") {
    return {.ca = Path("ca.pem"), .cert = Path(name + ".pem"), .key = Path(name + ".key")};
  }

  Result<std::unique_ptr<TikvKv>> Open(const TlsOptions& tls) {
    TikvOptions options;
    options.pd_addresses = {cluster_.AddressOf({Node::Kind::kPd, 0})};
    options.operation_timeout = milliseconds(1000);
    return TikvKv::Open(options, Must(kv::tikv::MakeTlsTransport(tls)), SystemClock());
  }
  std::string Refusal(const TlsOptions& tls) {
    const auto store = Open(tls);
    EXPECT_FALSE(store);
    return store ? "" : store.error().ToString();
  }

  static inline std::string directory_;
  Cluster cluster_{2, SystemClock()};
};

TEST_F(TlsTest, ReadsAndWritesWithCertificatesBothWays) {
  GrpcCluster servers(cluster_, Shows("server"));
  TlsOptions tls = Client();
  tls.verify_cn = {"someone", "server"};
  auto store = Must(Open(tls));
  auto transaction = Must(store->Begin());
  Must(transaction->Put("a", "1"));
  Must(transaction->Commit());
  EXPECT_EQ(Must(store->GetLatest("a"))->view(), "1");
}

TEST_F(TlsTest, RefusesAServerThatAnotherAuthorityVouchesFor) {
  GrpcCluster servers(cluster_, Shows("server"));
  TlsOptions tls = Client();
  tls.ca = Path("other-ca.pem");
  EXPECT_THAT(Refusal(tls), ::testing::HasSubstr("certificate verify failed"));
}

TEST_F(TlsTest, RefusesAServerThatIsNotTheHostThatWeCalled) {
  GrpcCluster servers(cluster_, Shows("elsewhere"));
  EXPECT_THAT(Refusal(Client()), ::testing::HasSubstr("does not name this host"));
}

TEST_F(TlsTest, RefusesAServerWhoseNameIsNotAllowed) {
  GrpcCluster servers(cluster_, Shows("server"));
  TlsOptions tls = Client();
  tls.verify_cn = {"pd", "tikv"};
  EXPECT_THAT(Refusal(tls), ::testing::HasSubstr("\"server\", which is not allowed"));
}

TEST_F(TlsTest, AServerRefusesStrangers) {
  GrpcCluster servers(cluster_, Shows("server"));
  TlsOptions nobody = Client();
  nobody.cert.clear();
  nobody.key.clear();
  EXPECT_THAT(Refusal(Client("stranger")), ::testing::HasSubstr("127.0.0.1"));
  EXPECT_THAT(Refusal(nobody), ::testing::HasSubstr("127.0.0.1"));
  // Without TLS there is no answer, either.
  TikvOptions options;
  options.pd_addresses = {cluster_.AddressOf({Node::Kind::kPd, 0})};
  options.operation_timeout = milliseconds(1000);
  EXPECT_FALSE(TikvKv::Open(options, kv::tikv::MakeGrpcTransport(), SystemClock()));
}

TEST_F(TlsTest, NamesTheFileThatDoesNotServe) {
  const auto refusal = [](TlsOptions tls) {
    const auto transport = kv::tikv::MakeTlsTransport(tls);
    EXPECT_FALSE(transport);
    return transport ? "" : transport.error().ToString();
  };
  TlsOptions tls = Client();
  tls.ca = Path("nothing.pem");
  EXPECT_THAT(refusal(tls), ::testing::HasSubstr("nothing.pem: cannot be read"));
  tls = Client();
  tls.cert = Path("client.key");
  EXPECT_THAT(refusal(tls), ::testing::HasSubstr("client.key: has no CERTIFICATE"));
  tls = Client();
  tls.key = Path("client.pem");
  EXPECT_THAT(refusal(tls), ::testing::HasSubstr("client.pem: has no PRIVATE KEY"));
  tls = Client();
  tls.key.clear();
  EXPECT_THAT(refusal(tls), ::testing::HasSubstr("go together"));
}

}  // namespace
}  // namespace tifs::tikv_store
