package mld

import (
	"net/netip"
	"testing"
	"time"
)

// What cannot be is a fault of the program.
func TestImpossiblePanics(t *testing.T) {
	for name, f := range map[string]func(){
		"version":     func() { New(Config{Version: 3}, choice(latest)) },
		"robustness":  func() { New(Config{Robustness: -1}, choice(latest)) },
		"MTU":         func() { New(Config{MTU: 1279}, choice(latest)) },
		"holders":     func() { New(Config{MaxHolders: -1}, choice(latest)) },
		"sources":     func() { New(Config{MaxSources: -1}, choice(latest)) },
		"burst":       func() { New(Config{Burst: -1}, choice(latest)) },
		"gap":         func() { New(Config{Gap: -1}, choice(latest)) },
		"interval":    func() { New(Config{UnsolicitedReportInterval: -1}, choice(latest)) },
		"groups":      func() { New(Config{MaxGroups: -1}, choice(latest)) },
		"event":       func() { New(Config{}, choice(latest)).Step(epoch, nil) },
		"operation":   func() { New(Config{}, choice(latest)).Step(epoch, Changes{{Op: 9, Group: group5}}) },
		"link-local":  func() { New(Config{}, choice(latest)).Step(epoch, SetLinkLocal{sourceA}) },
		"no address":  func() { New(Config{}, choice(latest)).Step(epoch, SetLinkLocal{netip.Addr{}}) },
		"sent packet": func() { Append(nil, ownLL, allNodes, nil) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			f()
		}()
	}
}

func TestCounters(t *testing.T) {
	h := newHost(t, Config{}, latest)
	h.step(0, join(group5))
	h.settle()
	h.step(time.Minute, queryV1(noAddr, 0))
	h.step(time.Minute, leave(group5))
	h.step(time.Minute, join(ownLL))
	h.want(time.Minute, Invalid{BadChecksum})
	h.want(time.Minute, Invalid{BadType})
	h.want(time.Minute, Invalid{BadType})
	want := Counters{QueriesReceived: 1, ReportsSent: 3, DonesSent: 1, ChangesRefused: 1}
	want.Invalid[BadChecksum], want.Invalid[BadType] = 1, 2
	if got := h.Counters(); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

func TestStrings(t *testing.T) {
	want := "IS_IN IS_EX TO_IN TO_EX ALLOW BLOCK unknown "
	got := ""
	for r := ModeIsInclude; r <= BlockOldSources+1; r++ {
		got += r.String() + " "
	}
	if got != want {
		t.Errorf("record types %q, want %q", got, want)
	}
	err := &InvalidError{NoRouterAlert, "RFC 3810, section 6.2", "Query without Router Alert"}
	if got, want := err.Error(), "invalid MLD message: Query without Router Alert (RFC 3810, section 6.2)"; got != want {
		t.Errorf("error %q, want %q", got, want)
	}
}
