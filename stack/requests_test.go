package stack

import (
	"errors"
	"testing"
)

func TestRequests(t *testing.T) {
	var r requests
	type call struct {
		batch, k int
		err      error
	}
	var calls []call
	add := func(batch, n int) RequestID {
		return r.add(n, func(k int, err error) { calls = append(calls, call{batch, k, err}) })
	}
	const large = 2<<batchBits + 3
	first := []RequestID{add(0, 1), add(1, large), add(2, 0), add(3, 2)}
	if first[0] == 0 {
		t.Error("a command has the number 0")
	}
	for k := range RequestID(large) {
		r.finish(first[1]+k, nil)
	}
	if len(calls) != large {
		t.Fatalf("%d of %d commands are done", len(calls), large)
	}
	for k, c := range calls {
		if c != (call{1, k, nil}) {
			t.Fatalf("call %d is %+v", k, c)
		}
	}
	calls = nil
	failure := errors.New("failed")
	r.finish(first[3]+1, failure)
	for _, id := range []RequestID{0, first[0] + 1, first[1], first[1] + large, first[3] + 1, first[3] + 2, 1 << 60} {
		r.finish(id, nil) // unknown, or done
	}
	if len(calls) != 1 || calls[0] != (call{3, 1, failure}) {
		t.Errorf("calls %+v, want the one that failed", calls)
	}
	calls = nil
	closed := errors.New("closed")
	r.finishAll(closed)
	r.finish(first[0], nil)
	add(4, 1)
	seen := map[call]bool{}
	for _, c := range calls {
		seen[c] = true
	}
	if len(calls) != 3 || !seen[call{0, 0, closed}] || !seen[call{3, 0, closed}] || !seen[call{4, 0, closed}] {
		t.Errorf("at the end: %+v", calls)
	}
	if r.pending != nil {
		t.Error("something is still pending")
	}
}
