// Package shim stands around the store: every request goes through one place, whether it came alone
// or in a batch, where faults are injected and the store's defects are made up for.
package shim

import (
	"context"
	"path"
	"reflect"
	"sync"

	"github.com/pingcap/kvproto/pkg/kvrpcpb"
	"github.com/pingcap/kvproto/pkg/tikvpb"
	"github.com/pingcap/tidb/store/mockstore/unistore/tikv"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Service serves the store's requests. Safe for concurrent use.
type Service struct {
	*tikv.Server
	faults faults
	ranges rangeLocks

	mutex sync.Mutex
	calls map[string]int
}

func New(store *tikv.Server) *Service {
	return &Service{Server: store, calls: make(map[string]int)}
}

// Calls says how often each method has been taken up, in batches and alone.
func (s *Service) Calls() map[string]int {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	copied := make(map[string]int, len(s.calls))
	for method, count := range s.calls {
		copied[method] = count
	}
	return copied
}

func (s *Service) Add(rule Rule) error { return s.faults.add(rule) }
func (s *Service) Clear()              { s.faults.clear() }

// Split executes the request without faults.
func (s *Service) Split(ctx context.Context, request *kvrpcpb.SplitRegionRequest) (
	*kvrpcpb.SplitRegionResponse, error) {
	return s.Server.SplitRegion(ctx, request)
}

// Unary is the interceptor of the requests that come alone.
func (s *Service) Unary(ctx context.Context, request interface{}, info *grpc.UnaryServerInfo,
	handler grpc.UnaryHandler) (interface{}, error) {
	method := path.Base(info.FullMethod)
	return s.handle(ctx, method, request, func() (interface{}, error) {
		return handler(ctx, request)
	})
}

// handle executes one request, or what a fault makes of it.
func (s *Service) handle(ctx context.Context, method string, request interface{},
	execute func() (interface{}, error)) (interface{}, error) {
	s.mutex.Lock()
	s.calls[method]++
	s.mutex.Unlock()
	fault := s.faults.next(method)
	if err := fault.wait(ctx); err != nil {
		return nil, err
	}
	if fault.regionError != "" {
		return regionErrorOf(s.Server, method, fault)
	}
	if fault.before() {
		return nil, fault.lose(ctx)
	}
	unlock := s.ranges.lock(request)
	restore, response, err := s.repair(ctx, request)
	if response == nil && err == nil {
		response, err = execute()
	}
	unlock()
	if err == nil {
		restore(response)
	}
	if fault.after() {
		return nil, fault.lose(ctx)
	}
	return response, err
}

// The commands of a batch: what each is called as a request of its own, and how its response is
// wrapped. The store's own switch over them lacks some, and ends the process on those.
type command struct {
	method  reflect.Value
	name    string
	wrapper reflect.Type
}

func commandsOf(store *tikv.Server) map[string]command {
	_, _, _, wrappers := (*tikvpb.BatchCommandsResponse_Response)(nil).XXX_OneofFuncs()
	commands := make(map[string]command)
	for _, nothing := range wrappers {
		wrapper := reflect.TypeOf(nothing).Elem()
		field := wrapper.Field(0).Name
		for _, name := range []string{"Kv" + field, "KV" + field, field} {
			method := reflect.ValueOf(store).MethodByName(name)
			if method.IsValid() {
				commands[field] = command{method, name, wrapper}
				break
			}
		}
	}
	return commands
}

type answer struct {
	id       uint64
	response *tikvpb.BatchCommandsResponse_Response
	err      error
}

// BatchCommands executes what comes, each command by itself, and answers as they end.
func (s *Service) BatchCommands(stream tikvpb.Tikv_BatchCommandsServer) error {
	commands := commandsOf(s.Server)
	answers := make(chan answer, 1024)
	received := make(chan error, 1)
	ctx, cancel := context.WithCancel(stream.Context())
	defer cancel()
	go func() {
		for {
			batch, err := stream.Recv()
			if err != nil {
				received <- err
				return
			}
			for i, request := range batch.GetRequests() {
				go s.handleOne(ctx, commands, batch.GetRequestIds()[i], request, answers)
			}
		}
	}()
	for {
		select {
		case <-received:
			return nil
		case first := <-answers:
			batch := &tikvpb.BatchCommandsResponse{}
			for next, more := first, true; more; {
				if next.err != nil {
					return next.err
				}
				batch.RequestIds = append(batch.RequestIds, next.id)
				batch.Responses = append(batch.Responses, next.response)
				select {
				case next = <-answers:
				default:
					more = false
				}
			}
			if err := stream.Send(batch); err != nil {
				return err
			}
		}
	}
}

func (s *Service) handleOne(ctx context.Context, commands map[string]command, id uint64,
	request *tikvpb.BatchCommandsRequest_Request, answers chan<- answer) {
	if empty := request.GetEmpty(); empty != nil {
		answers <- answer{id: id, response: &tikvpb.BatchCommandsResponse_Response{
			Cmd: &tikvpb.BatchCommandsResponse_Response_Empty{
				Empty: &tikvpb.BatchCommandsEmptyResponse{TestId: empty.TestId}}}}
		return
	}
	if request.GetCmd() == nil {
		answers <- answer{err: status.Error(codes.Internal, "an unknown command in a batch")}
		return
	}
	inner := reflect.ValueOf(request.GetCmd()).Elem()
	command, known := commands[inner.Type().Field(0).Name]
	if !known {
		answers <- answer{err: status.Error(codes.Internal, inner.Type().Name())}
		return
	}
	response, err := s.handle(ctx, command.name, inner.Field(0).Interface(),
		func() (interface{}, error) {
			results := command.method.Call([]reflect.Value{reflect.ValueOf(ctx), inner.Field(0)})
			err, _ := results[1].Interface().(error)
			return results[0].Interface(), err
		})
	if err != nil {
		answers <- answer{err: err}
		return
	}
	wrapper := reflect.New(command.wrapper)
	wrapper.Elem().Field(0).Set(reflect.ValueOf(response))
	wrapped := &tikvpb.BatchCommandsResponse_Response{}
	reflect.ValueOf(wrapped).Elem().FieldByName("Cmd").Set(wrapper)
	answers <- answer{id: id, response: wrapped}
}
