package rib_test

import (
	"sync"
	"sync/atomic"
	"testing"

	"github.com/tapstack/tapstack/rib"
)

// Snapshots are read without a lock while the table goes on. It is the race
// detector that can fail this test, and a reader that sees half an assignment.
func TestSnapshotsAreReadWhileTheTableChanges(t *testing.T) {
	redirect := rib.Redirect{Dst: global2, Target: routerA, From: router9}
	table := tableWith(rib.Config{}, rib.Assign{Addr: ll1}, redirect,
		learn("2001:db8::2/128", "fe80::9", 0), learn("2001:db8::2/128", "fe80::a", 0))
	var current atomic.Pointer[rib.Snapshot]
	current.Store(table.Snapshot())

	var readers sync.WaitGroup
	done := make(chan struct{})
	for range 2 {
		readers.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				s := current.Load()
				_, onLink := s.Lookup(elsewhere)
				if local := s.Local(global1.As16()); local != s.IsSource(global1) || local != onLink {
					t.Error("half an assignment")
					return
				}
				s.Source(elsewhere)
				s.NextHop(global1.As16(), elsewhere.As16(), 1)
				s.Skipped(global1.As16(), elsewhere.As16(), 1)
				s.IsFirstHop(global1, elsewhere, router9)
				if got := hop(s, global2, 1); got != "fe80::9" && got != "fe80::a" {
					t.Errorf("half a redirect: %s", got)
					return
				}
			}
		})
	}
	for i := range 5000 {
		apply(table, rib.Assign{Addr: global1, OnLink: all})
		apply(table, rib.Assign{Addr: numbered(i), OnLink: all})
		current.Store(table.Snapshot())
		apply(table, rib.Withdraw{Addr: global1}, rib.Withdraw{Addr: numbered(i)})
		apply(table, failed("fe80::a"), rib.Announce{Router: router9, Prefix: docPrefix})
		current.Store(table.Snapshot())
		apply(table, failed("fe80::9"), rib.Renounce{Router: router9, Prefix: docPrefix})
		current.Store(table.Snapshot())
		apply(table, probable("fe80::9"), probable("fe80::a"), redirect)
		current.Store(table.Snapshot())
	}
	close(done)
	readers.Wait()
}
