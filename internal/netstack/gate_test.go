package netstack

import (
	"sync"
	"sync/atomic"
	"testing"
)

// TestGate: nobody is inside, and nobody gets in, once shut has returned.
func TestGate(t *testing.T) {
	for range 200 {
		g := makeGate()
		var isShut atomic.Bool
		var wg sync.WaitGroup
		started := make(chan struct{}, 4)
		for range 4 {
			wg.Go(func() {
				for i := 0; g.enter(); i++ {
					nested := g.enter()
					if isShut.Load() {
						t.Error("inside a shut gate")
					}
					if nested {
						g.leave()
					}
					g.leave()
					if i == 0 {
						started <- struct{}{}
					}
				}
			})
		}
		<-started
		g.shut()
		isShut.Store(true)
		wg.Wait()
	}
	g := makeGate()
	g.shut()
	if g.enter() {
		t.Error("a shut gate that nobody had used is open")
	}
}
