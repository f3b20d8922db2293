package stack_test

import (
	"bytes"
	"net/netip"
	"testing"

	"github.com/tapstack/tapstack/internal/netnstest"
	"github.com/tapstack/tapstack/nd"
	"github.com/tapstack/tapstack/stack"
	"github.com/tapstack/tapstack/tap"
)

// Interface identifiers as others on the link see them.

const identifierPrefix = "2001:db8:1::/64"

// life is one life of a host on a link: what a process is to its user.
type life struct {
	s *stack.Stack
	i *stack.Interface
}

// begin attaches a host with this identity, of the profile current, and waits
// until it has a stable and a temporary address.
func begin(t *testing.T, l *netnstest.Link, device tap.Config, identity stack.Identity) *life {
	t.Helper()
	profile := stack.Current()
	if err := profile.Set("retrans_timer", "300ms"); err != nil {
		t.Fatal(err)
	}
	s, err := stack.New(stack.Config{})
	if err != nil {
		t.Fatal(err)
	}
	h := &life{s: s}
	t.Cleanup(func() { s.Close() })
	device.Name = "tap0"
	if h.i, err = s.Attach("tap0", openOn(t, l, device), stack.InterfaceConfig{Profile: profile, Identity: identity}); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "a stable and a temporary address", func() bool {
		return h.of(stack.OriginSLAAC).IsValid() && h.of(stack.OriginTemporary).IsValid() && h.of(stack.OriginLinkLocal).IsValid()
	})
	return h
}

// of returns the preferred address of an origin.
func (h *life) of(origin stack.AddressOrigin) netip.Addr {
	for _, a := range h.i.Addresses() {
		if a.Origin == origin && a.State == stack.Preferred {
			return a.Prefix.Addr()
		}
	}
	return netip.Addr{}
}

func (h *life) end(t *testing.T) {
	t.Helper()
	if err := h.s.Close(); err != nil {
		t.Fatal(err)
	}
}

// newIdentifierLink makes a link with radvd, and a host that owns what it
// wants.
func newIdentifierLink(t *testing.T) (l *netnstest.Link, peer *netnstest.Namespace) {
	t.Helper()
	netnstest.Require(t, "radvd", "sysctl")
	l, nodes := linkWith(t, 2)
	nodes[0].Forward(t)
	nodes[0].AddAddress(t, "eth0", "2001:db8:1::1/64")
	startRadvd(t, nodes[0], "prefix "+identifierPrefix+" { };")
	return l, nodes[1]
}

func secret(fill byte) []byte { return bytes.Repeat([]byte{fill}, 16) }

// The stable addresses are the same in each life with the same secret, and
// follow nothing else: another Ethernet address does not change them, another
// secret does. The temporary address is another one each time.
//
// Spec: RFC 7217, section 5, MUST, IID-R04
// Spec: RFC 8064, section 3, SHOULD, IID-R03
func TestStableAddressesOverRestarts(t *testing.T) {
	t.Parallel()
	l, _ := newIdentifierLink(t)
	first := begin(t, l, tap.Config{}, stack.Identity{Secret: secret(1)})
	stable, temporary, linkLocal := first.of(stack.OriginSLAAC), first.of(stack.OriginTemporary), first.of(stack.OriginLinkLocal)
	if eui64 := stack.LinkLocalAddr(first.i.LinkAddr()); linkLocal == eui64 || suffix(stable) == suffix(eui64) || suffix(temporary) == suffix(eui64) {
		t.Errorf("addresses %v, %v and %v tell the Ethernet address", stable, temporary, linkLocal)
	}
	if suffix(stable) == suffix(temporary) || suffix(stable) == suffix(linkLocal) {
		t.Errorf("addresses %v, %v and %v share an identifier", stable, temporary, linkLocal)
	}
	first.end(t)

	for _, again := range []struct {
		what     string
		device   tap.Config
		identity stack.Identity
		same     bool
	}{
		{"the same secret", tap.Config{}, stack.Identity{Secret: secret(1)}, true},
		{"another Ethernet address", tap.Config{LinkAddr: nd.LinkAddr{2, 0, 0, 0, 0, 0x77}}, stack.Identity{Secret: secret(1)}, true},
		{"another secret", tap.Config{}, stack.Identity{Secret: secret(2)}, false},
		{"another name of the interface", tap.Config{}, stack.Identity{Secret: secret(1), NetIface: "eth9"}, false},
		{"another network", tap.Config{}, stack.Identity{Secret: secret(1), NetworkID: "elsewhere"}, false},
	} {
		h := begin(t, l, again.device, again.identity)
		if got := h.of(stack.OriginSLAAC); (got == stable) != again.same {
			t.Errorf("with %s: %v, before %v", again.what, got, stable)
		}
		if got := h.of(stack.OriginLinkLocal); (got == linkLocal) != again.same {
			t.Errorf("with %s: %v, before %v", again.what, got, linkLocal)
		}
		if got := h.of(stack.OriginTemporary); got == temporary {
			t.Errorf("with %s: the temporary address %v again", again.what, got)
		}
		h.end(t)
	}
}

func suffix(a netip.Addr) [8]byte { b := a.As16(); return [8]byte(b[8:]) }

// If another host has the address already, the next identifier is taken, and
// that again in the next life, if its counter was kept, also when the other
// host is gone.
//
// Spec: RFC 7217, section 6, SHOULD, IID-R08
// Spec: RFC 7217, section 6, MAY, IID-R10
func TestStableAddressIsTakenByAnother(t *testing.T) {
	t.Parallel()
	l, peer := newIdentifierLink(t)
	identity := stack.Identity{Secret: secret(1)}
	first := begin(t, l, tap.Config{}, identity)
	taken := first.of(stack.OriginSLAAC)
	first.end(t)
	peer.AddAddress(t, "eth0", taken.String()+"/64")

	saved := make(chan nd.DADCounter, 10)
	identity.SaveCounter = func(c nd.DADCounter) { saved <- c }
	second := begin(t, l, tap.Config{}, identity)
	next := second.of(stack.OriginSLAAC)
	if next == taken {
		t.Errorf("%v, which another host has", next)
	}
	var duplicates []netip.Addr
	for _, f := range second.i.Failures() {
		duplicates = append(duplicates, f.Duplicate.Addr)
		if got := f.Duplicate.LinkAddr.String(); got != mac2 {
			t.Errorf("the duplicate is of %s, not of %s", got, mac2)
		}
	}
	if len(duplicates) != 1 || duplicates[0] != taken {
		t.Errorf("duplicates %v, want %v", duplicates, taken)
	}
	counter := <-saved
	if counter.Prefix != netip.MustParsePrefix(identifierPrefix) || counter.Counter != 1 {
		t.Errorf("the counter %+v", counter)
	}
	second.end(t)

	peer.Run(t, "ip", "-6", "addr", "del", taken.String()+"/64", "dev", "eth0")
	identity.Counters = []nd.DADCounter{counter}
	third := begin(t, l, tap.Config{}, identity)
	if got := third.of(stack.OriginSLAAC); got != next {
		t.Errorf("with the counter that was kept: %v, before %v", got, next)
	}
}

// What the stack sends by its own choice bears the temporary address, and what
// it is asked at the stable one is answered from there.
//
// Spec: RFC 6724, section 5, must, SAS-R11
func TestTemporaryAddressIsTheSource(t *testing.T) {
	t.Parallel()
	l, peer := newIdentifierLink(t)
	peer.AddAddress(t, "eth0", "2001:db8:1::9/64")
	h := begin(t, l, tap.Config{}, stack.Identity{Secret: secret(1)})
	c := dialEcho(t, h.s, peer, "tcp", "[2001:db8:1::9]:0")
	if got := netip.MustParseAddrPort(c.LocalAddr().String()).Addr(); got != h.of(stack.OriginTemporary) {
		t.Errorf("a connection from %v, the temporary address is %v", got, h.of(stack.OriginTemporary))
	}
	if got := asks(t, c, "hello"); got != "hello" {
		t.Errorf("an echo of %q", got)
	}
	for _, origin := range []stack.AddressOrigin{stack.OriginSLAAC, stack.OriginTemporary} {
		peer.Run(t, "ping", "-6", "-n", "-c", "1", "-W", "10", h.of(origin).String())
	}
}
