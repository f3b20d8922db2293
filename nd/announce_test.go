package nd

import (
	"fmt"
	"net/netip"
	"testing"
	"time"
)

const newMAC = "02:00:00:00:00:11"

// Spec: RFC 4861, section 7.2.6, MUST, UNA-R01
func TestUNA_R01_NewLinkLayerAddress(t *testing.T) {
	b := newBench(t, NeighborConfig{})
	b.do(Defend{Addr: addr("2001:db8::a"), Anycast: true}, Defend{Addr: addr("fe80::c"), Optimistic: true})
	na := func(a, flags string) string {
		return "na " + a + " from " + a + " to ff02::1" + flags + " tllao=" + newMAC
	}
	b.expect(b.do(SetLinkAddr{link(newMAC)}), na(hostGlobal, " O"))
	for range 2 {
		b.expect(b.after(10*time.Millisecond), na(hostLL, " O"))
		b.expect(b.after(10*time.Millisecond), na("fe80::c", "")) // optimistic
		b.expect(b.after(979 * time.Millisecond))
		b.expect(b.after(time.Millisecond), na(hostGlobal, " O"))
	}
	b.expect(b.after(time.Hour), na(hostLL, " O"), na("fe80::c", ""))
	if at, ok := b.n.Deadline(); ok {
		t.Errorf("something is due at %v", at)
	}
	// Whatever is sent has it from now on, and nobody else is believed to.
	b.expect(b.do(Resolve{addr(peer), addr(hostLL)}),
		"changed fe80::2 incomplete", "ns fe80::2 from fe80::1 to ff02::1:ff00:2 sllao="+newMAC+" nonce=")
	b.expect(b.do(advert(peer, "SO", link(newMAC))))
	b.expect(b.do(solicit("::", "ff02::1:ff00:1", hostLL, LinkAddr{})), "na fe80::1 from fe80::1 to ff02::1 O tllao="+newMAC)
}

// A link-layer address that is none, or is not new, changes nothing.
func TestLinkLayerAddressThatIsNoNews(t *testing.T) {
	b := newBench(t, NeighborConfig{})
	b.expect(b.do(SetLinkAddr{}, SetLinkAddr{BroadcastLinkAddr}, SetLinkAddr{link(hostMAC)}))
	b.expect(b.do(solicit("::", "ff02::1:ff00:1", hostLL, LinkAddr{})), "na fe80::1 from fe80::1 to ff02::1 O")
}

// However many addresses there are, each advertisement has its own moment.
//
// Spec: RFC 4861, section 7.2.6, SHOULD, UNA-R01
func TestUNA_R01_ManyAddressesInTurn(t *testing.T) {
	b := newBareBench(t, NeighborConfig{})
	const addresses = 300 // a round takes longer than RetransTimer
	for i := range addresses {
		b.do(Defend{Addr: neighborAt(i)})
	}
	sent := make(map[netip.Addr][]time.Time)
	var last time.Time
	note := func(actions []Action) {
		for _, a := range actions {
			target := a.(*Send).Message.(*NeighborAdvert).Target
			if b.now.Sub(last) < announceGap {
				t.Fatalf("%v is advertised %v after another", target, b.now.Sub(last))
			}
			last = b.now
			sent[target] = append(sent[target], b.now)
		}
	}
	note(b.n.Step(b.now, SetLinkAddr{link(newMAC)}))
	for at, ok := b.n.Deadline(); ok; at, ok = b.n.Deadline() {
		b.now = at
		note(b.n.Advance(at))
	}
	if len(sent) != addresses {
		t.Errorf("%d addresses are advertised", len(sent))
	}
	for a, at := range sent {
		if len(at) != 3 || at[1].Sub(at[0]) < time.Second || at[2].Sub(at[1]) < time.Second {
			t.Errorf("%v is advertised at %v", a, at)
		}
	}
}

// Spec: RFC 9131, section 6.1.2, SHOULD, UNA-R02
// Spec: RFC 9131, section 6.1.2, SHOULD NOT, UNA-R03
// Spec: RFC 9131, section 6.1.2, MUST NOT, UNA-R03
func TestUNA_R02_R03_NewAddress(t *testing.T) {
	for _, c := range []struct {
		name     string
		d        Defend
		override bool
		want     string
	}{
		{"preferred", Defend{}, false, "na 2001:db8::7 from 2001:db8::7 to ff02::2"},
		{"optimistic", Defend{Optimistic: true}, false, "na 2001:db8::7 from 2001:db8::7 to ff02::2"},
		{"optimistic, override", Defend{Optimistic: true}, true, "na 2001:db8::7 from 2001:db8::7 to ff02::2"},
		{"anycast", Defend{Anycast: true}, true, "na 2001:db8::7 from 2001:db8::1 to ff02::2"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t, NeighborConfig{})
			c.d.Addr = addr("2001:db8::7")
			b.do(c.d)
			b.expect(b.do(Announce{c.d.Addr, AllRouters, c.override}), c.want)
			for range 2 {
				b.expect(b.after(time.Second - 1))
				b.expect(b.after(1), c.want)
			}
			b.expect(b.after(time.Hour))
			if b.n.assigned.addrs[c.d.Addr.As16()].announcement != nil {
				t.Error("a series that is over is kept")
			}
		})
	}
}

// What an address is counts at the moment of each advertisement.
//
// Spec: RFC 9131, section 6.1.2, MUST NOT, UNA-R03
func TestUNA_R03_OptimisticUntilAssigned(t *testing.T) {
	b := newBareBench(t, NeighborConfig{})
	b.do(Defend{Addr: addr(hostGlobal), Optimistic: true})
	b.expect(b.do(Announce{addr(hostGlobal), AllNodes, true}), "na 2001:db8::1 from 2001:db8::1 to ff02::1")
	b.do(Defend{Addr: addr(hostGlobal)})
	b.expect(b.after(time.Second), "na 2001:db8::1 from 2001:db8::1 to ff02::1 O")
}

// A series that begins again keeps the distance to the one before, also if that
// has ended.
//
// Spec: RFC 4861, section 7.2.6, MUST, UNA-R01
func TestUNA_R01_AnnouncedAgain(t *testing.T) {
	b := newBench(t, NeighborConfig{MaxNeighborAdvertisement: 2})
	toRouters := "na 2001:db8::1 from 2001:db8::1 to ff02::2"
	toNodes := "na 2001:db8::1 from 2001:db8::1 to ff02::1 O"
	b.expect(b.do(Announce{addr(hostGlobal), AllRouters, false}), toRouters)
	b.after(600 * time.Millisecond)
	b.expect(b.do(Announce{addr(hostGlobal), AllNodes, true}))
	b.expect(b.after(400*time.Millisecond - 1))
	b.expect(b.after(1), toNodes)
	b.expect(b.after(time.Second), toNodes)
	b.after(600 * time.Millisecond)
	b.expect(b.do(Announce{addr(hostGlobal), AllRouters, false}))
	b.do(SetTimers{RetransTimer: 2 * time.Second})
	b.expect(b.after(400*time.Millisecond), toRouters) // as it was set
	b.expect(b.after(2*time.Second - 1))
	b.expect(b.after(1), toRouters)
	b.expect(b.after(2 * time.Second))
	b.expect(b.do(Announce{addr(hostGlobal), AllRouters, false}), toRouters)
}

// An answer to a solicitation is none of the series.
func TestAnswersAreNotAnnouncements(t *testing.T) {
	b := newBench(t, NeighborConfig{})
	b.do(Announce{addr(hostGlobal), AllRouters, false})
	b.expect(b.do(solicit("::", "ff02::1:ff00:1", hostGlobal, LinkAddr{})), "na 2001:db8::1 from 2001:db8::1 to ff02::1 O")
	b.expect(b.after(time.Second), "na 2001:db8::1 from 2001:db8::1 to ff02::2")
}

// Spec: derived, DER, UNA-R05
func TestUNA_R05_OnlyWhatIsAssigned(t *testing.T) {
	b := newBench(t, NeighborConfig{})
	b.expect(b.do(Announce{addr("2001:db8::7"), AllRouters, false}))
	b.expect(b.do(Announce{addr(hostLL), addr(peer), true})) // to no group
	for _, back := range []bool{false, true} {
		b.do(Defend{Addr: addr("2001:db8::7")}, Announce{addr("2001:db8::7"), AllRouters, false}, Yield{addr("2001:db8::7")})
		if back {
			b.do(Defend{Addr: addr("2001:db8::7")})
		}
		b.expect(b.after(time.Hour))
	}
	// Neither is one that goes between the advertisements of others.
	b.do(SetLinkAddr{link(newMAC)}, Yield{addr(hostLL)})
	if got := b.after(15 * time.Millisecond); len(got) != 1 || got[0] != fmt.Sprint("na 2001:db8::7 from 2001:db8::7 to ff02::1 O tllao=", newMAC) {
		t.Errorf("%v", got)
	}
	b.do(Yield{addr(hostGlobal)}, Yield{addr("2001:db8::7")})
	if at, ok := b.n.Deadline(); ok {
		t.Errorf("something is due at %v", at)
	}
}
