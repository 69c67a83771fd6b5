package shim

import (
	"context"
	"math"

	"github.com/pingcap/kvproto/pkg/kvrpcpb"
)

// repair changes a request so that the store does what TiKV would. It returns what is to be done to
// the response; or a response, where the request must not be executed.
func (s *Service) repair(ctx context.Context, request interface{}) (
	restore func(response interface{}), instead interface{}, err error) {
	markValues(request)
	switch r := request.(type) {
	case *kvrpcpb.ScanRequest:
		if r.Reverse {
			return scanForward(r), nil, nil
		}
	case *kvrpcpb.PrewriteRequest:
		instead, err = s.writeLocks(ctx, r)
	}
	return func(response interface{}) { unmarkValues(request, response) }, instead, err
}

// The store's scans backwards read the newest versions, whatever snapshot they are asked for. So the
// whole range is scanned forwards.
func scanForward(r *kvrpcpb.ScanRequest) func(interface{}) {
	limit := int(r.Limit)
	r.Reverse, r.StartKey, r.EndKey, r.Limit = false, r.EndKey, r.StartKey, math.MaxInt32
	return func(response interface{}) {
		scanned, ok := response.(*kvrpcpb.ScanResponse)
		if !ok {
			return
		}
		var pairs []*kvrpcpb.KvPair
		for i := len(scanned.Pairs) - 1; i >= 0 && len(pairs) < limit; i-- {
			pairs = append(pairs, scanned.Pairs[i])
		}
		scanned.Pairs = pairs
		unmarkValues(r, response)
	}
}

// The store keeps no record of a committed lock, so that nothing conflicts with it. So a lock puts
// what its transaction reads there, or deletes what it finds absent.
func (s *Service) writeLocks(ctx context.Context, r *kvrpcpb.PrewriteRequest) (interface{}, error) {
	for _, mutation := range r.Mutations {
		if mutation.Op != kvrpcpb.Op_Lock {
			continue
		}
		found, err := s.Server.KvGet(ctx, &kvrpcpb.GetRequest{
			Context: r.Context, Key: mutation.Key, Version: r.StartVersion})
		if err != nil {
			return nil, err
		}
		if found.RegionError != nil {
			return &kvrpcpb.PrewriteResponse{RegionError: found.RegionError}, nil
		}
		if found.Error != nil && found.Error.Locked.GetLockVersion() != r.StartVersion {
			// What will be there is not known before that has ended.
			return &kvrpcpb.PrewriteResponse{Errors: []*kvrpcpb.KeyError{found.Error}}, nil
		}
		// Where the lock is our own, it is there already, and what is said now does not count.
		mutation.Op, mutation.Value = kvrpcpb.Op_Put, found.Value
		if len(found.Value) == 0 {
			mutation.Op = kvrpcpb.Op_Del
		}
	}
	return nil, nil
}
