package shim

import "github.com/pingcap/kvproto/pkg/kvrpcpb"

// The store takes an empty value for none. So each value has one byte more in it than its writer
// and its readers know, and what has no bytes at all is not there.
const mark = 'v'

func markValues(request interface{}) {
	if prewrite, ok := request.(*kvrpcpb.PrewriteRequest); ok {
		for _, mutation := range prewrite.Mutations {
			if mutation.Op == kvrpcpb.Op_Put || mutation.Op == kvrpcpb.Op_Insert {
				mutation.Value = append(mutation.Value, mark)
			}
		}
	}
}

func unmarkValues(request, response interface{}) {
	switch r := response.(type) {
	case *kvrpcpb.GetResponse:
		r.NotFound = r.Error == nil && r.RegionError == nil && len(r.Value) == 0
		r.Value = unmarked(r.Value)
	case *kvrpcpb.BatchGetResponse:
		unmarkPairs(r.Pairs)
	case *kvrpcpb.ScanResponse:
		unmarkPairs(r.Pairs)
		if scan, ok := request.(*kvrpcpb.ScanRequest); ok && scan.KeyOnly {
			for _, pair := range r.Pairs {
				pair.Value = nil
			}
		}
	}
}

func unmarkPairs(pairs []*kvrpcpb.KvPair) {
	for _, pair := range pairs {
		pair.Value = unmarked(pair.Value)
	}
}

func unmarked(value []byte) []byte {
	if len(value) == 0 {
		return value
	}
	return value[:len(value)-1]
}
