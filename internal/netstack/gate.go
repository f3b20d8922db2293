package netstack

import (
	"math"
	"sync/atomic"
)

// gate lets many through until it is shut, and then waits for those that are
// on their way. Unlike a read lock it may be entered again by who is in it.
type gate struct {
	inside atomic.Int64  // plus math.MinInt64 once shut
	empty  chan struct{} // holds a token when the last has left a shut gate
}

func makeGate() gate { return gate{empty: make(chan struct{}, 1)} }

// enter reports whether the gate is open. If so, leave is to be called.
func (g *gate) enter() bool {
	if g.inside.Add(1) > 0 {
		return true
	}
	g.leave()
	return false
}

func (g *gate) leave() {
	if g.inside.Add(-1) == math.MinInt64 {
		signal(g.empty)
	}
}

// shut returns when nobody is inside, and nobody will be. It is called once.
func (g *gate) shut() {
	if g.inside.Add(math.MinInt64) != math.MinInt64 {
		<-g.empty
	}
}
