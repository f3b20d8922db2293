package stack

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/tapstack/tapstack/mld"
	"github.com/tapstack/tapstack/nd"
)

// Two addresses that share their solicited-node group and their prefix.
var explored = []netip.Prefix{
	netip.MustParsePrefix("2001:db8::1:0:beef:5/64"),
	netip.MustParsePrefix("2001:db8::beef:5/64"),
}

// stimulus is one thing that can happen to the host under exploration.
type stimulus struct {
	name string
	do   func(n *node)
}

func stimuli() []stimulus {
	all := []stimulus{
		{"next timer", func(n *node) {
			if at, ok := n.core.Deadline(); ok {
				n.run(max(0, at.Sub(n.now)))
			}
		}},
		{"a quarter of a second", func(n *node) { n.run(250 * time.Millisecond) }},
		{"link down", func(n *node) { n.step(LinkDown{}) }},
		{"link up", func(n *node) { n.step(LinkUp{}) }},
	}
	for k, p := range explored {
		a := p.Addr()
		add := func(name string, do func(n *node)) {
			all = append(all, stimulus{fmt.Sprintf("%s %d", name, k), do})
		}
		add("add", func(n *node) { n.add(p.String()) })
		add("remove", func(n *node) { n.remove(a.String()) })
		add("advert", func(n *node) { n.isClaimed(a.String()) })
		add("probe of another", func(n *node) {
			n.hears(netip.IPv6Unspecified(), nd.SolicitedNode(a), &nd.NeighborSolicit{Target: a})
		})
		add("own probe looped back", func(n *node) {
			if frame := n.probes[a]; frame != nil {
				n.receives(frame)
			}
		})
		add("accept", func(n *node) { n.step(AcceptAddress{n.id(), a}) })
		add("probe refused", func(n *node) { n.step(ProbeFailed{Addr: a}) })
	}
	return all
}

// state is what decides the future: the views, the phases, and what the host
// will do if nothing else happens. It lets that time pass.
func (n *node) state() string {
	var b strings.Builder
	b.WriteString(n.view())
	for _, p := range explored {
		fmt.Fprint(&b, n.core.dad.State(p.Addr()), " ")
	}
	fmt.Fprintln(&b, n.core.up)
	n.take()
	from := n.now
	for range 64 {
		at, ok := n.core.Deadline()
		if !ok {
			break
		}
		n.run(max(0, at.Sub(n.now)))
		fmt.Fprintln(&b, n.now.Sub(from), lines(n.take()))
	}
	return b.String()
}

// Every sequence of stimuli up to a depth, with equal states visited once:
// node.check holds in each, and nothing is left once all is gone.
func TestExploreTwoAddressesThatShareGroupAndPrefix(t *testing.T) {
	const depth = 9
	profiles := map[string]Profile{"rfc2462": RFC2462(), "rfc4862": RFC4862(), "current": Current()}
	for name, profile := range profiles {
		t.Run(name, func(t *testing.T) {
			visited := explore(t, profile, depth)
			t.Logf("%d states visited to depth %d", visited, depth)
			if visited < 100 {
				t.Errorf("only %d states: the exploration does not explore", visited)
			}
		})
	}
}

func explore(t *testing.T, profile Profile, depth int) (visited int) {
	all := stimuli()
	replay := func(path []int) *node {
		n := newNode(t, CoreConfig{Profile: profile, NoLinkLocal: true})
		n.random.point = 0.4
		n.step(LinkUp{})
		for _, k := range path {
			all[k].do(n)
		}
		return n
	}
	seen := map[string]bool{}
	frontier := [][]int{nil}
	for range depth {
		var next [][]int
		for _, path := range frontier {
			for k := range all {
				longer := append(path[:len(path):len(path)], k)
				if s := replay(longer).state(); !seen[s] {
					seen[s] = true
					next = append(next, longer)
					replay(longer).endsEmpty(func() string { return pathNames(all, longer) })
				}
				if t.Failed() {
					t.Fatalf("after %s", pathNames(all, longer))
				}
			}
		}
		frontier = next
	}
	return len(seen)
}

func pathNames(all []stimulus, path []int) string {
	var names []string
	for _, k := range path {
		names = append(names, all[k].name)
	}
	return strings.Join(names, ", ")
}

// endsEmpty removes every address and waits: no route, no group but ff02::1,
// no timer and no unanswered request may be left.
func (n *node) endsEmpty(path func() string) {
	for _, p := range explored {
		n.remove(p.Addr().String())
	}
	n.run(time.Hour)
	groups := n.core.Groups()
	for k, g := range groups {
		if g.Addr == nd.AllNodes && g.Holders[0].Kind == mld.HolderNode {
			groups = append(groups[:k:k], groups[k+1:]...)
			break
		}
	}
	if len(n.core.Addresses()) != 0 || len(n.core.Routes()) != 0 || len(groups) != 0 || len(n.enabled) != 0 || len(n.pending) != 0 {
		n.t.Errorf("after %s and the end of all, there is left: %d requests,\n%s", path(), len(n.pending), n.view())
	}
	if at, ok := n.core.Deadline(); ok {
		n.t.Errorf("after %s and the end of all, a timer runs at %v", path(), at.Sub(n.now))
	}
}
