package shim

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand"
	"path"
	"reflect"
	"sync"
	"time"

	"github.com/pingcap/kvproto/pkg/errorpb"
	"github.com/pingcap/tidb/store/mockstore/unistore/tikv"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Rule says which requests meet which fault. The first that fits a request decides.
type Rule struct {
	// As in "KvPrewrite"; * and ? as in file names.
	Method string `json:"method"`
	// The name of a region error ("NotLeader"); or "lost", not executed; "lost_after", executed;
	// both end the call, or the whole stream that it came in, with an error; or "silent" and
	// "silent_after", where no answer ever comes; or empty, if it is only delayed.
	Fault string `json:"fault"`
	// Of so many requests that fit: zero is all of them.
	Times int `json:"times"`
	// Not before so many of those that fit have passed.
	Skip int `json:"skip"`
	// Of a thousand requests so many, by Seed; zero is each.
	Permille int   `json:"permille"`
	Seed     int64 `json:"seed"`
	// Before the fault, or before it is executed.
	DelayMs int `json:"delay_ms"`
	// What a ServerIsBusy asks for.
	BackoffMs uint64 `json:"backoff_ms"`
}

// Region errors that are newer than the store's protocol: the numbers of their fields.
var newer = map[string]byte{
	"DataIsNotReady": 13, "RegionNotInitialized": 14, "DiskFull": 15, "MismatchPeerId": 20, "UndeterminedResult": 22,
}

type faults struct {
	mutex sync.Mutex
	rules []*activeRule
}

type activeRule struct {
	Rule
	seen   int
	met    int
	random *rand.Rand
}

// What one request meets.
type fault struct {
	kind        string
	regionError string
	delay       time.Duration
	backoffMs   uint64
}

func (f *faults) add(rule Rule) error {
	switch rule.Fault {
	case "", "lost", "lost_after", "silent", "silent_after":
	default:
		_, known := reflect.TypeOf(errorpb.Error{}).FieldByName(rule.Fault)
		if !known && newer[rule.Fault] == 0 {
			return fmt.Errorf("no such fault: %q", rule.Fault)
		}
	}
	if _, err := path.Match(rule.Method, ""); err != nil || rule.Method == "" {
		return fmt.Errorf("no pattern of methods: %q", rule.Method)
	}
	f.mutex.Lock()
	defer f.mutex.Unlock()
	f.rules = append(f.rules, &activeRule{Rule: rule, random: rand.New(rand.NewSource(rule.Seed))})
	return nil
}

func (f *faults) clear() {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	f.rules = nil
}

func (f *faults) next(method string) fault {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	for _, rule := range f.rules {
		if !rule.takes(method) {
			continue
		}
		met := fault{delay: time.Duration(rule.DelayMs) * time.Millisecond, backoffMs: rule.BackoffMs}
		switch rule.Fault {
		case "", "lost", "lost_after", "silent", "silent_after":
			met.kind = rule.Fault
		default:
			met.regionError = rule.Fault
		}
		return met
	}
	return fault{}
}

func (r *activeRule) takes(method string) bool {
	if fits, _ := path.Match(r.Method, method); !fits || (r.Times > 0 && r.met >= r.Times) {
		return false
	}
	r.seen++
	if r.seen <= r.Skip || (r.Permille > 0 && r.random.Intn(1000) >= r.Permille) {
		return false
	}
	r.met++
	return true
}

func (f fault) wait(ctx context.Context) error {
	if f.delay == 0 {
		return nil
	}
	select {
	case <-time.After(f.delay):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (f fault) before() bool { return f.kind == "lost" || f.kind == "silent" }
func (f fault) after() bool  { return f.kind == "lost_after" || f.kind == "silent_after" }

func (f fault) lose(ctx context.Context) error {
	if f.kind == "silent" || f.kind == "silent_after" {
		<-ctx.Done()
		return ctx.Err()
	}
	return status.Error(codes.Unavailable, "lost on purpose")
}

// regionErrorOf is the method's response with the fault's region error in it.
func regionErrorOf(store *tikv.Server, method string, f fault) (interface{}, error) {
	handler, known := reflect.TypeOf(store).MethodByName(method)
	if !known {
		return nil, status.Error(codes.Unimplemented, method)
	}
	response := reflect.New(handler.Type.Out(0).Elem())
	field := response.Elem().FieldByName("RegionError")
	if !field.IsValid() {
		return nil, status.Error(codes.Unimplemented, method+" has no region error")
	}
	regionError := &errorpb.Error{Message: f.regionError + " on purpose"}
	if number := newer[f.regionError]; number != 0 {
		// An empty message in that field; above 15 the number takes a second byte.
		regionError.XXX_unrecognized = binary.AppendUvarint(nil, uint64(number)<<3|2)
		regionError.XXX_unrecognized = append(regionError.XXX_unrecognized, 0)
	} else {
		kind := reflect.ValueOf(regionError).Elem().FieldByName(f.regionError)
		kind.Set(reflect.New(kind.Type().Elem()))
	}
	if regionError.ServerIsBusy != nil {
		regionError.ServerIsBusy.BackoffMs = f.backoffMs
	}
	field.Set(reflect.ValueOf(regionError))
	return response.Interface(), nil
}
