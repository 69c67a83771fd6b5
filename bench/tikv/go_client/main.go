// Command go_client drives a TiKV cluster by the community's Go client as client_bench does by ours: the same flags, the
// same work, the same line of JSON.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"math"
	"math/rand"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/pingcap/log"
	"github.com/tikv/client-go/v2/oracle"
	"github.com/tikv/client-go/v2/txnkv"
	"go.uber.org/zap"
)

const keys = 1000

func key(i int) []byte { return []byte(fmt.Sprintf("F\x00\x00\xff\xf0go%06d", i)) }

func put(client *txnkv.Client, i int, value []byte, onePhase bool) error {
	txn, err := client.Begin()
	if err != nil {
		return err
	}
	txn.SetEnable1PC(onePhase)
	txn.SetEnableAsyncCommit(onePhase)
	if err := txn.Set(key(i), value); err != nil {
		return err
	}
	return txn.Commit(context.Background())
}

func cpuSeconds() float64 {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return math.NaN()
	}
	return float64(usage.Utime.Nano()+usage.Stime.Nano()) / 1e9
}

func main() {
	pd := flag.String("pd", "", "addresses, by commas")
	work := flag.String("work", "get", "timestamp, get, put or put_two_phases")
	threads := flag.Int("threads", 1, "that work at once")
	seconds := flag.Float64("seconds", 2, "to measure")
	valueBytes := flag.Int("value-bytes", 4096, "")
	flag.Parse()
	log.ReplaceGlobals(zap.NewNop(), &log.ZapProperties{})
	client, err := txnkv.NewClient(strings.Split(*pd, ","))
	if err != nil {
		fail(err)
	}
	value := make([]byte, *valueBytes)
	rand.Read(value)
	once := func(random *rand.Rand) error {
		switch *work {
		case "timestamp":
			_, err := client.KVStore.GetOracle().GetTimestamp(
				context.Background(), &oracle.Option{TxnScope: oracle.GlobalTxnScope})
			return err
		case "get":
			_, err := client.GetSnapshot(math.MaxUint64).Get(context.Background(), key(random.Intn(keys)))
			return err
		}
		return put(client, random.Intn(keys), value, *work == "put")
	}
	if *work == "get" {
		for i := 0; i < keys; i++ {
			if err := put(client, i, value, true); err != nil {
				fail(err)
			}
		}
	}
	warmup := rand.New(rand.NewSource(1))
	for i := 0; i < 50; i++ {
		if err := once(warmup); err != nil {
			fail(err)
		}
	}

	var count, conflicts atomic.Int64
	var group sync.WaitGroup
	cpu := cpuSeconds()
	begun := time.Now()
	end := begun.Add(time.Duration(*seconds * float64(time.Second)))
	for thread := 0; thread < *threads; thread++ {
		group.Add(1)
		go func() {
			defer group.Done()
			random := rand.New(rand.NewSource(int64(thread)))
			for time.Now().Before(end) {
				err := once(random)
				switch {
				case err == nil:
					count.Add(1)
				case strings.Contains(err.Error(), "onflict"):
					conflicts.Add(1)
				default:
					fail(err)
				}
			}
		}()
	}
	group.Wait()
	json.NewEncoder(os.Stdout).Encode(map[string]any{
		"operations": count.Load(), "conflicts": conflicts.Load(),
		"seconds": time.Since(begun).Seconds(), "cpu_seconds": cpuSeconds() - cpu})
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "go_client:", err)
	os.Exit(1)
}
