package timerq

import (
	"sort"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// The queue pops what a sorted list of (time, order of setting) would.
func TestAgainstSortedList(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var q Queue[int]
		type row struct {
			key int
			at  time.Time
			seq int
		}
		var model []row
		remove := func(key int) {
			for i, r := range model {
				if r.key == key {
					model = append(model[:i], model[i+1:]...)
					return
				}
			}
		}
		base := time.Unix(1_000_000, 0)
		for seq := range rapid.IntRange(0, 200).Draw(t, "steps") {
			key := rapid.IntRange(0, 20).Draw(t, "key")
			switch rapid.IntRange(0, 3).Draw(t, "op") {
			case 0, 1:
				at := base.Add(time.Duration(rapid.IntRange(0, 5).Draw(t, "at")))
				remove(key)
				model = append(model, row{key, at, seq})
				q.Set(key, at)
			case 2:
				n := len(model)
				remove(key)
				if got := q.Clear(key); got != (len(model) < n) {
					t.Fatalf("Clear(%d) = %v", key, got)
				}
			case 3:
				sort.Slice(model, func(i, j int) bool {
					if c := model[i].at.Compare(model[j].at); c != 0 {
						return c < 0
					}
					return model[i].seq < model[j].seq
				})
				now := base.Add(2)
				k, at, ok := q.PopDue(now)
				want := len(model) > 0 && !model[0].at.After(now)
				if ok != want || ok && (k != model[0].key || !at.Equal(model[0].at)) {
					t.Fatalf("PopDue = %v %v %v, model %v", k, at, ok, model)
				}
				if ok {
					model = model[1:]
				}
			}
			if q.Len() != len(model) {
				t.Fatalf("Len = %d, want %d", q.Len(), len(model))
			}
			for _, r := range model {
				if at, ok := q.At(r.key); !ok || !at.Equal(r.at) {
					t.Fatalf("At(%d) = %v %v, want %v", r.key, at, ok, r.at)
				}
			}
		}
	})
}

// What was disarmed does not pile up, however far its time was off.
func TestDisarmedEntriesAreFew(t *testing.T) {
	var q Queue[int]
	q.Set(1<<40, time.Unix(0, 0))
	const armed = 2 * spare
	for k := range 100 * armed {
		q.Set(k, time.Unix(1000, 0))
		q.Clear(k - armed)
		if n := len(q.items); n > 2*armed+4 {
			t.Fatalf("%d entries for %d armed ones", n, q.Len())
		}
	}
	if at, ok := q.Next(); !ok || !at.Equal(time.Unix(0, 0)) {
		t.Errorf("Next = %v, %v", at, ok)
	}
}

// A Queue that had very many keys lets go of their memory with the last.
func TestAnEmptyQueueIsSmall(t *testing.T) {
	for name, empty := range map[string]func(*Queue[int], int){
		"popped":  func(q *Queue[int], _ int) { q.PopDue(time.Unix(1, 0)) },
		"cleared": func(q *Queue[int], k int) { q.Clear(k) },
	} {
		var q Queue[int]
		for k := range 10 * spare {
			q.Set(k, time.Unix(0, 0))
		}
		for k := range 10 * spare {
			empty(&q, k)
		}
		if q.Len() != 0 || q.byKey != nil || q.items != nil {
			t.Errorf("%s: an empty queue keeps its memory", name)
		}
	}
}
