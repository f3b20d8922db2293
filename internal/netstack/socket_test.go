package netstack

import (
	"testing"
	"time"
)

// TestDeadlineMoved: a deadline that is moved in the very moment when it passes
// does not pass later.
func TestDeadlineMoved(t *testing.T) {
	d := makeDeadline()
	passed := func() bool {
		select {
		case <-d.done():
			return true
		default:
			return false
		}
	}
	for i := range 3000 {
		d.set(time.Now().Add(time.Duration(i%50) * time.Microsecond))
		for end := time.Now().Add(time.Duration(i%53) * time.Microsecond); time.Now().Before(end); {
		}
		d.set(time.Time{})
		for end := time.Now().Add(20 * time.Microsecond); time.Now().Before(end); {
		}
		if passed() {
			t.Fatalf("round %d: passed, though there is none", i)
		}
	}
	d.set(time.Unix(1, 0))
	if !passed() {
		t.Error("a deadline in the past has not passed")
	}
	d.set(time.Now().Add(time.Hour))
	if passed() {
		t.Error("a deadline in the future has passed")
	}
	d.set(time.Now())
	d.set(time.Unix(1, 0))
	if !passed() {
		t.Error("a deadline in the past has not passed")
	}
	d.set(time.Time{})
}
