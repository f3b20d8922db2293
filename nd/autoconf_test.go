package nd

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// The cast: the host's link-layer address is hostMAC.
const (
	subnet    = "2001:db8:1::/64"
	hardware  = "2001:db8:1::ff:fe00:1"
	hardLocal = "fe80::ff:fe00:1"
	day       = 24 * time.Hour
)

// sequence draws the middle of each interval and nonces that are all
// different.
type sequence struct{ nonces int }

func (*sequence) Between(lo, hi time.Duration) time.Duration { return (lo + hi) / 2 }
func (s *sequence) Nonce() Nonce {
	s.nonces++
	return Nonce(fmt.Sprintf("%06d", s.nonces))
}

// autoBench is an Autoconf on a test's workbench.
type autoBench struct {
	t   testing.TB
	m   *Autoconf
	now time.Time
	// added has the addresses in the order in which they were formed.
	added []netip.Addr
}

func newAutoBench(t testing.TB, cfg AutoconfConfig) *autoBench {
	cfg.LinkAddr = link(hostMAC)
	return &autoBench{t: t, m: NewAutoconf(cfg, &sequence{}), now: epoch}
}

// newUpBench returns a machine of an interface that is up and has no
// addresses.
func newUpBench(t testing.TB, cfg AutoconfConfig) *autoBench {
	cfg.NoLinkLocal = true
	b := newAutoBench(t, cfg)
	b.expect(b.do(AutoconfUp{}))
	return b
}

func (b *autoBench) do(evs ...AutoconfEvent) []string {
	b.t.Helper()
	var out []AutoconfAction
	for _, ev := range evs {
		out = append(out, b.m.Step(b.now, ev)...)
	}
	return b.describe(out)
}

func (b *autoBench) after(d time.Duration) []string {
	b.t.Helper()
	b.now = b.now.Add(d)
	return b.describe(b.m.Advance(b.now))
}

// last is the address that was formed last.
func (b *autoBench) last() netip.Addr { return b.added[len(b.added)-1] }

func (b *autoBench) expect(got []string, want ...string) {
	b.t.Helper()
	if d := cmp.Diff(want, got, cmpEmpty); d != "" {
		b.t.Fatalf("(-want +got)\n%s", d)
	}
}

func (b *autoBench) describe(actions []AutoconfAction) []string {
	var out []string
	for _, a := range actions {
		if add, ok := a.(AddAddress); ok {
			b.added = append(b.added, add.Addr)
		}
		out = append(out, describeAutoconf(a))
	}
	return out
}

// describeAutoconf writes lifetimes as "preferred/valid".
func describeAutoconf(a AutoconfAction) string {
	lifetimes := func(preferred, valid time.Duration) string {
		s := fmt.Sprintf("%v/%v", preferred, valid)
		return strings.ReplaceAll(s, Infinity.String(), "forever")
	}
	switch a := a.(type) {
	case AddAddress:
		s := fmt.Sprintf("add %v/%d %v", a.Addr, a.PrefixLen, a.Kind)
		if a.Hardware {
			s += " hardware"
		}
		if a.SameIdentifier {
			s += " same"
		}
		if a.FromMulticastRA {
			s += " multicast"
		}
		return s + " " + lifetimes(a.Preferred, a.Valid)
	case UpdateLifetimes:
		return fmt.Sprintf("update %v %s", a.Addr, lifetimes(a.Preferred, a.Valid))
	case DeprecateAddress:
		return fmt.Sprint("deprecate ", a.Addr)
	case RemoveAddress:
		return fmt.Sprint("remove ", a.Addr)
	case IdentifiersExhausted:
		return fmt.Sprintf("exhausted %v %v", a.Prefix, a.Kind)
	case SaveCounter:
		return fmt.Sprintf("save %v %d", a.Prefix, a.Counter)
	}
	return fmt.Sprintf("%T", a)
}

// prefix is an option of a unicast advertisement with A=1.
func prefix(p string, preferred, valid time.Duration) AutoconfPrefix {
	return AutoconfPrefix{PrefixInformation: PrefixInformation{
		Prefix: netip.MustParsePrefix(p), Autonomous: true, PreferredLifetime: preferred, ValidLifetime: valid,
	}}
}

var stableConfig = AutoconfConfig{
	Identifiers: StableIdentifiers, Secret: []byte("0123456789abcdef"), NetIface: "tap0", NetworkID: "office",
}

// stableAddr is the address that stableConfig gives with a DAD_Counter.
func stableAddr(p string, counter uint32) netip.Addr {
	prefix := netip.MustParsePrefix(p)
	return StableIID(prefix, "tap0", "office", counter, stableConfig.Secret).on(prefix)
}

// Spec: RFC 2464, section 5, must, IID-R02
// Spec: RFC 4862, section 5.3, must, DAD-R10
func TestIID_R02_LinkLocalAddressAtUp(t *testing.T) {
	b := newAutoBench(t, AutoconfConfig{})
	b.expect(b.do(AutoconfUp{}), "add fe80::ff:fe00:1/64 link-local hardware forever/forever")
	b.expect(b.do(AutoconfUp{}))
	if at, ok := b.m.Deadline(); ok {
		t.Errorf("an infinite lifetime ends at %v", at)
	}
	b.expect(b.do(AutoconfDown{}), "remove fe80::ff:fe00:1")
}

func TestLinkLocalAddressIsLeftToOthers(t *testing.T) {
	b := newAutoBench(t, AutoconfConfig{NoLinkLocal: true})
	b.expect(b.do(AutoconfUp{}))
	b = newAutoBench(t, AutoconfConfig{})
	b.expect(b.do(AddressClaimed{addr(hardLocal)}, AutoconfUp{}))
}

// An operator's address takes the place of the one that was a duplicate; the
// next start of the interface tries its own again.
//
// Spec: RFC 4862, section 5.4, should, DAD-R44
func TestDAD_R44_LinkLocalAddressOfTheOperator(t *testing.T) {
	b := newAutoBench(t, AutoconfConfig{})
	b.do(AutoconfUp{}, AddressDuplicate{addr(hardLocal)})
	b.expect(b.do(AutoconfDown{}, AutoconfUp{NoLinkLocal: true}))
	b.expect(b.do(AutoconfUp{})) // it is up
	b.expect(b.do(prefix(subnet, day, day)), "add "+hardware+"/64 stable hardware 24h0m0s/24h0m0s")
	b.expect(b.do(AutoconfDown{}, AutoconfUp{}), "remove "+hardware, "add "+hardLocal+"/64 link-local hardware forever/forever")
}

// Core may test the link-local address alone where that is enough.
//
// Spec: RFC 2462, section 5.4, MAY, DAD-R05
func TestDAD_R05_SameIdentifierAsTheLinkLocalAddress(t *testing.T) {
	b := newAutoBench(t, AutoconfConfig{Temporary: true})
	b.do(AutoconfUp{})
	b.expect(b.do(prefix(subnet, day, day)),
		"add "+hardware+"/64 stable hardware same 24h0m0s/24h0m0s", "add "+temporary1+"/64 temporary 19h12m0s/24h0m0s")
	b.do(AddressDuplicate{addr(hardLocal)})
	b.expect(b.do(prefix("2001:db8:2::/64", day, day))[:1], "add 2001:db8:2::ff:fe00:1/64 stable hardware 24h0m0s/24h0m0s")

	// Stable and random identifiers differ from prefix to prefix.
	for _, cfg := range []AutoconfConfig{stableConfig, {Identifiers: RandomIdentifiers}} {
		b := newAutoBench(t, cfg)
		for _, out := range b.do(AutoconfUp{}, prefix(subnet, day, day)) {
			if strings.Contains(out, " same ") {
				t.Error(out)
			}
		}
	}

	// Only the bits of an identifier count, and only an address formed here.
	b = newAutoBench(t, AutoconfConfig{IdentifierBits: 48})
	b.do(AutoconfUp{})
	b.expect(b.do(prefix("2001:db8:0:0:aaaa::/80", day, day)), "add 2001:db8::aaaa:ff:fe00:1/80 stable hardware same 24h0m0s/24h0m0s")
	b = newAutoBench(t, AutoconfConfig{})
	b.do(AddressClaimed{addr(hardLocal)}, AutoconfUp{})
	b.expect(b.do(prefix(subnet, day, day)), "add "+hardware+"/64 stable hardware 24h0m0s/24h0m0s")
}

// Spec: RFC 2464, section 4, must, IID-R01
func TestIID_R01_AnotherLinkLayerAddress(t *testing.T) {
	b := newAutoBench(t, AutoconfConfig{})
	b.do(AutoconfUp{}, prefix(subnet, day, day))
	b.expect(b.do(AutoconfLinkAddr{link(otherMAC)}, AutoconfLinkAddr{}, AutoconfLinkAddr{BroadcastLinkAddr}))
	b.expect(b.do(prefix(subnet, day, day))) // what there is stays
	b.expect(b.do(prefix("2001:db8:2::/64", day, day)), "add 2001:db8:2::ff:fe00:3/64 stable hardware 24h0m0s/24h0m0s")
	b.expect(b.do(AutoconfDown{}, AutoconfUp{}),
		"remove "+hardLocal, "remove "+hardware, "remove 2001:db8:2::ff:fe00:3", "add fe80::ff:fe00:3/64 link-local hardware forever/forever")
}

// Spec: RFC 7217, section 5, MUST, IID-R05
func TestIID_R05_StableIdentifiersForEveryPrefixAndLinkLocal(t *testing.T) {
	b := newAutoBench(t, stableConfig)
	b.expect(b.do(AutoconfUp{}, prefix(subnet, day, day)),
		fmt.Sprintf("add %v/64 link-local forever/forever", stableAddr("fe80::/64", 0)),
		fmt.Sprintf("add %v/64 stable 24h0m0s/24h0m0s", stableAddr(subnet, 0)))
	for _, cfg := range []AutoconfConfig{
		{Identifiers: StableIdentifiers, Secret: []byte("0123456789abcde"), NetIface: "tap0"},
		{Identifiers: StableIdentifiers, Secret: []byte("0123456789abcdef")},
	} {
		if cfg.Validate() == nil {
			t.Errorf("%+v is valid", cfg)
		}
	}
}

// Spec: RFC 8064, section 3, SHOULD, IID-R03
func TestIID_R03_StableAddressesDoNotShowTheLinkLayerAddress(t *testing.T) {
	b := newAutoBench(t, stableConfig)
	b.do(AutoconfUp{}, prefix(subnet, day, day))
	other := newAutoBench(t, stableConfig)
	other.m.cfg.LinkAddr = link(peerMAC)
	other.do(AutoconfUp{}, prefix(subnet, day, day))
	if diff := cmp.Diff(b.added, other.added, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
		t.Errorf("(-one link-layer address +another)\n%s", diff)
	}
}

// A claim that has the address that would be formed is handled like a
// duplicate, unless the identifier is that of the link-layer address.
//
// Spec: RFC 7217, section 5, SHOULD, IID-R06
func TestIID_R06_AnIdentifierOfAnotherAddressIsNotUsed(t *testing.T) {
	b := newUpBench(t, stableConfig)
	b.expect(b.do(AddressClaimed{stableAddr(subnet, 0)}, prefix(subnet, day, day)))
	b.expect(b.after(time.Second), fmt.Sprintf("add %v/64 stable 23h59m59.5s/23h59m59.5s", stableAddr(subnet, 1)))
}

// Spec: RFC 7217, section 6, SHOULD, IID-R08
// Spec: RFC 7217, section 6, MUST NOT, IID-R09
// Spec: RFC 3756, section 4.1.3, DER, CACHE-R07
func TestIID_R08_DuplicatesHaveThreeRetriesAfterARandomDelay(t *testing.T) {
	b := newUpBench(t, stableConfig)
	ev := prefix(subnet, day, Infinity)
	ev.FromMulticast = true
	b.expect(b.do(ev), fmt.Sprintf("add %v/64 stable multicast 24h0m0s/forever", stableAddr(subnet, 0)))
	for try := range uint32(idgenRetries) {
		b.expect(b.do(AddressDuplicate{b.last()}))
		b.expect(b.do(prefix(subnet, 2*day, Infinity))) // does not cut the delay short
		b.expect(b.after(499 * time.Millisecond))
		b.expect(b.after(time.Millisecond), fmt.Sprintf("add %v/64 stable 47h59m59.5s/forever", stableAddr(subnet, try+1)))
	}
	b.expect(b.do(AddressDuplicate{b.last()}), "exhausted 2001:db8:1::/64 stable")
	b.expect(b.do(prefix(subnet, day, day)))
	b.expect(b.after(24 * time.Hour))
	b.expect(b.do(prefix(subnet, day, day))) // the interface is still at the link
	b.expect(b.do(AutoconfDown{}, AutoconfUp{}, prefix(subnet, day, day)),
		fmt.Sprintf("add %v/64 stable 24h0m0s/24h0m0s", stableAddr(subnet, 0)))
}

func TestIID_R08_HardwareIdentifiersHaveNoRetry(t *testing.T) {
	b := newAutoBench(t, AutoconfConfig{})
	b.do(AutoconfUp{}, prefix(subnet, day, day))
	b.expect(b.do(AddressDuplicate{addr(hardware)}), "exhausted 2001:db8:1::/64 stable")
	b.expect(b.do(AddressDuplicate{addr(hardLocal)}), "exhausted fe80::/64 link-local")
	b.expect(b.do(prefix(subnet, day, day)))
}

func TestRandomIdentifiersAreDrawnAnewAfterADuplicate(t *testing.T) {
	b := newUpBench(t, AutoconfConfig{Identifiers: RandomIdentifiers})
	b.expect(b.do(prefix(subnet, day, day)), "add 2001:db8:1:0:3030:3030:3031:3030/64 stable 24h0m0s/24h0m0s")
	b.expect(b.do(AddressDuplicate{b.last()}))
	b.expect(b.after(time.Second), "add 2001:db8:1:0:3030:3030:3033:3030/64 stable 23h59m59.5s/23h59m59.5s")
}

// Spec: RFC 7217, section 6, MAY, IID-R10
func TestIID_R10_TheCounterIsSavedAndUsed(t *testing.T) {
	b := newUpBench(t, stableConfig)
	b.do(prefix(subnet, day, day))
	b.expect(b.do(AddressAssigned{b.last()})) // it is 0, as without an entry
	b.do(AutoconfDown{}, AutoconfUp{}, prefix(subnet, day, day), AddressDuplicate{b.last()})
	b.after(time.Second)
	b.expect(b.do(AddressAssigned{b.last()}), "save 2001:db8:1::/64 1")
	b.expect(b.do(AddressAssigned{b.last()}))
	b.do(AutoconfDown{}, AutoconfUp{})
	b.expect(b.do(prefix(subnet, day, day)), fmt.Sprintf("add %v/64 stable 24h0m0s/24h0m0s", stableAddr(subnet, 1)))

	cfg := stableConfig
	cfg.Counters = []DADCounter{{netip.MustParsePrefix("2001:db8:1::5/64"), 7}, {netip.MustParsePrefix("fe80::/64"), 2}}
	b = newAutoBench(t, cfg)
	b.do(AutoconfUp{}, prefix(subnet, day, day))
	if b.added[0] != stableAddr("fe80::/64", 2) || b.added[1] != stableAddr(subnet, 7) {
		t.Errorf("the saved counters are not used: %v", b.added)
	}
}

// A counter with which no address came to be is not "the DAD_Counter value
// employed".
//
// Spec: RFC 7217, section 6, MAY, IID-R10
func TestIID_R10_ACounterThatGrewInVainIsNotSaved(t *testing.T) {
	b := newAutoBench(t, stableConfig)
	b.do(AutoconfUp{})
	b.do(AddressDuplicate{b.last()})
	for range idgenRetries {
		b.after(time.Second)
		for _, out := range b.do(AddressDuplicate{b.last()}) {
			if strings.HasPrefix(out, "save") {
				t.Error(out)
			}
		}
	}
	b.expect(b.do(AutoconfDown{}, AutoconfUp{}), fmt.Sprintf("add %v/64 link-local forever/forever", stableAddr("fe80::/64", 0)))
}

// Three duplicates in one life of the address do not count against it in the
// next.
//
// Spec: RFC 7217, section 6, SHOULD, IID-R08
func TestIID_R08_AttemptsAreCountedAnewAfterSuccess(t *testing.T) {
	b := newUpBench(t, stableConfig)
	b.do(prefix(subnet, day, day))
	for range 2 {
		for range idgenRetries {
			b.do(AddressDuplicate{b.last()})
			b.after(time.Second)
		}
		b.do(AddressAssigned{b.last()})
	}
	if b.last() != stableAddr(subnet, 6) {
		t.Errorf("formed %v", b.added)
	}
}

// Spec: RFC 4862, section 5.5.3, must, LIF-R02
// Spec: RFC 4862, section 5.5.3, MUST, LIF-R04
func TestLIF_R02_OptionsThatAreIgnored(t *testing.T) {
	notAutonomous := prefix(subnet, day, day)
	notAutonomous.Autonomous = false
	for name, test := range map[string]struct {
		ev   AutoconfPrefix
		want AutoconfCounters
	}{
		"A=0":                      {ev: notAutonomous},
		"link-local":               {ev: prefix("fe80::/64", day, day)},
		"link-local but not fe80":  {ev: prefix("febf:1::/64", day, day)},
		"multicast":                {ev: prefix("ff02::/64", day, day)},
		"IPv4":                     {ev: prefix("192.0.2.0/24", day, day)},
		"no prefix":                {ev: AutoconfPrefix{PrefixInformation: PrefixInformation{Autonomous: true}}},
		"negative lifetime":        {ev: prefix(subnet, -1, day)},
		"valid 0 for a new prefix": {ev: prefix(subnet, 0, 0)},
		"preferred over valid":     {prefix(subnet, day+1, day), AutoconfCounters{LifetimesReversed: 1}},
		"too short":                {prefix("2001:db8:1::/63", day, day), AutoconfCounters{PrefixesOfOddLength: 1}},
		"too long":                 {prefix("2001:db8:1::/65", day, day), AutoconfCounters{PrefixesOfOddLength: 1}},
	} {
		b := newUpBench(t, AutoconfConfig{})
		b.expect(b.do(test.ev))
		if diff := cmp.Diff(test.want, b.m.Counters()); diff != "" {
			t.Errorf("%s: counters (-want +got)\n%s", name, diff)
		}
		// Nor does it touch an address that there is.
		b.do(prefix(subnet, day, day))
		if name != "valid 0 for a new prefix" {
			b.expect(b.do(test.ev))
		}
	}
}

// Spec: RFC 4862, section 5.5.3, should, IID-R07
func TestIID_R07_TheLengthIsTheLinkTypes(t *testing.T) {
	b := newUpBench(t, AutoconfConfig{IdentifierBits: 48})
	b.expect(b.do(prefix(subnet, day, day)))
	b.expect(b.do(prefix("2001:db8::/80", day, day)), "add 2001:db8::ff:fe00:1/80 stable hardware 24h0m0s/24h0m0s")
}

// Spec: RFC 4862, section 5.5.3, must, LIF-R03
func TestLIF_R03_ANewPrefixFormsAnAddress(t *testing.T) {
	formed := "add 2001:db8:1::ff:fe00:1/64 stable hardware 1h0m0s/2h0m0s"
	ev := prefix(subnet, time.Hour, 2*time.Hour)

	b := newUpBench(t, AutoconfConfig{})
	b.expect(b.do(ev), formed)
	b.expect(b.do(ev)) // nothing is new, not even the lifetimes

	// Another address of the prefix is no obstacle, unless this is RFC 2462.
	b = newUpBench(t, AutoconfConfig{})
	b.expect(b.do(AddressClaimed{addr("2001:db8:1::7")}, ev), formed)
	b = newUpBench(t, AutoconfConfig{MatchAnyAddress: true})
	b.expect(b.do(AddressClaimed{addr("2001:db8:2::7")}, ev), formed)
	b = newUpBench(t, AutoconfConfig{MatchAnyAddress: true})
	claims := []AutoconfEvent{AddressClaimed{addr("2001:db8:1::7")}, AddressClaimed{addr("2001:db8:1::7")}, AddressClaimed{addr("2001:db8:1::8")}}
	b.expect(b.do(append(claims, ev)...))
	b.expect(b.do(AddressReleased{addr("2001:db8:1::7")}, AddressReleased{addr("2001:db8:1::7")}, ev))
	b.expect(b.do(AddressReleased{addr("2001:db8:1::8")}, ev), formed)
}

// In RFC 2462 an address of other means also keeps temporary addresses and
// further attempts away.
//
// Spec: RFC 2462, section 5.5.3, must, LIF-R03
func TestLIF_R03_AnyAddressOfThePrefixIsEnough(t *testing.T) {
	cfg := stableConfig
	cfg.MatchAnyAddress, cfg.Temporary = true, true
	b := newUpBench(t, cfg)
	b.expect(b.do(AddressClaimed{addr("2001:db8:1::7")}, prefix(subnet, day, day)))

	cfg.Temporary = false
	b = newUpBench(t, cfg)
	b.do(prefix(subnet, day, day), AddressClaimed{stableAddr(subnet, 0)}, prefix(subnet, day, day))
	b.expect(b.after(time.Second))
}

// An address in the list is not formed a second time; it is when the list has
// it no more.
//
// Spec: RFC 4862, section 5.5.3, must, LIF-R03
func TestLIF_R03_TheFormedAddressIsInTheListAlready(t *testing.T) {
	b := newUpBench(t, AutoconfConfig{})
	b.expect(b.do(AddressClaimed{addr(hardware)}, prefix(subnet, day, day)))
	b.expect(b.do(AddressReleased{addr(hardware)}, prefix(subnet, day, day)),
		"add 2001:db8:1::ff:fe00:1/64 stable hardware 24h0m0s/24h0m0s")
	// A later claim takes it over, and its lifetimes with it.
	b.expect(b.do(AddressClaimed{addr(hardware)}))
	b.expect(b.after(2 * day))
}

// Spec: RFC 4862, section 5.5.3, must, LIF-R05
func TestLIF_R05_OnlyTheAddressOfTheSamePrefixIsRefreshed(t *testing.T) {
	b := newUpBench(t, AutoconfConfig{})
	b.do(AddressClaimed{addr("2001:db8:1::7")}, prefix(subnet, day, day), prefix("2001:db8:2::/64", day, day))
	b.expect(b.do(prefix(subnet, 3*day, 3*day)), "update 2001:db8:1::ff:fe00:1 72h0m0s/72h0m0s")
}

// Every branch of (e) and both sides of each of its borders, for RFC 4862 and
// RFC 2462.
//
// Spec: RFC 4862, section 5.5.3, must, LIF-R06
// Spec: RFC 4862, section 5.5.3, must, LIF-R07
// Spec: RFC 4862, section 5.5.3, must, LIF-R08
// Spec: RFC 4862, section 5.5.3, must, LIF-R09
func TestLIF_R06_TwoHourRule(t *testing.T) {
	const h, s = time.Hour, time.Second
	type lifetimes struct{ preferred, valid time.Duration }
	for _, test := range []struct {
		name             string
		before, received lifetimes
		want, want2462   lifetimes
	}{
		{"1) over 2 h, longer", lifetimes{h, 3 * h}, lifetimes{2 * h, 4 * h}, lifetimes{2 * h, 4 * h}, lifetimes{2 * h, 4 * h}},
		{"1) over 2 h, shorter", lifetimes{h, 9 * h}, lifetimes{h / 2, 2*h + s}, lifetimes{h / 2, 2*h + s}, lifetimes{h / 2, 2*h + s}},
		{"1) infinite", lifetimes{h, h}, lifetimes{Infinity, Infinity}, lifetimes{Infinity, Infinity}, lifetimes{Infinity, Infinity}},
		{"1) from infinite", lifetimes{Infinity, Infinity}, lifetimes{3 * h, 3 * h}, lifetimes{3 * h, 3 * h}, lifetimes{3 * h, 3 * h}},
		{"1) under 2 h, over remaining", lifetimes{s, h}, lifetimes{2 * s, h + s}, lifetimes{2 * s, h + s}, lifetimes{2 * s, h + s}},
		{"1) 2 h, over remaining", lifetimes{s, h}, lifetimes{2 * s, 2 * h}, lifetimes{2 * s, 2 * h}, lifetimes{2 * s, 2 * h}},
		{"2) remaining under 2 h, shorter", lifetimes{h, h}, lifetimes{s, 2 * s}, lifetimes{s, h}, lifetimes{h, h}},
		{"2) remaining under 2 h, the same", lifetimes{s, h}, lifetimes{2 * s, h}, lifetimes{2 * s, h}, lifetimes{s, h}},
		{"2) remaining 2 h", lifetimes{h, 2 * h}, lifetimes{s, h}, lifetimes{s, 2 * h}, lifetimes{h, 2 * h}},
		{"2) remaining 2 h, the same", lifetimes{h, 2 * h}, lifetimes{s, 2 * h}, lifetimes{s, 2 * h}, lifetimes{h, 2 * h}},
		{"2) zero", lifetimes{h, h}, lifetimes{0, 0}, lifetimes{0, h}, lifetimes{h, h}},
		{"3) remaining over 2 h", lifetimes{h, 2*h + s}, lifetimes{s, h}, lifetimes{s, 2 * h}, lifetimes{s, 2 * h}},
		{"3) 2 h", lifetimes{h, 9 * h}, lifetimes{s, 2 * h}, lifetimes{s, 2 * h}, lifetimes{s, 2 * h}},
		{"3) zero", lifetimes{h, 9 * h}, lifetimes{0, 0}, lifetimes{0, 2 * h}, lifetimes{0, 2 * h}},
		{"3) infinite", lifetimes{Infinity, Infinity}, lifetimes{0, 0}, lifetimes{0, 2 * h}, lifetimes{0, 2 * h}},
	} {
		for _, rfc2462 := range []bool{false, true} {
			want := test.want
			if rfc2462 {
				want = test.want2462
			}
			b := newUpBench(t, AutoconfConfig{PreferredOnlyWithValid: rfc2462, MatchAnyAddress: rfc2462})
			// The rule is about the time left, not about what was stored.
			past := 10 * time.Minute
			later := func(d time.Duration) time.Duration {
				if d == Infinity {
					return d
				}
				return d + past
			}
			b.do(prefix(subnet, later(test.before.preferred), later(test.before.valid)))
			b.after(past)
			b.do(prefix(subnet, test.received.preferred, test.received.valid))
			a := b.m.addrs[addr(hardware)]
			got := lifetimes{b.m.left(a.preferred), b.m.left(a.valid)}
			if got != want {
				t.Errorf("%s (RFC 2462: %v): %v, want %v", test.name, rfc2462, got, want)
			}
		}
	}
}

// Spec: RFC 4862, section 5.5.4, must, LIF-R01
// Spec: RFC 4862, section 5.5.4, MUST NOT, LIF-R13
func TestLIF_R01_DeprecatedThenInvalid(t *testing.T) {
	b := newUpBench(t, AutoconfConfig{})
	b.do(prefix(subnet, time.Hour, 2*time.Hour))
	b.expect(b.after(time.Hour - 1))
	b.expect(b.after(1), "deprecate 2001:db8:1::ff:fe00:1")
	b.expect(b.do(prefix(subnet, 1, time.Hour)), "update 2001:db8:1::ff:fe00:1 1ns/1h0m0s")
	b.expect(b.after(1), "deprecate 2001:db8:1::ff:fe00:1")
	b.expect(b.after(time.Hour - 2))
	b.expect(b.after(1), "remove 2001:db8:1::ff:fe00:1")
	if at, ok := b.m.Deadline(); ok || len(b.m.prefixes)+len(b.m.addrs) > 0 {
		t.Errorf("something is left, due at %v", at)
	}
	b.expect(b.do(prefix(subnet, 1, 1)), "add 2001:db8:1::ff:fe00:1/64 stable hardware 1ns/1ns")
}

// Spec: RFC 4861, section 4.6.2, must, LIF-R14
func TestLIF_R14_InfiniteAndLongLifetimes(t *testing.T) {
	b := newUpBench(t, AutoconfConfig{})
	longest := 0xfffffffe * time.Second
	b.expect(b.do(prefix(subnet, longest, Infinity)), "add 2001:db8:1::ff:fe00:1/64 stable hardware 1193046h28m14s/forever")
	b.expect(b.after(longest - 1))
	b.expect(b.after(1), "deprecate 2001:db8:1::ff:fe00:1")
	b.expect(b.do(prefix(subnet, Infinity, Infinity)), "update 2001:db8:1::ff:fe00:1 forever/forever")
	for range 10 {
		b.expect(b.after(100 * 365 * day))
	}
}

// Spec: RFC 4862, section 5.6, SHOULD, LIF-R16
func TestLIF_R16_TheMostRecentAdvertisementWins(t *testing.T) {
	b := newUpBench(t, AutoconfConfig{})
	b.do(prefix(subnet, 5*day, 6*day))
	b.expect(b.do(prefix(subnet, day, 2*day), prefix(subnet, 3*day, 4*day)),
		"update 2001:db8:1::ff:fe00:1 24h0m0s/48h0m0s", "update 2001:db8:1::ff:fe00:1 72h0m0s/96h0m0s")
}

// What waits for its next attempt ages too.
//
// Spec: RFC 4862, section 5.5.4, DER, LIF-R18
func TestLIF_R18_LifetimesRunBeforeAssignment(t *testing.T) {
	b := newUpBench(t, stableConfig)
	b.do(prefix(subnet, 100*time.Millisecond, time.Second))
	b.do(AddressDuplicate{b.last()})
	b.expect(b.after(time.Second/2), fmt.Sprintf("add %v/64 stable 0s/500ms", stableAddr(subnet, 1)))
	b.do(AddressDuplicate{b.last()})
	b.do(prefix(subnet, 0, 0))
	b.expect(b.after(time.Second))
	if len(b.m.prefixes) > 0 {
		t.Error("the prefix outlives its valid lifetime")
	}
	b.do(prefix(subnet, time.Second/4, time.Second/4))
	b.do(AddressDuplicate{b.last()})
	b.after(time.Second / 4)
	if at, ok := b.m.Deadline(); ok {
		t.Errorf("the next attempt is due at %v, without a prefix", at)
	}
}

func TestAddressesRemovedByHandAreNotFormedAgain(t *testing.T) {
	b := newAutoBench(t, AutoconfConfig{Temporary: true})
	b.do(AutoconfUp{}, prefix(subnet, 2*day, 4*day))
	temporary := b.last()
	b.expect(b.do(AddressRemoved{addr(hardware)}, AddressRemoved{temporary}, AddressRemoved{addr(hardLocal)}))
	b.expect(b.do(prefix(subnet, 2*day, 4*day)))
	b.expect(b.after(3 * day))
	b.expect(b.do(AutoconfUp{}))
	if n := len(b.do(AutoconfDown{}, AutoconfUp{}, prefix(subnet, 2*day, 4*day))); n != 3 {
		t.Errorf("%d addresses, want 3", n)
	}
}

func TestDownRemovesAllInOrder(t *testing.T) {
	b := newAutoBench(t, AutoconfConfig{Temporary: true})
	b.do(AutoconfUp{})
	var want []string
	for i := range 10 {
		b.do(prefix(fmt.Sprintf("2001:db8:%d::/64", 9-i), day, day))
	}
	for _, a := range b.added {
		want = append(want, fmt.Sprint("remove ", a))
	}
	b.expect(b.do(AutoconfDown{}), want...)
	b.expect(b.do(prefix(subnet, day, day)))
	b.expect(b.after(100 * day))
}

// What a machine would panic for is told before.
//
// Spec: RFC 4862, section 5.3, must, DAD-R11
func TestAutoconfConfigValidate(t *testing.T) {
	for name, cfg := range map[string]AutoconfConfig{
		"unknown identifiers":   {LinkAddr: link(hostMAC), Identifiers: RandomIdentifiers + 1},
		"long identifiers":      {LinkAddr: link(hostMAC), IdentifierBits: 65},
		"negative identifiers":  {LinkAddr: link(hostMAC), IdentifierBits: -1},
		"no link-layer address": {},
		"a group's address":     {LinkAddr: BroadcastLinkAddr},
	} {
		func() {
			defer func() {
				if recover() == nil || cfg.Validate() == nil {
					t.Errorf("%s: no panic or no error", name)
				}
			}()
			NewAutoconf(cfg, &sequence{})
		}()
	}
	if err := (AutoconfConfig{Identifiers: RandomIdentifiers}).Validate(); err != nil {
		t.Errorf("random identifiers need no link-layer address: %v", err)
	}
}

// The counters of the latest networks are kept, not those of all.
//
// Spec: RFC 7217, section 6, MAY, IID-R10
func TestIID_R10_KeptCountersAreBounded(t *testing.T) {
	cfg := stableConfig
	for i := range 100 {
		cfg.Counters = append(cfg.Counters, DADCounter{netip.MustParsePrefix(fmt.Sprintf("2001:db8:%d::/64", i)), 1})
	}
	b := newUpBench(t, cfg)
	b.do(prefix("2001:db8:0::/64", day, day), prefix("2001:db8:99::/64", day, day))
	if b.added[0] != stableAddr("2001:db8:0::/64", 0) || b.added[1] != stableAddr("2001:db8:99::/64", 1) || len(b.m.saved) != 32 {
		t.Errorf("formed %v with %d counters", b.added, len(b.m.saved))
	}
}
