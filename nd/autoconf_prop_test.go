package nd

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// autoWatcher checks what must hold for whatever Autoconf is told. It has its
// own model of lifetimes, in which every address is on its own.
type autoWatcher struct {
	t     *rapid.T
	m     *Autoconf
	cfg   AutoconfConfig
	now   time.Time
	up    bool
	addrs map[netip.Addr]*watchedAddr
	// ends is the latest time to which advertisements make a prefix valid.
	ends      map[netip.Prefix]time.Time
	exhausted map[string]int
}

type watchedAddr struct {
	AddAddress
	created                 time.Time
	preferredUntil, validTo time.Time
	deprecated              bool
}

func (a *watchedAddr) prefix() netip.Prefix { return netip.PrefixFrom(a.Addr, a.PrefixLen).Masked() }

func after(now time.Time, d time.Duration) time.Time {
	if d == Infinity {
		return never
	}
	return now.Add(d)
}

// model is RFC 4862, section 5.5.3 (e), for one end of a valid lifetime.
func (w *autoWatcher) model(end time.Time, pio PrefixInformation) time.Time {
	received := after(w.now, pio.ValidLifetime)
	inTwoHours := w.now.Add(2 * time.Hour)
	switch {
	case received.After(inTwoHours), received.After(end):
		return received
	case end.After(inTwoHours):
		return inTwoHours
	}
	return end
}

func (w *autoWatcher) step(ev AutoconfEvent) {
	refused := w.m.Counters().PrefixesRefused
	actions := w.m.Step(w.now, ev)
	switch ev := ev.(type) {
	case AutoconfUp:
		w.up = true
	case AutoconfDown:
		w.up, w.ends, w.exhausted = false, map[netip.Prefix]time.Time{}, map[string]int{}
	case AutoconfPrefix:
		if end, ok := w.ends[ev.Prefix]; ok && end.After(w.now) {
			w.ends[ev.Prefix] = w.model(end, ev.PrefixInformation)
		} else if w.up && w.m.Counters().PrefixesRefused == refused {
			w.ends[ev.Prefix] = after(w.now, ev.ValidLifetime)
		}
	case AddressDuplicate:
		delete(w.addrs, ev.Addr)
	case AddressRemoved:
		delete(w.addrs, ev.Addr)
	case AddressClaimed:
		delete(w.addrs, ev.Addr)
	}
	w.watch(actions)
	if !w.up && len(w.addrs) > 0 {
		w.t.Fatalf("%d addresses while down", len(w.addrs))
	}
	if p, ok := ev.(AutoconfPrefix); ok {
		w.checkRefreshed(p)
	}
	w.checkBounds()
}

// checkRefreshed compares every address of the prefix with the model.
func (w *autoWatcher) checkRefreshed(ev AutoconfPrefix) {
	for _, a := range w.addrs {
		if a.prefix() != ev.Prefix {
			continue
		}
		valid, preferred := w.ends[ev.Prefix], after(w.now, ev.PreferredLifetime)
		if a.Kind == TemporaryAddress {
			valid = earliest(valid, a.created.Add(w.cfg.TempValidLifetime))
		}
		if !a.validTo.Equal(valid) {
			w.t.Fatalf("%v is valid until %v, the model says %v", a.Addr, a.validTo, valid)
		}
		// What is past is past: no update tells of another end of it.
		over := !a.preferredUntil.After(w.now) && !preferred.After(w.now)
		if a.Kind == StableAddress && !over && !a.preferredUntil.Equal(preferred) {
			w.t.Fatalf("%v is preferred until %v, want %v", a.Addr, a.preferredUntil, preferred)
		}
	}
}

func (w *autoWatcher) checkBounds() {
	perPrefix := map[netip.Prefix]int{}
	for addr, a := range w.addrs {
		perPrefix[a.prefix()]++
		if a.validTo.Before(a.preferredUntil) || !a.validTo.After(w.now) {
			w.t.Fatalf("at %v: %v is preferred until %v and valid until %v", w.now, addr, a.preferredUntil, a.validTo)
		}
		if a.deprecated == a.preferredUntil.After(w.now) {
			w.t.Fatalf("at %v: %v is preferred until %v, deprecated: %v", w.now, addr, a.preferredUntil, a.deprecated)
		}
		if most := a.created.Add(w.cfg.TempPreferredLifetime); a.Kind == TemporaryAddress && a.preferredUntil.After(most) {
			w.t.Fatalf("%v is preferred until %v, after %v", addr, a.preferredUntil, most)
		}
	}
	delete(perPrefix, linkLocalPrefix)
	if len(perPrefix) > w.cfg.MaxPrefixes || len(w.m.prefixes) > w.cfg.MaxPrefixes {
		w.t.Fatalf("addresses for %d prefixes, %d kept", len(perPrefix), len(w.m.prefixes))
	}
	for p, n := range perPrefix {
		if n > w.cfg.MaxAddressesPerPrefix {
			w.t.Fatalf("%d addresses of %v", n, p)
		}
	}
	if len(w.addrs) != len(w.m.addrs) {
		w.t.Fatalf("%d addresses told, %d known", len(w.addrs), len(w.m.addrs))
	}
	if n := w.m.timers.Len(); n > 2*len(w.m.addrs)+3*(len(w.m.prefixes)+1) {
		w.t.Fatalf("%d timers for %d addresses and %d prefixes", n, len(w.m.addrs), len(w.m.prefixes))
	}
	if len(w.m.saved) > 2*w.cfg.MaxPrefixes {
		w.t.Fatalf("%d counters kept", len(w.m.saved))
	}
}

func (w *autoWatcher) watch(actions []AutoconfAction) {
	for _, act := range actions {
		switch act := act.(type) {
		case AddAddress:
			w.added(act)
		case UpdateLifetimes:
			a := w.known(act.Addr)
			a.validTo = after(w.now, act.Valid)
			if act.Preferred > 0 || a.preferredUntil.After(w.now) { // else it had ended before
				a.preferredUntil = after(w.now, act.Preferred)
			}
			if act.Preferred > 0 {
				a.deprecated = false
			}
		case DeprecateAddress:
			a := w.known(act.Addr)
			if a.deprecated || a.preferredUntil.After(w.now) {
				w.t.Fatalf("%v deprecated at %v, preferred until %v", act.Addr, w.now, a.preferredUntil)
			}
			a.deprecated = true
		case RemoveAddress:
			if a := w.known(act.Addr); w.up && !a.validTo.Equal(w.now) {
				w.t.Fatalf("%v removed at %v, valid until %v", act.Addr, w.now, a.validTo)
			}
			delete(w.addrs, act.Addr)
		case IdentifiersExhausted:
			key := fmt.Sprint(act.Prefix, act.Kind)
			if w.exhausted[key]++; w.exhausted[key] > 1 && w.cfg.MaxPrefixes > 2 {
				w.t.Fatalf("%s exhausted twice", key)
			}
		case SaveCounter:
			if act.Counter == 0 {
				w.t.Fatalf("a counter of 0 is saved for %v", act.Prefix)
			}
		}
	}
}

func (w *autoWatcher) added(act AddAddress) {
	if w.addrs[act.Addr] != nil || w.m.isClaimed(act.Addr) || !w.up {
		w.t.Fatalf("%v is there, claimed, or added while down", act.Addr)
	}
	a := &watchedAddr{
		AddAddress: act, created: w.now, deprecated: act.Preferred == 0,
		preferredUntil: after(w.now, act.Preferred), validTo: after(w.now, act.Valid),
	}
	if end := w.ends[a.prefix()]; act.Kind != LinkLocalAddress && a.validTo.After(end) {
		w.t.Fatalf("%v is valid until %v, advertised until %v", act.Addr, a.validTo, end)
	}
	w.addrs[act.Addr] = a
}

func (w *autoWatcher) known(addr netip.Addr) *watchedAddr {
	a := w.addrs[addr]
	if a == nil {
		w.t.Fatalf("%v is not there", addr)
	}
	return a
}

// advance fires one deadline after the other, so that each action's time is
// known.
func (w *autoWatcher) advance(now time.Time) {
	for {
		at, ok := w.m.Deadline()
		if !ok || at.After(now) {
			break
		}
		if at.Before(w.now) {
			w.t.Fatalf("deadline %v is before %v", at, w.now)
		}
		w.now = at
		w.watch(w.m.Advance(at))
	}
	w.now = now
	w.watch(w.m.Advance(now))
	w.checkBounds()
}

// No address outlives what advertisements and the two-hour rule give it, and
// what is kept stays within its bounds, over years of events.
func TestAutoconfProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cfg := AutoconfConfig{
			LinkAddr: link(hostMAC), Secret: stableConfig.Secret, NetIface: "tap0",
			Identifiers:           rapid.SampledFrom([]Identifiers{HardwareIdentifiers, StableIdentifiers, RandomIdentifiers}).Draw(t, "identifiers"),
			Temporary:             rapid.Bool().Draw(t, "temporary"),
			MaxPrefixes:           rapid.IntRange(1, 4).Draw(t, "prefixes"),
			MaxAddressesPerPrefix: rapid.IntRange(1, 5).Draw(t, "addresses"),
		}
		w := &autoWatcher{
			t: t, m: NewAutoconf(cfg, &counting{}), cfg: cfg.withDefaults(), now: epoch, addrs: map[netip.Addr]*watchedAddr{},
			ends: map[netip.Prefix]time.Time{}, exhausted: map[string]int{},
		}
		lifetime := rapid.SampledFrom([]time.Duration{
			0, time.Second, time.Minute, time.Hour, 2 * time.Hour, 2*time.Hour + time.Second, 3 * time.Hour, day, 7 * day, 30 * day, Infinity,
		})
		pause := rapid.SampledFrom([]time.Duration{0, time.Millisecond, time.Second, time.Minute, time.Hour, 5 * time.Hour, day, 40 * day, 365 * day})
		w.step(AutoconfUp{})
		for range rapid.IntRange(1, 80).Draw(t, "steps") {
			switch rapid.IntRange(0, 19).Draw(t, "op") {
			case 0:
				w.step(AutoconfDown{})
			case 1:
				w.step(AutoconfUp{})
			case 2, 3:
				w.pick(func(a netip.Addr) AutoconfEvent { return AddressAssigned{a} })
			case 4, 5, 6:
				w.pick(func(a netip.Addr) AutoconfEvent { return AddressDuplicate{a} })
			case 7:
				w.pick(func(a netip.Addr) AutoconfEvent { return AddressRemoved{a} })
			case 8:
				w.pick(func(a netip.Addr) AutoconfEvent { return AddressClaimed{a} })
			case 9:
				w.step(AddressReleased{EUI64(cfg.LinkAddr).on(netip.MustParsePrefix("2001:db8::/64"))})
			case 10, 11, 12, 13:
				w.advance(w.now.Add(pause.Draw(t, "pause")))
			default:
				p := fmt.Sprintf("2001:db8:0:%d::/64", rapid.IntRange(0, 5).Draw(t, "prefix"))
				valid := lifetime.Draw(t, "valid")
				w.step(prefix(p, min(valid, lifetime.Draw(t, "preferred")), valid))
			}
		}
		w.advance(w.now.Add(100 * 365 * day))
	})
}

// pick lets ev happen to an address, if there is one.
func (w *autoWatcher) pick(ev func(netip.Addr) AutoconfEvent) {
	if len(w.addrs) == 0 {
		return
	}
	all := make([]netip.Addr, 0, len(w.addrs))
	for a := range w.addrs {
		all = append(all, a)
	}
	slices.SortFunc(all, netip.Addr.Compare)
	w.step(ev(rapid.SampledFrom(all).Draw(w.t, "address")))
}

// counting draws from a sequence that depends on nothing but how often it was
// asked.
type counting struct {
	counted
	nonces int
}

func (c *counting) Nonce() Nonce {
	c.nonces++
	return Nonce(fmt.Sprintf("%06d", c.nonces))
}

// Years with the usual advertisements: at each moment there is one stable
// address and a temporary one that is preferred, and never more than four
// temporary addresses.
func TestYearsOfTemporaryAddresses(t *testing.T) {
	w := &autoWatcher{now: epoch, up: true, addrs: map[netip.Addr]*watchedAddr{}, ends: map[netip.Prefix]time.Time{}}
	w.cfg = AutoconfConfig{LinkAddr: link(hostMAC), Temporary: true}.withDefaults()
	w.m = NewAutoconf(w.cfg, &counting{})
	w.watch(w.m.Step(w.now, AutoconfUp{}))
	p := netip.MustParsePrefix(subnet)
	used := 0
	for range 5 * 365 * 24 {
		w.ends[p] = w.now.Add(30 * day)
		w.watch(w.m.Step(w.now, prefix(subnet, 7*day, 30*day)))
		temporary, preferred := 0, 0
		for _, a := range w.addrs {
			if a.Kind == TemporaryAddress {
				temporary++
				if !a.deprecated {
					preferred++
				}
			}
		}
		if preferred < 1 || preferred > 2 || temporary > 4 || len(w.addrs) != temporary+2 {
			t.Fatalf("at %v: %d addresses, %d temporary, %d of them preferred", w.now, len(w.addrs), temporary, preferred)
		}
		w.hour(t, &used)
	}
	// One lives 14.4 to 24 hours.
	if years := 5 * 365; used < years || used > years*5/3 {
		t.Errorf("%d temporary addresses in %d days", used, years)
	}
}

func (w *autoWatcher) hour(t *testing.T, used *int) {
	end := w.now.Add(time.Hour)
	for at, ok := w.m.Deadline(); ok && !at.After(end); at, ok = w.m.Deadline() {
		w.now = at
		before := len(w.addrs)
		w.watch(w.m.Advance(at))
		if len(w.addrs) > before {
			*used++
		}
	}
	w.now = end
}

// A flood of prefixes costs a bounded number of addresses, and those that were
// there first stay.
//
// Spec: RFC 6583, section 7, REC, CACHE-R01
func TestFloodOfPrefixes(t *testing.T) {
	b := newUpBench(t, AutoconfConfig{Temporary: true})
	b.do(prefix(subnet, day, day))
	for i := range 100_000 {
		b.do(prefix(fmt.Sprintf("2001:db8:%x:%x::/64", 0x100+i>>8, i&0xff), day, day))
	}
	if n := len(b.m.addrs); n != 2*16 || b.m.addrs[addr(hardware)] == nil {
		t.Errorf("%d addresses", n)
	}
	if got := b.m.Counters().PrefixesRefused; got != 100_000-15 {
		t.Errorf("%d prefixes refused", got)
	}
	b.after(day)
	if len(b.m.addrs)+len(b.m.prefixes)+b.m.timers.Len() != 0 {
		t.Errorf("%d addresses, %d prefixes and %d timers are left", len(b.m.addrs), len(b.m.prefixes), b.m.timers.Len())
	}
}

// Prefixes that are kept because no identifier is left for them give way.
func TestExpiredPrefixesGiveWay(t *testing.T) {
	b := newUpBench(t, AutoconfConfig{MaxPrefixes: 2})
	for i := range 5 {
		p := fmt.Sprintf("2001:db8:%d::/64", i)
		b.do(prefix(p, time.Second, time.Second))
		b.do(AddressDuplicate{EUI64(link(hostMAC)).on(netip.MustParsePrefix(p))})
		b.after(time.Second)
	}
	if len(b.m.prefixes) != 2 || len(b.added) != 5 {
		t.Errorf("%d prefixes kept, %d addresses formed", len(b.m.prefixes), len(b.added))
	}
	b.expect(b.do(prefix("2001:db8:4::/64", day, day)))
	if got := len(b.do(prefix("2001:db8:0::/64", day, day))); got != 1 {
		t.Errorf("%d actions, want an address", got)
	}
}

func TestTemporaryAddressesWaitForRoom(t *testing.T) {
	b := temporaryBench(t, AutoconfConfig{MaxAddressesPerPrefix: 2, TempPreferredLifetime: 10 * time.Hour})
	b.do(prefix(subnet, Infinity, Infinity))
	b.expect(b.after(8*time.Hour), "deprecate "+temporary1)
	if got := b.m.Counters().AddressesRefused; got != 1 {
		t.Errorf("%d refused", got)
	}
	b.expect(b.after(40*time.Hour), "remove "+temporary1, "add "+temporary2+"/64 temporary 8h0m0s/48h0m0s")
}

func TestTimeDoesNotGoBack(t *testing.T) {
	b := newUpBench(t, AutoconfConfig{})
	b.do(prefix(subnet, day, day))
	b.after(time.Hour)
	b.now = epoch
	b.expect(b.do(prefix(subnet, day, day)), "update 2001:db8:1::ff:fe00:1 24h0m0s/24h0m0s")
	b.expect(b.after(25*time.Hour), "deprecate 2001:db8:1::ff:fe00:1", "remove 2001:db8:1::ff:fe00:1")
}

func FuzzAutoconfPrefix(f *testing.F) {
	f.Add([]byte{0x20, 1, 0xd, 0xb8}, 64, true, int64(time.Hour), int64(2*time.Hour))
	f.Fuzz(func(t *testing.T, subnet []byte, bits int, autonomous bool, preferred, valid int64) {
		var a [16]byte
		copy(a[:], subnet)
		b := newUpBench(t, AutoconfConfig{Temporary: true})
		b.do(AutoconfPrefix{PrefixInformation: PrefixInformation{
			Prefix: netip.PrefixFrom(netip.AddrFrom16(a), bits), Autonomous: autonomous,
			PreferredLifetime: time.Duration(preferred), ValidLifetime: time.Duration(valid),
		}})
		b.after(day)
	})
}
