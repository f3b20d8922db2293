package rib_test

import (
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tapstack/tapstack/rib"
)

var target7 = netip.MustParseAddr("fe80::7")

// redirectLine prints a redirect as the tests state it.
func redirectLine(r rib.Route) string {
	s := line(r)
	if r.Src.IsValid() {
		s += " from " + r.Src.String()
	}
	return s
}

func wantRedirects(t *testing.T, table *rib.Table, want ...string) {
	t.Helper()
	var got []string
	for _, r := range table.Routes() {
		if r.Origin == rib.Redirected {
			got = append(got, redirectLine(r))
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("redirects (-want +got):\n%s", diff)
	}
}

// Spec: RFC 4861, section 8.3, SHOULD, RDR-R02
// Spec: RFC 4861, section 8.3, MUST, RDR-R04
// Spec: RFC 4861, section 8.1, MUST NOT, RDR-R05
//
// A redirect is for its destination alone, and no route: its target needs no
// on-link prefix, and its destination brings none.
func TestRDR_R02_ToATarget(t *testing.T) {
	other := netip.MustParseAddr("2001:db8:ffff::2")
	table := tableWith(rib.Config{}, learn("::/0", "fe80::9", 0))
	wantActions(t, apply(table, rib.Redirect{Dst: elsewhere, Target: target7, From: router9}),
		"added 2001:db8:ffff::1/128 redirect via fe80::7 [router fe80::9]")
	wantHop(t, table, elsewhere, "fe80::7")
	wantHop(t, table, other, "fe80::9")

	wantActions(t, apply(table, rib.Redirect{Dst: elsewhere, Target: elsewhere, From: target7}),
		"removed 2001:db8:ffff::1/128 redirect via fe80::7 [router fe80::9]",
		"added 2001:db8:ffff::1/128 redirect [router fe80::7]")
	wantHop(t, table, elsewhere, elsewhere.String())
	wantHop(t, table, other, "fe80::9")
	if r, ok := table.Snapshot().Lookup(elsewhere); !ok || r.Prefix != all {
		t.Errorf("Lookup: %+v", r)
	}

	// A neighbor that was seen on the link is nobody's.
	wantActions(t, apply(table, rib.Redirect{Dst: other, Target: other}),
		"added 2001:db8:ffff::2/128 redirect []")
	wantHop(t, table, other, other.String())
}

// Spec: RFC 8028, section 3.4, SHOULD, RDR-R07
func TestRDR_R07_OfOneSource(t *testing.T) {
	table := tableWith(rib.Config{}, learn("::/0", "fe80::9", 0),
		rib.Redirect{Src: global1, Dst: elsewhere, Target: target7, From: router9})
	want := func(src netip.Addr, want string) {
		t.Helper()
		if got := hopFrom(table.Snapshot(), src, elsewhere, 0); got != want {
			t.Errorf("from %v: %s, want %s", src, got, want)
		}
	}
	want(global1, "fe80::7")
	want(global2, "fe80::9")
	want(netip.IPv6Unspecified(), "fe80::9")

	// One for any source leaves that of this source alone.
	apply(table, rib.Redirect{Dst: elsewhere, Target: elsewhere, From: router9})
	want(global1, "fe80::7")
	want(global2, elsewhere.String())
	want(netip.IPv6Unspecified(), elsewhere.String())
	wantRedirects(t, table,
		"2001:db8:ffff::1/128 redirect [router fe80::9]",
		"2001:db8:ffff::1/128 redirect via fe80::7 [router fe80::9] from 2001:db8::1")
	apply(table, rib.Unredirect{Target: target7})
	want(global1, elsewhere.String())
}

// An own address is never sent away, and a redirect comes after the routes of
// the same address.
func TestRedirectOfAnOwnAddress(t *testing.T) {
	table := tableWith(rib.Config{},
		rib.Redirect{Dst: global1, Target: target7, From: router9},
		rib.Assign{Addr: global1},
		rib.Add{Key: via(netip.PrefixFrom(global1, 128), routerA), Owner: byHand()})
	wantHop(t, table, global1, "local")
	wantRoutes(t, table,
		"2001:db8::1/128 local [address 2001:db8::1]",
		"2001:db8::1/128 static via fe80::a [static]",
		"2001:db8::1/128 redirect via fe80::7 [router fe80::9]")
	apply(table, rib.Withdraw{Addr: global1})
	wantHop(t, table, global1, "fe80::7")
}

func TestRedirectsEnd(t *testing.T) {
	redirect := rib.Redirect{Dst: elsewhere, Target: target7, From: router9}
	for name, row := range map[string]struct {
		cfg  rib.Config
		want time.Duration
	}{"by default": {rib.Config{}, 10 * time.Minute}, "as set": {rib.Config{RedirectLifetime: time.Second}, time.Second}} {
		t.Run(name, func(t *testing.T) {
			table := tableWith(row.cfg, redirect)
			table.Step(epoch.Add(row.want/2), redirect) // again puts it off
			end := epoch.Add(row.want/2 + row.want)
			if got, ok := table.Deadline(); !ok || !got.Equal(end) {
				t.Errorf("deadline %v %v, want %v", got, ok, end)
			}
			if got := table.Routes()[0].Expires; !got.Equal(end) {
				t.Errorf("expires %v, want %v", got, end)
			}
			wantActions(t, table.Advance(end.Add(-1)))
			actions := table.Advance(end.Add(time.Hour))
			wantActions(t, actions, "removed 2001:db8:ffff::1/128 redirect via fe80::7 [router fe80::9]")
			if got := actions[0].(rib.Removed).Route.Expires; !got.Equal(end) {
				t.Errorf("it ended at %v, want %v", got, end)
			}
			if _, ok := table.Deadline(); ok {
				t.Error("a deadline, though nothing is left")
			}
		})
	}
}

// Redirects and routes end in the order of time.
func TestRedirectsEndInOrder(t *testing.T) {
	table := rib.New(rib.Config{RedirectLifetime: 10 * time.Second})
	hold := func(p netip.Prefix, lifetime time.Duration) {
		table.Step(epoch, rib.Add{Key: onLink(p), Owner: byHand(), Lifetime: lifetime})
	}
	hold(docPrefix, 5*time.Second)
	table.Step(epoch, rib.Redirect{Dst: elsewhere, Target: target7})
	hold(netip.MustParsePrefix("2001:db8:1::/64"), 15*time.Second)
	wantActions(t, table.Advance(epoch.Add(time.Minute)),
		"removed 2001:db8::/64 on-link [static]",
		"removed 2001:db8:ffff::1/128 redirect via fe80::7 []",
		"removed 2001:db8:1::/64 on-link [static]")
}

// Beyond the bound the oldest goes; what was told again is young.
func TestMaxRedirects(t *testing.T) {
	table := rib.New(rib.Config{MaxRedirects: 3})
	redirect := func(i int) []rib.Action {
		return table.Step(epoch.Add(time.Duration(i)), rib.Redirect{Dst: numbered(i), Target: target7, From: router9})
	}
	for i := range 3 {
		redirect(i)
	}
	table.Step(epoch.Add(10), rib.Redirect{Dst: numbered(0), Target: target7, From: router9})
	wantActions(t, redirect(11),
		fmt.Sprintf("removed %v/128 redirect via fe80::7 [router fe80::9]", numbered(1)),
		fmt.Sprintf("added %v/128 redirect via fe80::7 [router fe80::9]", numbered(11)))
	if got := table.Counters().RedirectsEvicted; got != 1 {
		t.Errorf("%d evicted, want 1", got)
	}

	table = rib.New(rib.Config{})
	for i := range 1030 {
		redirect(i)
	}
	if got := len(table.Routes()); got != 1024 || table.Counters().RedirectsEvicted != 6 {
		t.Errorf("%d redirects, %+v", got, table.Counters())
	}
}

// Spec: RFC 7048, section 3, must, NUD-R11
func TestNUD_R11_ATargetThatFails(t *testing.T) {
	redirects := []rib.Event{
		rib.Redirect{Dst: global2, Target: target7, From: router9},
		rib.Redirect{Dst: elsewhere, Target: target7, From: router9},
		rib.Redirect{Dst: global1, Target: global1, From: router9},
	}
	gone := []string{
		"removed 2001:db8::2/128 redirect via fe80::7 [router fe80::9]",
		"removed 2001:db8:ffff::1/128 redirect via fe80::7 [router fe80::9]",
	}
	for name, end := range map[string]rib.Event{
		"failed": failed("fe80::7"), "not a target any more": rib.Unredirect{Target: target7},
	} {
		t.Run(name, func(t *testing.T) {
			table := tableWith(rib.Config{}, redirects...)
			wantActions(t, apply(table, probable("fe80::7"), rib.Reach{Addr: target7}))
			wantActions(t, apply(table, end), gone...)
			wantActions(t, apply(table, end))
			wantActions(t, apply(table, rib.Reach{Addr: global1, State: rib.ReachFailed}),
				"removed 2001:db8::1/128 redirect [router fe80::9]")
		})
	}
	table := tableWith(rib.Config{}, redirects...)
	wantActions(t, apply(table, rib.FlushRedirects{}),
		"removed 2001:db8::1/128 redirect [router fe80::9]", gone[0], gone[1])

	// Nor is it used anew before it answers.
	table = tableWith(rib.Config{}, learn("::/0", "fe80::7", 0), failed("fe80::7"))
	wantActions(t, apply(table, redirects[1]))
	if got := table.Counters().RedirectsRefused; got != 1 {
		t.Errorf("%d refused, want 1", got)
	}
	wantActions(t, apply(table, probable("fe80::7"), redirects[1]),
		"added 2001:db8:ffff::1/128 redirect via fe80::7 [router fe80::9]")
}

// They end in the order in which Routes lists them.
func TestRedirectsEndSorted(t *testing.T) {
	for name, end := range map[string]rib.Event{
		"of a target": rib.Unredirect{Target: target7}, "all": rib.FlushRedirects{},
	} {
		t.Run(name, func(t *testing.T) {
			table := rib.New(rib.Config{})
			for i := range 20 {
				apply(table, rib.Redirect{Dst: numbered(i), Target: target7, From: router9})
			}
			var want []string
			for _, r := range table.Routes() {
				want = append(want, "removed "+line(r))
			}
			wantActions(t, apply(table, end), want...)
		})
	}
}

// A redirect that takes the place of another keeps what is known of its target.
func TestRedirectReplacedKeepsItsGateway(t *testing.T) {
	table := tableWith(rib.Config{TypeA: true},
		rib.Redirect{Dst: elsewhere, Target: target7, From: router9}, probable("fe80::7"),
		rib.Redirect{Dst: elsewhere, Target: target7, From: routerA},
		learn("::/0", "fe80::9", 0), learn("::/0", "fe80::7", 0), rib.FlushRedirects{})
	wantHop(t, table, elsewhere, "fe80::7")
}

// Spec: RFC 4861, section 8.1, MUST, RDR-R01
func TestRDR_R01_ValidateRedirect(t *testing.T) {
	addr := netip.MustParseAddr
	good := rib.Redirect{Src: global1, Dst: elsewhere, Target: target7, From: router9}
	for name, row := range map[string]struct {
		change func(*rib.Redirect)
		ok     bool
	}{
		"good":                       {func(*rib.Redirect) {}, true},
		"any source":                 {func(r *rib.Redirect) { r.Src = netip.Addr{} }, true},
		"on-link":                    {func(r *rib.Redirect) { r.Target = r.Dst }, true},
		"by nobody":                  {func(r *rib.Redirect) { r.Target, r.From = r.Dst, netip.Addr{} }, true},
		"group":                      {func(r *rib.Redirect) { r.Dst, r.Target = addr("ff02::1"), addr("ff02::1") }, false},
		"no destination":             {func(r *rib.Redirect) { r.Dst, r.Target = netip.Addr{}, netip.Addr{} }, false},
		"unspecified destination":    {func(r *rib.Redirect) { r.Dst = addr("::") }, false},
		"loopback":                   {func(r *rib.Redirect) { r.Dst = addr("::1") }, false},
		"IPv4":                       {func(r *rib.Redirect) { r.Dst = addr("192.0.2.1") }, false},
		"IPv4-mapped":                {func(r *rib.Redirect) { r.Dst = addr("::ffff:192.0.2.1") }, false},
		"zone":                       {func(r *rib.Redirect) { r.Target = addr("fe80::7%tap0") }, false},
		"global router":              {func(r *rib.Redirect) { r.Target = global2 }, false},
		"no target":                  {func(r *rib.Redirect) { r.Target = netip.Addr{} }, false},
		"link-local, to a router":    {func(r *rib.Redirect) { r.Dst = ll2 }, false},
		"link-local, on-link":        {func(r *rib.Redirect) { r.Dst, r.Target = ll2, ll2 }, true},
		"source unspecified":         {func(r *rib.Redirect) { r.Src = addr("::") }, false},
		"source a group":             {func(r *rib.Redirect) { r.Src = addr("ff02::1") }, false},
		"from an address not of one": {func(r *rib.Redirect) { r.From = global2 }, false},
	} {
		t.Run(name, func(t *testing.T) {
			ev := good
			row.change(&ev)
			if err := rib.ValidateRedirect(ev); (err == nil) != row.ok || err != nil && !errors.Is(err, rib.ErrRedirect) {
				t.Errorf("ValidateRedirect: %v", err)
			}
			table := rib.New(rib.Config{})
			if got := len(apply(table, ev)) > 0; got != row.ok || table.Counters().RedirectsRefused != b2u(!row.ok) {
				t.Errorf("Step: %v, %+v", got, table.Counters())
			}
		})
	}
}

func b2u(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}
