package dad

import (
	"fmt"
	"testing"
	"time"

	"github.com/tapstack/tapstack/nd"
)

// Spec: RFC 7527, section 4.1, MUST, EDAD-R01
// Spec: RFC 7527, section 4.1, MUST, EDAD-R02
func TestEDAD_R02_EveryProbeHasANewNonce(t *testing.T) {
	check(t, `
	config transmits=2
	0s      start fe80::1
	        > join ff02::1:ff00:1 for fe80::1
	        > probe fe80::1 to ff02::1:ff00:1 nonce=01
	0s      start fe80::2
	        > join ff02::1:ff00:2 for fe80::2
	        > probe fe80::2 to ff02::1:ff00:2 nonce=02
	1s      timer
	        > probe fe80::1 to ff02::1:ff00:1 nonce=03
	        > probe fe80::2 to ff02::1:ff00:2 nonce=04
	1.5s    ns fe80::1 nonce=03
	2s      timer
	        > looped fe80::1 probes=1
	        > probe fe80::1 to ff02::1:ff00:1 nonce=05
	        > assign fe80::2
	2s      quiet
	`)
}

// All nonces of the test are known until it ends, and only to their address.
//
// Spec: RFC 7527, section 4.1, MUST, EDAD-R02
func TestEDAD_R02_NoncesAreStoredWithTheAddress(t *testing.T) {
	check(t, `
	config transmits=3
	0s      start fe80::1
	        > join ff02::1:ff00:1 for fe80::1
	        > probe fe80::1 to ff02::1:ff00:1 nonce=01
	0s      start fe80::2
	        > join ff02::1:ff00:2 for fe80::2
	        > probe fe80::2 to ff02::1:ff00:2 nonce=02
	1s      timer
	        > probe fe80::1 to ff02::1:ff00:1 nonce=03
	        > probe fe80::2 to ff02::1:ff00:2 nonce=04
	1.1s    ns fe80::1 nonce=01
	1.2s    ns fe80::1 nonce=03
	1.3s    ns fe80::2 nonce=01
	        > leave ff02::1:ff00:2 for fe80::2
	        > reject fe80::2 by 02:00:00:00:00:09 (neighbor solicitation)
	`)
}

// Spec: RFC 7527, section 4.2, MUST, EDAD-R03
func TestEDAD_R03_OwnNonceIsNoDuplicate(t *testing.T) {
	for _, loopback := range []string{"none", "echoes", "unknown"} {
		check(t, `
	config linkaddr=02:00:00:00:00:01 loopback=`+loopback+`
	0s      start fe80::1
	        > join ff02::1:ff00:1 for fe80::1
	        > probe fe80::1 to ff02::1:ff00:1 nonce=01
	100ms   ns fe80::1 nonce=01 from=02:00:00:00:00:01
	200ms   ns fe80::1 nonce=01 from=02:00:00:00:00:01
	300ms   ns fe80::1 nonce=01
	1s      timer
	        > looped fe80::1 probes=3
	        > probe fe80::1 to ff02::1:ff00:1 nonce=02
	2s      timer
	        > probe fe80::1 to ff02::1:ff00:1 nonce=03
	3s      timer
	        > probe fe80::1 to ff02::1:ff00:1 nonce=04
	4s      timer
	        > assign fe80::1
	1h      quiet
	`)
	}
}

// A longer nonce is another one, also if it begins with ours.
//
// Spec: RFC 7527, section 4.2, SHOULD, EDAD-R04
func TestEDAD_R04_ForeignNonceIsADuplicate(t *testing.T) {
	for _, nonce := range []string{"02", "ffffffffffff", "0000000000010000", "0100"} {
		check(t, `
	0s      start fe80::1
	        > join ff02::1:ff00:1 for fe80::1
	        > probe fe80::1 to ff02::1:ff00:1 nonce=01
	500ms   ns fe80::1 nonce=`+nonce+`
	        > leave ff02::1:ff00:1 for fe80::1
	        > reject fe80::1 by 02:00:00:00:00:09 (neighbor solicitation)
	`)
	}
}

// Spec: RFC 4862, section 5.4.3, DER, EDAD-R05
func TestEDAD_R05_NoNonceIsADuplicate(t *testing.T) {
	for _, loopback := range []string{"none", "echoes", "unknown"} {
		check(t, `
	config linkaddr=02:00:00:00:00:01 loopback=`+loopback+`
	0s      start fe80::1
	        > join ff02::1:ff00:1 for fe80::1
	        > probe fe80::1 to ff02::1:ff00:1 nonce=01
	500ms   ns fe80::1 from=02:00:00:00:00:01
	        > leave ff02::1:ff00:1 for fe80::1
	        > reject fe80::1 by 02:00:00:00:00:01 (neighbor solicitation)
	`)
	}
}

// A round of one probe, then rounds of three until one is not looped back. The
// echo may be of any probe, and come as late as the last moment of the round.
//
// Spec: RFC 7527, section 4.1, must, EDAD-R06
func TestEDAD_R06_ProbesUntilARoundIsNotLoopedBack(t *testing.T) {
	check(t, `
	config retrans=2s
	0s      start fe80::1
	        > join ff02::1:ff00:1 for fe80::1
	        > probe fe80::1 to ff02::1:ff00:1 nonce=01
	1.999999999s ns fe80::1 nonce=01
	2s      timer
	        > looped fe80::1 probes=1
	        > probe fe80::1 to ff02::1:ff00:1 nonce=02
	3s      ns fe80::1 nonce=01
	4s      timer
	        > probe fe80::1 to ff02::1:ff00:1 nonce=03
	6s      timer
	        > probe fe80::1 to ff02::1:ff00:1 nonce=04
	8s      timer
	        > looped fe80::1 probes=1
	        > probe fe80::1 to ff02::1:ff00:1 nonce=05
	10s     timer
	        > probe fe80::1 to ff02::1:ff00:1 nonce=06
	12s     timer
	        > probe fe80::1 to ff02::1:ff00:1 nonce=07
	14s     timer
	        > assign fe80::1
	1h      quiet
	`)
}

// Spec: RFC 7527, section 4.1, must, EDAD-R06
func TestEDAD_R06_AcceptEndsTheProbing(t *testing.T) {
	check(t, `
	0s      start fe80::1
	        > join ff02::1:ff00:1 for fe80::1
	        > probe fe80::1 to ff02::1:ff00:1 nonce=01
	100ms   accept fe80::1
	200ms   ns fe80::1 nonce=01
	1s      timer
	        > looped fe80::1 probes=1
	        > probe fe80::1 to ff02::1:ff00:1 nonce=02
	1.5s    accept fe80::1
	        > assign fe80::1
	1.6s    ns fe80::1 nonce=02
	1.7s    accept fe80::1
	1h      quiet
	`)
}

// With an echo, the test of an optimistic address goes on too.
//
// Spec: RFC 7527, section 4.1, must, EDAD-R06
func TestEDAD_R06_OptimisticAddress(t *testing.T) {
	check(t, `
	0s      start fe80::1 optimistic
	        > join ff02::1:ff00:1 for fe80::1
	        > assign fe80::1 optimistic
	        > probe fe80::1 to ff02::1:ff00:1 nonce=01
	200ms   ns fe80::1 nonce=01
	1s      timer
	        > looped fe80::1 probes=1
	        > probe fe80::1 to ff02::1:ff00:1 nonce=02
	1.5s    accept fe80::1
	        > assign fe80::1
	1h      quiet
	`)
}

// Spec: RFC 7527, section 5, must, EDAD-R07
func TestEDAD_R07_ConflictAfterLoopback(t *testing.T) {
	for event, kind := range map[string]string{
		"ns fe80::1 nonce=77": "solicitation", "ns fe80::1": "solicitation", "na fe80::1": "advertisement",
	} {
		check(t, `
	0s      start fe80::1
	        > join ff02::1:ff00:1 for fe80::1
	        > probe fe80::1 to ff02::1:ff00:1 nonce=01
	200ms   ns fe80::1 nonce=01
	300ms   `+event+`
	        > leave ff02::1:ff00:1 for fe80::1
	        > reject fe80::1 by 02:00:00:00:00:09 (neighbor `+kind+`)
	1h      quiet
	`)
		check(t, `
	0s      start fe80::1
	        > join ff02::1:ff00:1 for fe80::1
	        > probe fe80::1 to ff02::1:ff00:1 nonce=01
	200ms   ns fe80::1 nonce=01
	1s      timer
	        > looped fe80::1 probes=1
	        > probe fe80::1 to ff02::1:ff00:1 nonce=02
	2s      timer
	        > probe fe80::1 to ff02::1:ff00:1 nonce=03
	2.1s    ns fe80::1 nonce=03
	2.2s    `+event+`
	        > leave ff02::1:ff00:1 for fe80::1
	        > reject fe80::1 by 02:00:00:00:00:09 (neighbor `+kind+`)
	1h      quiet
	`)
	}
}

// A node without Enhanced DAD sends no nonces and looks at none.
//
// Spec: RFC 4861, section 9, MUST, EDAD-R08
func TestEDAD_R08_NonceIsIgnoredWithoutTheKnob(t *testing.T) {
	check(t, `
	config no-nonce loopback=echoes
	0s      start fe80::1
	        > join ff02::1:ff00:1 for fe80::1
	        > probe fe80::1 to ff02::1:ff00:1
	100ms   ns fe80::1 nonce=77
	200ms   accept fe80::1
	1s      timer
	        > assign fe80::1
	1s      quiet
	`)
}

// The nonces of a test without end stay few; that of a probe which keeps coming
// back is not among those forgotten.
func TestNoncesAreBounded(t *testing.T) {
	m := New(Config{}, new(script))
	m.Step(epoch, Start{Addr: tableAddr})
	now := epoch
	for i := range uint64(10 * maxNonces) {
		now = now.Add(time.Second)
		m.Step(now.Add(-2), solicit("::", tableAddr, nonce(1), ownMAC))
		m.Step(now.Add(-1), solicit("::", tableAddr, nonce(i+1), ownMAC))
		m.Advance(now)
		if got := m.State(tableAddr); got != Tentative {
			t.Fatalf("state %d after %d probes", got, i)
		}
		if n := len(m.trials[tableAddr.As16()].nonces); n > maxNonces {
			t.Fatalf("%d nonces after %d probes", n, i)
		}
	}
	m.Step(now, solicit("::", tableAddr, nonce(2), ownMAC))
	if got := m.State(tableAddr); got != Absent {
		t.Errorf("state %d after a forgotten nonce, want the safe side", got)
	}
}

func TestNonces(t *testing.T) {
	var s nonces
	for i := range uint64(maxNonces) {
		s.add(nonce(i))
	}
	if !s.heard(nonce(0)) || s.heard(nonce(maxNonces)) || s.heard("") {
		t.Error("wrong about what was added")
	}
	s.add(nonce(maxNonces)) // in place of 1, for 0 was heard since
	for n, want := range map[nd.Nonce]bool{nonce(0): true, nonce(1): false, nonce(2): true, nonce(maxNonces): true} {
		if got := s.heard(n); got != want {
			t.Errorf("%s: %v, want %v", n, got, want)
		}
	}
	seen := make(map[string]bool)
	for _, n := range s {
		seen[fmt.Sprint(n)] = true
	}
	if len(seen) != maxNonces || len(s) != maxNonces {
		t.Errorf("%d different ones among %d, want %d", len(seen), len(s), maxNonces)
	}
}
