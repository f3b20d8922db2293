// Package timerq is the timer queue of the pure machines: a binary heap of
// deadlines, one per key, ordered by time and, at equal times, by the order in
// which they were set. Every operation is O(log n), amortized; nothing reads a
// clock.
package timerq

import (
	"container/heap"
	"slices"
	"time"
)

// Queue holds at most one deadline per key. The zero value is empty and ready.
type Queue[K comparable] struct {
	items entries[K] // the first is armed, if there is one
	byKey map[K]*entry[K]
	seq   uint64
	most  int // keys since the memory was last let go of
}

// spare is how many keys the memory of an empty Queue may have room for, and how
// many disarmed entries may stay however few are armed.
const spare = 256

// entry stays in the heap when it is disarmed, until it comes first or is one
// of too many: to take it out of the middle costs a search down the heap.
type entry[K comparable] struct {
	key      K
	at       time.Time
	seq      uint64
	index    int
	disarmed bool
}

// Set arms the deadline of key, in place of an earlier one.
func (q *Queue[K]) Set(key K, at time.Time) {
	q.seq++
	if e, ok := q.byKey[key]; ok {
		e.at, e.seq = at, q.seq
		heap.Fix(&q.items, e.index)
		q.tidy()
		return
	}
	if q.byKey == nil {
		q.byKey = make(map[K]*entry[K])
	}
	e := &entry[K]{key: key, at: at, seq: q.seq}
	q.byKey[key] = e
	heap.Push(&q.items, e)
	q.most = max(q.most, len(q.items))
}

// Clear disarms key and reports whether it was armed.
func (q *Queue[K]) Clear(key K) bool {
	e, ok := q.byKey[key]
	if ok {
		delete(q.byKey, key)
		e.disarmed = true
		q.tidy()
	}
	return ok
}

// At returns the deadline of key.
func (q *Queue[K]) At(key K) (at time.Time, ok bool) {
	e, ok := q.byKey[key]
	if !ok {
		return time.Time{}, false
	}
	return e.at, true
}

// Next returns the earliest deadline.
func (q *Queue[K]) Next() (at time.Time, ok bool) {
	if len(q.items) == 0 {
		return time.Time{}, false
	}
	return q.items[0].at, true
}

// PopDue removes and returns the earliest deadline if it is at or before now.
func (q *Queue[K]) PopDue(now time.Time) (key K, at time.Time, ok bool) {
	if len(q.items) == 0 || q.items[0].at.After(now) {
		return key, at, false
	}
	e := heap.Pop(&q.items).(*entry[K])
	delete(q.byKey, e.key)
	q.tidy()
	return e.key, e.at, true
}

// tidy takes out disarmed entries that are first, or all when there are more of
// them than of others, and lets go of the memory of a Queue that had many keys
// and has none.
func (q *Queue[K]) tidy() {
	armed := len(q.byKey)
	switch disarmed := len(q.items) - armed; {
	case armed == 0 && q.most > spare:
		q.Reset()
	case disarmed > max(armed, spare):
		q.items = slices.DeleteFunc(q.items, func(e *entry[K]) bool { return e.disarmed })
		for i, e := range q.items {
			e.index = i
		}
		heap.Init(&q.items)
	}
	for len(q.items) > 0 && q.items[0].disarmed {
		heap.Pop(&q.items)
	}
}

// Len returns the number of armed deadlines.
func (q *Queue[K]) Len() int { return len(q.byKey) }

// Reset disarms every key.
func (q *Queue[K]) Reset() {
	q.byKey, q.items, q.most = nil, nil, 0
}

type entries[K comparable] []*entry[K]

func (s entries[K]) Len() int { return len(s) }

func (s entries[K]) Less(i, j int) bool {
	if c := s[i].at.Compare(s[j].at); c != 0 {
		return c < 0
	}
	return s[i].seq < s[j].seq
}

func (s entries[K]) Swap(i, j int) {
	s[i], s[j] = s[j], s[i]
	s[i].index, s[j].index = i, j
}

func (s *entries[K]) Push(x any) {
	e := x.(*entry[K])
	e.index = len(*s)
	*s = append(*s, e)
}

func (s *entries[K]) Pop() any {
	old := *s
	e := old[len(old)-1]
	old[len(old)-1] = nil
	*s = old[:len(old)-1]
	return e
}
