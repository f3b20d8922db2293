package stack

import (
	"context"
	"iter"
	"sync"
)

// eventRingSize is how many events a Stack remembers for slow subscribers.
const eventRingSize = 4096

// eventRing numbers events and keeps the latest.
type eventRing struct {
	mu          sync.Mutex
	events      [eventRingSize]Event
	next        uint64 // number of the next event; the first is 1
	subscribers map[*Subscription]struct{}
	closed      bool
}

func newEventRing() *eventRing {
	return &eventRing{next: 1, subscribers: make(map[*Subscription]struct{})}
}

func (r *eventRing) publish(ev Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	ev.Seq = r.next
	r.events[ev.Seq%eventRingSize] = ev
	r.next++
	for s := range r.subscribers {
		s.signal()
	}
}

// close ends every subscription once it has caught up.
func (r *eventRing) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	for s := range r.subscribers {
		s.signal()
	}
}

func (r *eventRing) oldest() uint64 {
	if r.next <= eventRingSize {
		return 1
	}
	return r.next - eventRingSize
}

// Subscription is one reader of the events of a Stack. A slow reader does not
// hold anybody up: it is told with a Lost event what it missed.
type Subscription struct {
	ring *eventRing
	wake chan struct{} // capacity 1
	next uint64        // guarded by ring.mu
	done bool          // guarded by ring.mu
}

// Subscribe returns a reader of the events from now on. Close it after use.
func (s *Stack) Subscribe() *Subscription { return s.events.subscribe(nil) }

// SubscribeSince returns a reader that begins with the events whose number is
// higher than seq, as far as they are still remembered.
func (s *Stack) SubscribeSince(seq uint64) *Subscription { return s.events.subscribe(&seq) }

func (r *eventRing) subscribe(since *uint64) *Subscription {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := &Subscription{ring: r, wake: make(chan struct{}, 1), next: r.next}
	if since != nil && *since+1 < r.next {
		s.next = *since + 1
	}
	r.subscribers[s] = struct{}{}
	return s
}

func (s *Subscription) signal() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// All yields the events in order until ctx ends, the Subscription is closed
// or the Stack is closed. It may be called again to go on.
func (s *Subscription) All(ctx context.Context) iter.Seq[Event] {
	return func(yield func(Event) bool) {
		for {
			ev, ok, ended := s.take()
			switch {
			case ok:
				if !yield(ev) {
					return
				}
				continue
			case ended:
				return
			}
			select {
			case <-s.wake:
			case <-ctx.Done():
				return
			}
		}
	}
}

// take returns the next event if there is one; ended, that there will be none.
func (s *Subscription) take() (ev Event, ok, ended bool) {
	s.ring.mu.Lock()
	defer s.ring.mu.Unlock()
	if s.done {
		return Event{}, false, true
	}
	if first := s.ring.oldest(); s.next < first {
		latest := s.ring.events[first%eventRingSize]
		ev = Event{Seq: first - 1, Time: latest.Time, Type: Lost, From: s.next, To: first - 1}
		s.next = first
		return ev, true, false
	}
	if s.next == s.ring.next {
		return Event{}, false, s.ring.closed
	}
	ev = s.ring.events[s.next%eventRingSize]
	s.next++
	return ev, true, false
}

// Close ends the subscription.
func (s *Subscription) Close() {
	s.ring.mu.Lock()
	defer s.ring.mu.Unlock()
	s.done = true
	delete(s.ring.subscribers, s)
	s.signal()
}
