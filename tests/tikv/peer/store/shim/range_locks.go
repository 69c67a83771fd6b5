package shim

import (
	"bytes"
	"sync"

	"github.com/pingcap/kvproto/pkg/kvrpcpb"
)

// The store chooses the commit timestamp of a one-phase or async commit, and locks or commits the
// keys later: a read in between, at a larger timestamp, misses it and breaks snapshot isolation.
// TiKV's locks in memory are against that, and the store has none. So a read and such a prewrite of
// a key that it reads exclude each other here; all else goes on side by side.
type rangeLocks struct {
	mutex   sync.Mutex
	changed sync.Cond
	held    map[*span]struct{}
}

// Ranges of keys, each with its end outside; an empty end has no bound.
type span struct {
	read   bool
	ranges [][2][]byte
}

func (a *span) conflicts(b *span) bool {
	if a.read && b.read {
		return false
	}
	for _, x := range a.ranges {
		for _, y := range b.ranges {
			if below(x[0], y[1]) && below(y[0], x[1]) {
				return true
			}
		}
	}
	return false
}

func below(begin, end []byte) bool { return len(end) == 0 || bytes.Compare(begin, end) < 0 }

func keyRange(key []byte) [2][]byte {
	return [2][]byte{key, append(key[:len(key):len(key)], 0)}
}

func spanOf(request interface{}) *span {
	switch r := request.(type) {
	case *kvrpcpb.GetRequest:
		return &span{read: true, ranges: [][2][]byte{keyRange(r.Key)}}
	case *kvrpcpb.BatchGetRequest:
		s := &span{read: true}
		for _, key := range r.Keys {
			s.ranges = append(s.ranges, keyRange(key))
		}
		return s
	case *kvrpcpb.ScanRequest:
		if r.Reverse {
			return &span{read: true, ranges: [][2][]byte{{r.EndKey, r.StartKey}}}
		}
		return &span{read: true, ranges: [][2][]byte{{r.StartKey, r.EndKey}}}
	case *kvrpcpb.PrewriteRequest:
		if !r.UseAsyncCommit && !r.TryOnePc {
			return nil
		}
		s := &span{}
		for _, mutation := range r.Mutations {
			s.ranges = append(s.ranges, keyRange(mutation.Key))
		}
		return s
	}
	return nil
}

// lock waits until nothing that conflicts with the request is under way. What it returns ends it.
func (l *rangeLocks) lock(request interface{}) func() {
	mine := spanOf(request)
	if mine == nil {
		return func() {}
	}
	l.mutex.Lock()
	defer l.mutex.Unlock()
	if l.held == nil {
		l.held = make(map[*span]struct{})
		l.changed.L = &l.mutex
	}
	for l.conflictsWithHeld(mine) {
		l.changed.Wait()
	}
	l.held[mine] = struct{}{}
	return func() {
		l.mutex.Lock()
		delete(l.held, mine)
		l.mutex.Unlock()
		l.changed.Broadcast()
	}
}

func (l *rangeLocks) conflictsWithHeld(mine *span) bool {
	for other := range l.held {
		if mine.conflicts(other) {
			return true
		}
	}
	return false
}
