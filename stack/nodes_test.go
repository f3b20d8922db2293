package stack_test

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/tapstack/tapstack/mld"
	"github.com/tapstack/tapstack/nd"
	"github.com/tapstack/tapstack/rib"
	"github.com/tapstack/tapstack/stack"
	"github.com/tapstack/tapstack/tap"
)

// contested are the addresses that the nodes fight over; the first two share
// their solicited-node group.
var contested = []netip.Prefix{
	netip.MustParsePrefix("2001:db8::beef:5/64"),
	netip.MustParsePrefix("2001:db8::1:0:beef:5/64"),
	netip.MustParsePrefix("fe80::beef:5/64"),
}

// nodePlan is one case: who does what when, on what kind of switch.
type nodePlan struct {
	profile stack.Profile
	sw      tap.SwitchConfig
	nodes   int
	steps   []nodeStep
}

type nodeStep struct {
	node, what int
	prefix     netip.Prefix
	up         bool
	pause      time.Duration
}

func drawNodePlan(t *rapid.T) nodePlan {
	p := nodePlan{
		profile: rapid.SampledFrom([]stack.Profile{stack.RFC2462(), stack.RFC4862(), stack.Current()}).Draw(t, "profile"),
		nodes:   rapid.SampledFrom([]int{2, 5}).Draw(t, "nodes"),
		sw: tap.SwitchConfig{
			Seed: rapid.Uint64().Draw(t, "seed"), Loss: rapid.SampledFrom([]float64{0, 0, 0.1, 0.5}).Draw(t, "loss"),
			Duplicate: 0.1, MaxDelay: 50 * time.Millisecond, Reorder: 0.1,
		},
	}
	for range rapid.IntRange(1, 30).Draw(t, "steps") {
		p.steps = append(p.steps, nodeStep{
			node: rapid.IntRange(0, p.nodes-1).Draw(t, "node"), what: rapid.IntRange(0, 4).Draw(t, "what"),
			prefix: rapid.SampledFrom(contested).Draw(t, "address"), up: rapid.Bool().Draw(t, "up"),
			pause: time.Duration(rapid.IntRange(0, 700).Draw(t, "pause")) * time.Millisecond,
		})
	}
	return p
}

// Two and five nodes add and delete the same addresses at times of chance, on
// a switch that delays, reorders and duplicates, and in half of the cases
// loses frames. Without loss no address is ever assigned twice; with loss each
// node's own views still agree.
func TestNodesOnASwitchWithFaults(t *testing.T) {
	assigned := 0
	rapid.Check(t, func(rt *rapid.T) {
		plan := drawNodePlan(rt)
		var problem string
		synctest.Test(t, func(t *testing.T) { problem = plan.run(&assigned) })
		if problem != "" {
			rt.Fatal(problem)
		}
	})
	if assigned == 0 {
		t.Error("no contested address was ever assigned: the test tests nothing")
	}
}

// run plays a plan and returns what is wrong.
func (p nodePlan) run(assigned *int) string {
	sw := tap.NewSwitch(p.sw)
	defer sw.Close()
	var nodes []*stack.Interface
	for k := range p.nodes {
		s, err := stack.New(stack.Config{})
		if err != nil {
			return err.Error()
		}
		defer s.Close()
		cfg := stack.WithoutTCP(stack.InterfaceConfig{Profile: p.profile})
		i, err := s.Attach(fmt.Sprintf("node%d", k), sw.Port(nd.LinkAddr{2, 0, 0, 0, 1, byte(k)}), cfg)
		if err != nil {
			return err.Error()
		}
		nodes = append(nodes, i)
	}
	for _, step := range p.steps {
		i := nodes[step.node]
		switch step.what {
		case 0, 1, 2:
			i.StartAddress(stack.AddressConfig{Prefix: step.prefix, OnLink: step.prefix.Masked()})
		case 3:
			i.RemoveAddress(step.prefix.Addr())
		case 4:
			i.SetUp(step.up)
		}
		time.Sleep(step.pause)
		if problem := checkNodes(nodes, p.sw.Loss == 0, assigned); problem != "" {
			return problem
		}
	}
	time.Sleep(5 * time.Second)
	return checkNodes(nodes, p.sw.Loss == 0, assigned)
}

// checkNodes returns what is wrong with the views of the nodes.
func checkNodes(nodes []*stack.Interface, lossless bool, contestedAssigned *int) string {
	owner := map[netip.Addr]string{}
	for _, i := range nodes {
		as, routes, groups := i.Addresses(), i.Routes(), i.Groups()
		assigned := map[netip.Addr]bool{}
		for _, a := range as {
			addr := a.Prefix.Addr()
			if a.State == stack.Tentative {
				continue
			}
			assigned[addr] = true
			if slices.ContainsFunc(contested, func(p netip.Prefix) bool { return p.Addr() == addr }) {
				*contestedAssigned++
			}
			if other, taken := owner[addr]; taken && lossless {
				return fmt.Sprintf("%v is assigned on %s and on %s", addr, other, i.Name())
			}
			owner[addr] = i.Name()
			holder := mld.Holder{Kind: mld.HolderAddress, Addr: addr}
			if !slices.ContainsFunc(groups, func(g mld.Group) bool {
				return g.Addr == nd.SolicitedNode(addr) && slices.Contains(g.Holders, holder)
			}) {
				return fmt.Sprintf("%s: %v is assigned, but does not hold its group: %v", i.Name(), addr, groups)
			}
		}
		for _, r := range routes {
			for _, o := range r.Owners {
				if o.Kind == rib.OwnerAddress && !assigned[o.Addr] {
					return fmt.Sprintf("%s: %v owns %v and is not assigned", i.Name(), o.Addr, r.Prefix)
				}
			}
		}
		for _, g := range groups {
			for _, h := range g.Holders {
				if h.Kind == mld.HolderAddress && !slices.ContainsFunc(as, func(a stack.Address) bool { return a.Prefix.Addr() == h.Addr }) {
					return fmt.Sprintf("%s: %v holds %v and is not listed", i.Name(), h, g.Addr)
				}
			}
		}
	}
	return ""
}

// On a hairpin port every own probe comes back: with the nonce DAD does not
// fail, and a genuine conflict behind the loop is still found.
func TestHairpinNeitherFailsNorHidesADuplicate(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sw := tap.NewSwitch(tap.SwitchConfig{Hairpin: true})
		defer sw.Close()
		_, a := attach(t, sw.Port(macA), stack.WithoutTCP(stack.InterfaceConfig{NoLinkLocal: true}))
		_, b := attach(t, sw.Port(macB), stack.WithoutTCP(stack.InterfaceConfig{NoLinkLocal: true}))
		addr := netip.MustParseAddr("2001:db8::5")
		if err := a.AddAddress(t.Context(), stack.AddressConfig{Prefix: netip.PrefixFrom(addr, 64), DAD: 2}); err != nil {
			t.Fatal(err)
		}
		err := b.AddAddress(t.Context(), onLink("2001:db8::5/64"))
		if len(b.Failures()) != 1 {
			t.Errorf("the duplicate behind the loop: %v", err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		done := make(chan error, 1)
		go func() { done <- b.AddAddress(ctx, onLink("2001:db8::6/64")) }()
		time.Sleep(15 * time.Second)
		if err := b.AcceptAddress(netip.MustParseAddr("2001:db8::6")); err != nil {
			t.Errorf("accepting: %v", err)
		}
		if err := <-done; err != nil {
			t.Errorf("a unique address on a looping link: %v", err)
		}
	})
}
