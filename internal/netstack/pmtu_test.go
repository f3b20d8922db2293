package netstack

import (
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func newPathMTUs(t testing.TB, cfg Config) (*pathMTUs, *atomic.Uint64) {
	paths, evicted := new(pathMTUs), new(atomic.Uint64)
	if err := paths.configure(&cfg, evicted); err != nil {
		t.Fatal(err)
	}
	return paths, evicted
}

func pathDst(k int) (a [16]byte) {
	be.PutUint32(a[12:], uint32(k))
	return a
}

// TestPathMTUEviction: of too many the one that was lowered longest ago goes.
func TestPathMTUEviction(t *testing.T) {
	var now clock
	paths, evicted := newPathMTUs(t, Config{MaxPathMTUs: 3, Now: now.now})
	for _, k := range []int{1, 2, 3} {
		paths.lower(pathDst(k), 1400)
		now.advance(time.Second)
	}
	paths.lower(pathDst(1), 1300) // lowered again
	paths.lower(pathDst(2), 1400) // not lowered
	paths.lower(pathDst(4), 1400)
	for k, want := range map[int]int{1: 1300, 2: 0, 3: 1400, 4: 1400} {
		if got, _ := paths.estimate(pathDst(k)); got != want {
			t.Errorf("estimate %d is %d, want %d", k, got, want)
		}
	}
	if evicted.Load() != 1 || paths.count.Load() != 3 || paths.table.Len() != 3 || paths.order.Len() != 3 {
		t.Errorf("%d evicted, %d left", evicted.Load(), paths.count.Load())
	}
}

// TestPathMTUConfirmed: a Packet Too Big that says nothing new keeps a larger
// packet from being tried for 5 minutes, not longer.
//
// Spec: RFC 8201, section 4, must, PMT-R03
func TestPathMTUConfirmed(t *testing.T) {
	var now clock
	paths, _ := newPathMTUs(t, Config{Now: now.now})
	dst, other := pathDst(1), pathDst(2)
	check := func(at string, dst [16]byte, want int) {
		t.Helper()
		if got, _ := paths.estimate(dst); got != want {
			t.Errorf("%s: estimate %d, want %d", at, got, want)
		}
	}
	paths.lower(dst, 1400)
	paths.lower(other, 1400)
	now.advance(time.Minute)
	paths.lower(dst, 1400)
	now.advance(8 * time.Minute)
	paths.lower(dst, 1400)
	now.advance(time.Minute)
	check("10 min", other, 0)
	now.advance(4*time.Minute - time.Millisecond)
	check("before 14 min", dst, 1400)
	now.advance(time.Millisecond)
	check("14 min", dst, 0)
	if n := paths.count.Load(); n != 0 {
		t.Errorf("%d estimates left", n)
	}
	// One that has ended does not come back.
	paths.lower(dst, 1300)
	now.advance(10 * time.Minute)
	paths.lower(dst, 1350)
	check("anew", dst, 1350)
}

func TestPathMTUsRefused(t *testing.T) {
	for _, cfg := range []Config{{MaxPathMTUs: -1}, {PathMTULifetime: time.Minute}} {
		if err := new(pathMTUs).configure(&cfg, nil); err == nil {
			t.Errorf("%+v is taken", cfg)
		}
	}
}

// TestPathMTUModel: the table is a map with a limit, in which estimates fall
// and end.
//
// Spec: RFC 8201, section 4, must, PMT-R02
func TestPathMTUModel(t *testing.T) {
	type estimate struct {
		mtu            int
		until, lowered time.Duration
	}
	rapid.Check(t, func(rt *rapid.T) {
		var at clock
		most := rapid.IntRange(1, 8).Draw(rt, "limit")
		paths, _ := newPathMTUs(t, Config{MaxPathMTUs: most, Now: at.now})
		model := map[[16]byte]estimate{}
		for range rapid.IntRange(0, 200).Draw(rt, "steps") {
			now := time.Duration(at.passed.Load())
			for dst, e := range model {
				if e.until <= now {
					delete(model, dst)
				}
			}
			dst, mtu := pathDst(rapid.IntRange(0, 9).Draw(rt, "destination")), rapid.IntRange(1280, 1300).Draw(rt, "MTU")
			switch rapid.IntRange(0, 4).Draw(rt, "what") {
			case 0:
				at.advance(time.Duration(rapid.IntRange(0, 300e3).Draw(rt, "milliseconds")) * time.Millisecond)
			case 1:
				paths.keepBelow(mtu)
				for dst, e := range model {
					if e.mtu >= mtu {
						delete(model, dst)
					}
				}
			default:
				paths.lower(dst, mtu)
				e, ok := model[dst]
				if ok && e.mtu <= mtu {
					e.until = max(e.until, now+5*time.Minute)
					model[dst] = e
					break
				}
				// What has ended may be in the way of another, but not alone.
				if !ok && len(model) == most {
					var oldest [16]byte
					for k, v := range model {
						if o, ok := model[oldest]; !ok || v.lowered < o.lowered {
							oldest = k
						}
					}
					delete(model, oldest)
				}
				model[dst] = estimate{mtu, now + 10*time.Minute, now}
				at.advance(time.Millisecond)
			}
			now = time.Duration(at.passed.Load())
			for k := range 10 {
				want := model[pathDst(k)]
				if want.until <= now {
					want.mtu = 0
				}
				if got, ok := paths.estimate(pathDst(k)); got != want.mtu || ok != (want.mtu != 0) {
					rt.Fatalf("estimate %d is %d, want %d", k, got, want.mtu)
				}
			}
			if n := int(paths.count.Load()); n > most || n != len(paths.entries) || n != paths.table.Len() || n != paths.order.Len() {
				rt.Fatalf("%d estimates, limit %d", n, most)
			}
		}
	})
}

// TestPathMTUsAnyTime: the views take what is no IPv6 address.
func TestPathMTUsAnyTime(t *testing.T) {
	h, _ := solo(t)
	if _, ok := h.PathMTU(netip.MustParseAddr("192.0.2.1")); ok {
		t.Error("an estimate for IPv4")
	}
	if list := h.PathMTUs(); len(list) != 0 {
		t.Errorf("%v", list)
	}
}
