package conformance

import (
	"container/list"
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/tapstack/tapstack/stack"
)

type knot struct {
	all  list.List // its elements point into the knot
	byID map[*knot]int
	self any
}

// A copy keeps who points to whom, into the middle of things too, and shares
// nothing with what it was made of.
func TestClone(t *testing.T) {
	k := &knot{byID: map[*knot]int{}}
	k.self, k.byID[k] = k, 7
	k.all.PushBack("a")
	c := clone(k, nil)
	if c == k || c.self != any(c) || c.byID[c] != 7 || len(c.byID) != 1 {
		t.Fatalf("the copy is %+v", c)
	}
	c.all.PushBack("b")
	c.all.Remove(c.all.Front()) // an element of another list is not removed
	if k.all.Len() != 1 || c.all.Len() != 1 || c.all.Front().Value != "b" {
		t.Errorf("lists of %d and %d", k.all.Len(), c.all.Len())
	}
}

// A copy of a host does the same as the host from then on, and what one of them
// does leaves the other as it is.
func TestClone_OfAHost(t *testing.T) {
	for _, c := range scenarios(t) {
		if c.Line%7 != 0 || !c.isFor("current") || !forCore(c) {
			continue
		}
		d := &cloningDriver{}
		if r := playCase(context.Background(), c, d, "current", Random); r.Verdict == Fail {
			t.Errorf("%s: %s", c.ID, r.Observed)
		}
		if d.copies == 0 {
			t.Errorf("%s: no copy", c.ID)
		}
	}
}

// cloningDriver makes hosts that are replaced by a copy at each command and
// frame, while what they were goes its own way.
type cloningDriver struct {
	CoreDriver
	copies int
}

func (d *cloningDriver) Open(s Setup) (Target, error) {
	t, err := d.CoreDriver.Open(s)
	if err != nil {
		return nil, err
	}
	return &cloningTarget{t.(*coreTarget), d}, nil
}

type cloningTarget struct {
	*coreTarget
	d *cloningDriver
}

func (t *cloningTarget) replace() {
	old := t.core
	t.core = clone(old, nil)
	t.d.copies++
	old.Step(epoch.Add(t.now), stack.LinkDown{})
	old.Step(epoch.Add(t.now), stack.LinkUp{})
	old.Advance(epoch.Add(t.now + time.Hour))
}

func (t *cloningTarget) Send(frame []byte) error { t.replace(); return t.coreTarget.Send(frame) }
func (t *cloningTarget) Do(c Command) error      { t.replace(); return t.coreTarget.Do(c) }

func BenchmarkClone(b *testing.B) {
	for _, addresses := range []int{1, 10, 100} {
		b.Run(fmt.Sprint(addresses), func(b *testing.B) {
			t, err := CoreDriver{}.Open(Setup{Profile: "current", LinkAddr: HostLinkAddr, Chance: Latest})
			if err != nil {
				b.Fatal(err)
			}
			ns := newNames(HostLinkAddr)
			for i := range addresses {
				cmd, err := order{"add", []string{fmt.Sprintf("2001:db8::%x/64", i+1)}}.command(ns)
				if err != nil {
					b.Fatal(err)
				}
				t.Do(Command{Op: "up"})
				t.Do(cmd)
			}
			for b.Loop() {
				clone(t.(*coreTarget).core, nil)
			}
		})
	}
}
