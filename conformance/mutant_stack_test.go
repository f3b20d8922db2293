//go:build !race

package conformance

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"
)

// answer makes a hook with which the host says something more to whatever is
// neither Neighbor Discovery nor MLD.
func answer(kind string, fields ...field) func(*mutantTarget, *packet, []byte) [][]byte {
	fields = append([]field{{"src", "=", "HOST"}, {"dst", "=", "TN1"}, {"ethdst", "=", "TN1"}}, fields...)
	return func(t *mutantTarget, p *packet, frame []byte) [][]byte {
		if !p.is("nd") && !p.is("mld") {
			frames, err := build(newNames(t.LinkAddr()), node{linkAddr: t.LinkAddr()}, kind, fields, nil)
			if err != nil {
				panic(err)
			}
			t.says(frames[0])
		}
		return same(frame)
	}
}

// stackMutants are hosts with a fault in what is above Neighbor Discovery.
var stackMutants = []mutant{
	{name: "no errors", out: drop(is("error"))},
	{name: "an error to everything", in: answer("parameter-problem", field{"code", "=", "7"}, field{"quote", "=", "00"})},
	{name: "errors with another code", out: change(is("error"), xor(atMessage+1, 0x40))},
	{name: "no fragments", out: drop(is("fragment"))},
	{name: "an echo reply to everything", in: answer("echo-reply", field{"id", "=", "1"}, field{"seq", "=", "1"})},
	{name: "no echo replies", out: drop(is("echo-reply"))},
	{name: "no TCP", out: drop(is("tcp"))},
	{name: "a redirect may come in fragments", in: func(t *mutantTarget, p *packet, frame []byte) [][]byte {
		if p.kind == "fragment" && p.one("frag-offset") == "0" && frame[atMessage+8] == typeRedirect {
			return validRedirect(t)
		}
		return same(frame)
	}},
}

// Each case that is not for the Core catches a fault of a whole stack, as far
// as it does not take long.
func TestMutantsOfTheStack(t *testing.T) {
	if testing.Short() {
		t.Skip("in real time")
	}
	t.Parallel()
	const longest = 15 * time.Second
	var wg sync.WaitGroup
	slots := make(chan struct{}, 64)
	for _, c := range scenarios(t) {
		if forCore(c) || c.Length() > longest || !c.isFor("current") {
			continue
		}
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			caught := slices.ContainsFunc(stackMutants, func(m mutant) bool {
				return playCase(context.Background(), c, mutantDriver{StackDriver{}, m}, "current", Random).Verdict == Fail
			})
			if !caught {
				t.Errorf("%s:%d: case %s catches no fault: what does it say?", c.File, c.Line, c.ID)
			}
		})
	}
	wg.Wait()
}
