// Command store is a TiKV-protocol store for tests: unistore with one store in raft mode, its data
// on disk, on loopback only, behind the shim that makes up for its defects and injects faults.
//
//	store -pd HOST:PORT -addr HOST:PORT -control HOST:PORT -data DIR [-advertise HOST:PORT]
//
// The control address answers HTTP:
//
//	GET    /status            200 once it serves
//	GET    /calls             how often each request was taken up, as JSON
//	POST   /fault             adds a rule (shim.Rule as JSON)
//	DELETE /fault             removes all rules
//	POST   /split?key=HEX     splits the region that holds the plain key there
package main

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/ngaut/unistore/config"
	"github.com/ngaut/unistore/server"
	"github.com/pingcap/kvproto/pkg/deadlock"
	"github.com/pingcap/kvproto/pkg/kvrpcpb"
	"github.com/pingcap/kvproto/pkg/tikvpb"
	"github.com/pingcap/log"
	"github.com/pingcap/tidb/store/mockstore/unistore/pd"
	"github.com/pingcap/tidb/util/codec"
	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"

	"tifs/tests/tikv/peer/store/shim"
)

func main() {
	pdAddress := flag.String("pd", "", "address of the placement driver")
	address := flag.String("addr", "", "where to serve; on loopback")
	advertised := flag.String("advertise", "", "the address that PD tells clients, if another")
	control := flag.String("control", "", "where to answer HTTP; on loopback")
	data := flag.String("data", "", "directory")
	sync := flag.Bool("sync", false, "sync every write to disk")
	flag.Parse()
	if *advertised == "" {
		*advertised = *address
	}
	for _, listens := range []string{*address, *control} {
		host, _, err := net.SplitHostPort(listens)
		if ip := net.ParseIP(host); err != nil || ip == nil || !ip.IsLoopback() {
			fatal(fmt.Errorf("%q is no address on loopback", listens))
		}
	}
	fatal(run(*pdAddress, *address, *advertised, *control, *data, *sync))
}

func fatal(err error) {
	if err == nil {
		os.Exit(0)
	}
	fmt.Fprintln(os.Stderr, "store:", err)
	os.Exit(1)
}

func configuration(pdAddress, advertised, data string, sync bool) *config.Config {
	conf := config.DefaultConf
	conf.Server.PDAddr = pdAddress
	conf.Server.StoreAddr = advertised
	conf.Server.LogLevel = "warn"
	conf.Engine.DBPath = data
	conf.Engine.SyncWrite = sync
	// Smaller than upstream's: a test's data is small, and so is the machine.
	conf.Engine.VlogFileSize = 64 << 20
	conf.Engine.MaxMemTableSize = 16 << 20
	conf.RaftStore.PdHeartbeatTickInterval = "2s"
	return &conf
}

func run(pdAddress, address, advertised, control, data string, sync bool) error {
	logger, properties, err := log.InitLogger(&log.Config{Level: "warn"})
	if err != nil {
		return err
	}
	log.ReplaceGlobals(logger, properties)
	// Its start fails where this is left from the last run.
	if err := os.RemoveAll(filepath.Join(data, "snap")); err != nil {
		return err
	}
	for _, part := range []string{"kv", "raft"} {
		if err := os.MkdirAll(filepath.Join(data, part), 0o777); err != nil {
			return err
		}
	}
	pdClient, err := pd.NewClient(strings.Split(pdAddress, ","), "")
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	store, err := server.New(configuration(pdAddress, advertised, data, sync), pdClient)
	if err != nil {
		return err
	}
	service := shim.New(store)
	grpcServer := grpc.NewServer(
		grpc.UnaryInterceptor(service.Unary),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{
			MinTime: 2 * time.Second, PermitWithoutStream: true}),
		grpc.MaxRecvMsgSize(16<<20),
	)
	tikvpb.RegisterTikvServer(grpcServer, service)
	deadlock.RegisterDeadlockServer(grpcServer, store)

	failed := make(chan error, 2)
	go func() { failed <- http.ListenAndServe(control, controls(service, pdClient)) }()
	go func() { failed <- grpcServer.Serve(listener) }()
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	select {
	case err = <-failed:
	case <-signals:
	}
	grpcServer.Stop()
	store.Stop()
	return err
}

func controls(service *shim.Service, pdClient pd.Client) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /status", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("GET /calls", func(w http.ResponseWriter, _ *http.Request) {
		json.NewEncoder(w).Encode(service.Calls())
	})
	mux.HandleFunc("POST /fault", func(w http.ResponseWriter, r *http.Request) {
		var rule shim.Rule
		decoder := json.NewDecoder(r.Body)
		decoder.DisallowUnknownFields()
		err := decoder.Decode(&rule)
		if err == nil {
			err = service.Add(rule)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
		}
	})
	mux.HandleFunc("DELETE /fault", func(http.ResponseWriter, *http.Request) { service.Clear() })
	mux.HandleFunc("POST /split", func(w http.ResponseWriter, r *http.Request) {
		key, err := hex.DecodeString(r.URL.Query().Get("key"))
		if err == nil {
			err = split(r.Context(), service, pdClient, key)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
	})
	return mux
}

func split(ctx context.Context, service *shim.Service, pdClient pd.Client, key []byte) error {
	region, err := pdClient.GetRegion(ctx, codec.EncodeBytes(nil, key))
	if err != nil {
		return err
	}
	if region.Meta == nil {
		return fmt.Errorf("PD knows of no region there")
	}
	peer := region.Leader
	if peer == nil {
		peer = region.Meta.Peers[0]
	}
	response, err := service.Split(ctx, &kvrpcpb.SplitRegionRequest{
		Context: &kvrpcpb.Context{
			RegionId: region.Meta.Id, RegionEpoch: region.Meta.RegionEpoch, Peer: peer},
		SplitKeys: [][]byte{key},
	})
	if err != nil {
		return err
	}
	if response.RegionError != nil {
		return fmt.Errorf("%s", response.RegionError.Message)
	}
	return nil
}
