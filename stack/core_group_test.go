package stack

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tapstack/tapstack/mld"
	"github.com/tapstack/tapstack/nd"
)

var (
	group77 = netip.MustParseAddr("ff05::77")
	ssm77   = netip.MustParseAddr("ff35::8000:77")
	sourceA = netip.MustParseAddr("2001:db8::a")
	sourceB = netip.MustParseAddr("2001:db8::b")
	socket7 = mld.Holder{Kind: mld.HolderSocket, ID: 7}
)

// records is how often each group is in the reports among the lines of actions.
func records(actions []CoreAction) map[string]int {
	count := map[string]int{}
	for _, l := range lines(actions) {
		if _, report, ok := strings.Cut(l, ": MLD "); ok {
			for _, word := range strings.Fields(report) {
				if strings.HasPrefix(word, "ff") {
					count[word]++
				}
			}
		}
	}
	return count
}

// manyAddresses are n addresses with as many solicited-node groups.
func manyAddresses(n int) (requests []AddRequest) {
	for k := range n {
		a := netip.MustParseAddr("2001:db8::").As16()
		a[13], a[14], a[15] = 1, byte(k>>8), byte(k)
		requests = append(requests, AddRequest{AddressConfig: AddressConfig{Prefix: netip.PrefixFrom(netip.AddrFrom16(a), 128)}})
	}
	return requests
}

// 72 records of 20 octets fit in a report on a link with an MTU of 1500.
//
// Spec: derived, DER, MLD-R12
func TestMLD_R12_AddressesAreReportedTogetherBeforeTheirProbes(t *testing.T) {
	const addresses, perReport = 10_000, 72
	n := newNode(t, CoreConfig{})
	n.up()
	actions := n.core.Step(n.now, AddAddresses{manyAddresses(addresses)})
	reports, probes := 0, 0
	for _, frame := range sent(actions) {
		switch {
		case strings.Contains(wire(frame), "MLD TO_EX"):
			reports++
			if probes > 0 {
				t.Fatal("a report comes after a probe")
			}
		case strings.Contains(wire(frame), "NS 2001:db8::"):
			probes++
		}
	}
	if want := (addresses + perReport - 1) / perReport; reports != want || probes != addresses {
		t.Errorf("%d reports and %d probes, want %d and %d", reports, probes, want, addresses)
	}
	if got := len(records(actions)); got != addresses {
		t.Errorf("%d groups are reported, want %d", got, addresses)
	}
}

// Leaving is reported together too: when the adds are cancelled, and at the
// end, from a link-local address.
//
// Spec: derived, DER, MLD-R12
func TestMLD_R12_LeavesAreReportedTogether(t *testing.T) {
	const addresses, fits = 1000, 14
	for name, end := range map[string]func(ids []RequestID) CoreEvent{
		"cancelled": func(ids []RequestID) CoreEvent { return CancelAdds{ids} },
		"shut down": func([]RequestID) CoreEvent { return Shutdown{} },
	} {
		n := newNode(t, CoreConfig{})
		n.up()
		requests := manyAddresses(addresses)
		var ids []RequestID
		for k := range requests {
			requests[k].ID = RequestID(k + 1)
			ids = append(ids, requests[k].ID)
		}
		n.core.Step(n.now, AddAddresses{requests})
		actions := n.core.Step(n.now, end(ids))
		reports := 0
		for _, frame := range sent(actions) {
			if strings.HasPrefix(wire(frame), ownLL.String()+" > ff02::16: MLD TO_IN ff02::1:ff01") {
				reports++
			}
		}
		if got := len(records(actions)); reports != fits || got < addresses {
			t.Errorf("%s: %d reports about %d groups, want %d about %d", name, reports, got, fits, addresses)
		}
	}
}

// Spec: derived, DER, MLD-R13
func TestMLD_R13_MembershipsOutlastTheLink(t *testing.T) {
	n := newNode(t, CoreConfig{})
	n.up()
	n.step(JoinGroup{0, group77, static, nil})
	n.step(JoinGroup{0, ssm77, socket7, []netip.Addr{sourceA}})
	n.run(time.Minute)
	before := n.core.Groups()
	n.take()
	n.step(LinkDown{})
	n.run(time.Minute)
	if got := sent(n.take()); len(got) > 0 {
		t.Errorf("sent while the link is down: %s", wire(got[0]))
	}
	n.step(SetGroupFilter{0, ssm77, socket7, mld.Filter{Mode: mld.Include, Sources: []netip.Addr{sourceB}}})
	n.step(LinkUp{})
	inOrder(t, n.take(), "event link_up", "send :: > ff02::16: MLD ALLOW ff35::8000:77 TO_EX ff05::77")
	n.run(10 * time.Second)
	got := lines(n.take())
	if !slices.ContainsFunc(got, func(l string) bool {
		return strings.HasPrefix(l, "send "+ownLL.String()) && strings.Contains(l, "ALLOW ff35::8000:77 TO_EX ff05::77")
	}) {
		t.Errorf("the new link-local address reports nothing:\n%s", strings.Join(got, "\n"))
	}
	for k := range before {
		if before[k].Addr == ssm77 {
			before[k].Filter.Sources = []netip.Addr{sourceB}
		}
	}
	if diff := cmp.Diff(before, n.core.Groups(), cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
		t.Errorf("memberships (-before +after):\n%s", diff)
	}
}

// When the link-local address changes, all groups are reported again: at once,
// or as many at a time as the knobs say.
//
// Spec: RFC 3590, section 4, SHOULD, MLD-R04
func TestMLD_R04_AnotherLinkLocalAddressReportsAllAgain(t *testing.T) {
	const groups = 150 // three reports
	other := netip.MustParseAddr("fe80::77")
	for _, test := range []struct {
		set  []string
		want string
	}{
		{nil, "at 0s: 3"},
		{[]string{"mld_burst=1"}, "at 0s: 1, at 100ms: 1, at 200ms: 1"},
		{[]string{"mld_burst=2", "mld_gap=500ms"}, "at 0s: 2, at 500ms: 1"},
	} {
		var p Profile
		for _, s := range test.set {
			knob, value, _ := strings.Cut(s, "=")
			if err := p.Set(knob, value); err != nil {
				t.Fatal(err)
			}
		}
		n := newNode(t, CoreConfig{Profile: p})
		n.random.point = 1 // repeats come late
		n.up()
		for k := range groups {
			n.step(JoinGroup{0, netip.AddrFrom16([16]byte{0: 0xff, 1: 5, 15: byte(k)}), static, nil})
		}
		n.mustAdd(other.String() + "/64")
		n.run(time.Minute)
		n.take()
		if err := n.remove(ownLL.String()); err != nil {
			t.Fatal(err)
		}
		var got []string
		seen := map[string]int{}
		for start := n.now; n.now.Sub(start) <= time.Second; n.run(100 * time.Millisecond) {
			actions := n.take()
			reports := 0
			for _, f := range sent(actions) {
				if w := wire(f); strings.HasPrefix(w, other.String()+" > ff02::16: MLD TO_EX") && strings.Contains(w, "ff05::") {
					reports++
				}
			}
			for g, k := range records(actions) {
				seen[g] += k
			}
			if reports > 0 && len(got) < strings.Count(test.want, "at") {
				got = append(got, fmt.Sprintf("at %v: %d", n.now.Sub(start), reports))
			}
		}
		if strings.Join(got, ", ") != test.want {
			t.Errorf("%v: reports %s, want %s", test.set, strings.Join(got, ", "), test.want)
		}
		if len(seen) < groups {
			t.Errorf("%v: %d groups are reported, want %d", test.set, len(seen), groups)
		}
	}
}

func TestEventsOfGroups(t *testing.T) {
	n := newNode(t, CoreConfig{})
	n.up()
	events := func() (all []string) {
		for _, l := range lines(n.take()) {
			if e, ok := strings.CutPrefix(l, "event "); ok {
				all = append(all, e)
			}
		}
		return all
	}
	for _, step := range []struct {
		ev   CoreEvent
		want []string
	}{
		{JoinGroup{0, group77, static, []netip.Addr{sourceA}}, []string{"group_joined ff05::77"}},
		{JoinGroup{0, group77, static, []netip.Addr{sourceB}}, []string{"group_filtered ff05::77 include"}},
		{JoinGroup{0, group77, socket7, []netip.Addr{sourceB}}, nil},
		{SetGroupFilter{0, group77, socket7, mld.Filter{Mode: mld.Exclude}}, []string{"group_filtered ff05::77 exclude"}},
		{LeaveGroup{0, group77, static, nil}, nil},
		{LeaveGroups{0, socket7, []netip.Addr{group77, ssm77}}, []string{"group_left ff05::77"}},
		{FrameReceived{mldFrame(peerLL, nd.AllNodes, &mld.Query{Version: 1, MaxResponseDelay: time.Second})}, []string{"mld_version 1"}},
		{LinkDown{}, []string{"mld_version 2", "address_removed", "link_down"}},
	} {
		n.step(step.ev)
		got := events()
		if _, down := step.ev.(LinkDown); down {
			got = slices.DeleteFunc(got, func(e string) bool { return e != "mld_version 2" && e != "link_down" })
			step.want = []string{"mld_version 2", "link_down"}
		}
		if diff := cmp.Diff(step.want, got); diff != "" {
			t.Errorf("%T (-want +got):\n%s", step.ev, diff)
		}
	}
}

// Queries that no querier sends are answered by nothing and counted by what is
// wrong with them; a flood of good ones has one answer.
//
// Spec: RFC 3810, section 6.2, must, MLD-R06
func TestMLD_R06_HostileQueries(t *testing.T) {
	n := newNode(t, CoreConfig{})
	n.up()
	n.step(JoinGroup{0, group77, static, nil})
	n.run(time.Minute)
	n.take()
	query := func() []byte {
		return mldFrame(peerLL, nd.AllNodes, &mld.Query{Version: 2, MaxResponseDelay: time.Second, Group: netip.IPv6Unspecified()})
	}
	const ip, options, icmp = 14, 14 + 40, 14 + 48
	want := n.core.Counters()
	for _, test := range []struct {
		what  string
		spoil func([]byte) []byte
		count *uint64
	}{
		{"hop limit", func(f []byte) []byte { f[ip+7] = 2; return f }, &want.MLDBadHopLimit},
		{"checksum", func(f []byte) []byte { f[icmp+2] ^= 1; return f }, &want.MLDBadChecksum},
		{"router alert", func(f []byte) []byte { f[options+2] = 1; return f }, &want.MLDNoRouterAlert},
		{"length", func(f []byte) []byte {
			f = f[:len(f)-3]
			f[ip+5] -= 3
			return sumMLD(f)
		}, &want.MLDBadLength},
		{"source", func(f []byte) []byte { f[ip+8] = 0x20; return sumMLD(f) }, &want.MLDBadSource},
		{"group", func(f []byte) []byte { f[icmp+8] = 0x20; return sumMLD(f) }, &want.MLDBadGroup},
	} {
		*test.count++
		want.InvalidMLD++
		want.ControlFramesIn++
		n.receives(test.spoil(query()))
		n.run(time.Minute)
		if diff := cmp.Diff(want, n.core.Counters()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.what, diff)
		}
	}
	if got := sent(n.take()); len(got) > 0 {
		t.Errorf("an answer: %s", wire(got[0]))
	}
	for range 10_000 {
		n.receives(query())
	}
	n.run(time.Minute)
	if got := sent(n.take()); len(got) != 1 {
		t.Errorf("%d answers to a flood, want 1", len(got))
	}
	if got := n.core.Counters().MLDQueriesIn - want.MLDQueriesIn; got != 10_000 {
		t.Errorf("%d queries were counted", got)
	}
}

// sumMLD gives an MLD frame behind a Router Alert the checksum that it lacks.
func sumMLD(f []byte) []byte {
	const ip, icmp = 14, 14 + 48
	f[icmp+2], f[icmp+3] = 0, 0
	b := append(append([]byte{}, f[ip+8:ip+40]...), 0, 0, 0, byte(len(f)-icmp), 0, 0, 0, 58)
	b = append(b, f[icmp:]...)
	if len(b)%2 == 1 {
		b = append(b, 0)
	}
	sum := 0
	for k := 0; k < len(b); k += 2 {
		sum += int(b[k])<<8 + int(b[k+1])
	}
	sum = sum&0xffff + sum>>16
	sum = ^(sum&0xffff + sum>>16)
	f[icmp+2], f[icmp+3] = byte(sum>>8), byte(sum)
	return f
}

// With the knob, nobody makes the interface forget its source filters.
//
// Spec: RFC 3810, section 10.1, DER, MLD2-R15
func TestMLD2_R15_QueriesOfVersion1CanBeIgnored(t *testing.T) {
	for _, value := range []string{"on", "off"} {
		var p Profile
		if err := p.Set("mld_ignore_v1", value); err != nil {
			t.Fatal(err)
		}
		n := newNode(t, CoreConfig{Profile: p})
		n.up()
		n.receives(mldFrame(peerLL, nd.AllNodes, &mld.Query{Version: 1, MaxResponseDelay: time.Second}))
		version, ignored := 1, uint64(0)
		if value == "on" {
			version, ignored = 2, 1
		}
		if got, c := n.core.groups.Version(), n.core.Counters(); got != version || c.MLDQueriesIgnored != ignored || c.MLDQueriesIn != 1 {
			t.Errorf("mld_ignore_v1=%s: version %d, %d queries of which %d ignored", value, got, c.MLDQueriesIn, c.MLDQueriesIgnored)
		}
	}
}

// A refusal is told with its reason, and changes nothing.
func TestRefusedMemberships(t *testing.T) {
	n := newNode(t, CoreConfig{Limits: Limits{MaxGroups: 1, MaxSources: 1}})
	n.up()
	ask := func(ev func(RequestID) CoreEvent) error {
		id := n.id()
		n.step(ev(id))
		return n.results[id]
	}
	set := func(g netip.Addr, f mld.Filter) error {
		return ask(func(id RequestID) CoreEvent { return SetGroupFilter{id, g, socket7, f} })
	}
	some := mld.Filter{Mode: mld.Include, Sources: []netip.Addr{sourceA}}
	if err := set(ssm77, some); err != nil {
		t.Fatal(err)
	}
	if err := set(group77, some); !errors.Is(err, ErrLimit) || !strings.Contains(err.Error(), "more than 1 memberships") {
		t.Errorf("a second group: %v", err)
	}
	some.Sources = append(some.Sources, sourceB)
	if err := set(ssm77, some); !errors.Is(err, ErrLimit) || !strings.Contains(err.Error(), "more than 1 sources") {
		t.Errorf("a second source: %v", err)
	}
	if err := set(group77, mld.Filter{}); err != nil {
		t.Errorf("leaving what is not joined by its filter: %v", err)
	}
	if f, ok := n.core.groups.FilterOf(ssm77, socket7); !ok || len(f.Sources) != 1 {
		t.Errorf("the filter became %v", f)
	}
	if err := set(ssm77, mld.Filter{}); err != nil {
		t.Error(err)
	}
	if err := set(group77, mld.Filter{Mode: mld.Exclude}); err != nil {
		t.Errorf("with room again: %v", err)
	}
}

// BenchmarkGeneralQuery is a query and all that answers it, as frames, of a
// host with n groups.
func BenchmarkGeneralQuery(b *testing.B) {
	for _, n := range []int{10, 1000, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			core := NewCore(CoreConfig{LinkAddr: ownMAC, NoRouters: true}, &script{point: 0.5})
			now := time.Unix(0, 0)
			core.Step(now, LinkUp{})
			for k := range n {
				g := netip.AddrFrom16([16]byte{0: 0xff, 1: 5, 13: byte(k >> 16), 14: byte(k >> 8), 15: byte(k)})
				core.Step(now, JoinGroup{0, g, static, nil})
			}
			now = now.Add(time.Minute)
			core.Advance(now)
			query := mldFrame(peerLL, nd.AllNodes, &mld.Query{Version: 2, MaxResponseDelay: 10 * time.Second, Group: netip.IPv6Unspecified()})
			reports := 0
			for b.Loop() {
				core.Step(now, FrameReceived{query})
				now = now.Add(time.Minute)
				reports += len(sent(core.Advance(now)))
			}
			b.ReportMetric(float64(reports)/float64(b.N), "reports")
		})
	}
}

// Addresses that are removed together leave the snapshot together, before any
// leaves the sockets; their groups are reported together, from the link-local
// address even if that is removed with them; and each call gets its own result.
//
// Spec: derived, DER, MLD-R12
func TestMLD_R12_RemovedTogether(t *testing.T) {
	n := newNode(t, CoreConfig{})
	n.up()
	n.mustAdd("2001:db8::5/64")
	n.mustAdd("2001:db8::6/64")
	n.run(10 * time.Second)
	n.take()
	five, six := netip.MustParseAddr("2001:db8::5"), netip.MustParseAddr("2001:db8::6")
	requests := []RemoveAddress{{1001, five}, {1002, ownLL}, {1003, six}, {1004, five}}
	for _, r := range requests {
		n.pending[r.ID] = true
	}
	n.step(RemoveAddresses{requests})
	n.wantErr(1001, nil)
	n.wantErr(1002, nil)
	n.wantErr(1003, nil)
	n.wantErr(1004, ErrNoSuchAddress)
	actions := n.take()
	inOrder(t, actions, "abort 2001:db8::5", "abort 2001:db8::6", "disable 2001:db8::5", "disable 2001:db8::6",
		"send "+ownLL.String()+" > ff02::16: MLD TO_IN ff02::1:ff00:5 TO_IN ff02::1:ff00:6", "disable "+ownLL.String())
	published := 0
	for _, act := range actions {
		switch act.(type) {
		case Publish:
			published++
		case Disable:
			if published == 0 {
				t.Error("an address leaves the sockets before the snapshot")
			}
		}
	}
	if published != 2 { // of the two, and of the link-local address
		t.Errorf("%d snapshots, want 2", published)
	}
	if as := n.core.Addresses(); len(as) != 0 {
		t.Errorf("addresses are left: %v", as)
	}
}

// What is done in pieces is what is done at once.
func TestAdvanceSomeIsAdvanceInPieces(t *testing.T) {
	const addresses = 5000
	run := func(advance func(*Core, time.Time) []CoreAction) (got []string, most int) {
		n := newNode(t, CoreConfig{})
		n.up()
		n.core.Step(n.now, AddAddresses{manyAddresses(addresses)})
		until := n.now.Add(10 * time.Second)
		for {
			at, ok := n.core.Deadline()
			if !ok || at.After(until) {
				return got, most
			}
			actions := advance(n.core, at)
			most = max(most, len(actions))
			for _, act := range actions {
				if _, ok := act.(Publish); !ok {
					got = append(got, lines([]CoreAction{act})...)
				}
			}
		}
	}
	whole, wholeMost := run((*Core).Advance)
	pieces, most := run((*Core).AdvanceSome)
	slices.Sort(whole) // the results come at the end of each piece
	slices.Sort(pieces)
	if !slices.Equal(whole, pieces) {
		t.Errorf("%d actions in pieces, %d at once, and not the same", len(pieces), len(whole))
	}
	if most > 10_000 || wholeMost < 2*most {
		t.Errorf("%d actions in the largest piece, %d at once", most, wholeMost)
	}
}
