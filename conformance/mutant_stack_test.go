//go:build !race

package conformance

import (
	"context"
	"slices"
	"sync"
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

// caughtInRealTime returns a fault of a whole stack that a case fails for. A
// case that takes long is played with all of them at once, and the first that
// it fails for ends it.
func caughtInRealTime(c *Case) (names []string) {
	const long = 15 * time.Second
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	fails := func(m mutant) bool {
		return playCase(ctx, c, mutantDriver{StackDriver{}, m}, profileOf(c), Random).Verdict == Fail
	}
	if c.Length() <= long {
		if k := slices.IndexFunc(stackMutants, fails); k >= 0 {
			return []string{stackMutants[k].name}
		}
		return nil
	}
	found := make(chan string, len(stackMutants))
	var wg sync.WaitGroup
	for _, m := range stackMutants {
		wg.Go(func() {
			if fails(m) {
				found <- m.name
				cancel()
			}
		})
	}
	wg.Wait()
	close(found)
	for name := range found {
		names = append(names, name)
	}
	return names
}

// caughtAtAll returns a fault of a whole stack if a case fails for it.
func caughtAtAll(c *Case, m mutant) []string {
	if playCase(context.Background(), c, mutantDriver{StackDriver{}, m}, profileOf(c), Random).Verdict == Fail {
		return []string{m.name}
	}
	return nil
}
