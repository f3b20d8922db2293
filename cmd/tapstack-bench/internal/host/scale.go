package host

import (
	"errors"
	"net/netip"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/link/channel"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	gstack "gvisor.dev/gvisor/pkg/tcpip/stack"
)

// GVisorDAD is gVisor with its own DAD and MLD, on an endpoint that does
// nothing.
type GVisorDAD struct {
	stack   *gstack.Stack
	results chan bool
}

// NewGVisorDAD makes one without addresses, for up to n.
func NewGVisorDAD(n int) (*GVisorDAD, error) {
	link := endpoint{channel.New(0, 1500, tcpip.LinkAddress(OwnLinkAddr[:]))}
	link.LinkEPCapabilities = gstack.CapabilityResolutionRequired
	g := &GVisorDAD{results: make(chan bool, n)}
	var err error
	g.stack, err = newGVisor(link, ipv6.Options{
		DADConfigs: gstack.DADConfigurations{DupAddrDetectTransmits: 1, RetransmitTimer: time.Second},
		MLD:        ipv6.MLDOptions{Enabled: true},
		NDPDisp:    verdicts{results: g.results},
	})
	return g, err
}

// verdicts takes what gVisor's DAD has found.
type verdicts struct {
	ipv6.NDPDispatcher // nil: nothing else happens here
	results            chan<- bool
}

func (v verdicts) OnDuplicateAddressDetectionResult(_ tcpip.NICID, _ tcpip.Address, r gstack.DADResult) {
	_, unique := r.(*gstack.DADSucceeded)
	v.results <- unique
}

// Add adds the addresses and waits until DAD has ended for all.
func (g *GVisorDAD) Add(addrs []netip.Addr) error {
	for _, a := range addrs {
		if err := addAddress(g.stack, a); err != nil {
			return err
		}
	}
	for range addrs {
		if !<-g.results {
			return errors.New("gVisor found a duplicate where there is none")
		}
	}
	return nil
}

// Remove removes the addresses.
func (g *GVisorDAD) Remove(addrs []netip.Addr) error {
	for _, a := range addrs {
		if err := g.stack.RemoveAddress(nic, tcpip.AddrFrom16(a.As16())); err != nil {
			return errors.New(err.String())
		}
	}
	return nil
}

// Close ends it.
func (g *GVisorDAD) Close() { g.stack.Destroy() }

// GVisorRoutes is gVisor's table of routes.
type GVisorRoutes struct{ stack *gstack.Stack }

// NewGVisorRoutes makes one with Own as the source of everything.
func NewGVisorRoutes() (*GVisorRoutes, error) {
	s, err := newGVisor(endpoint{channel.New(0, 1500, "")}, ipv6.Options{})
	if err != nil {
		return nil, err
	}
	return &GVisorRoutes{s}, addAddress(s, Own)
}

// Add adds a route.
func (g *GVisorRoutes) Add(p netip.Prefix) { g.stack.AddRoute(route(p)) }

// Remove removes one.
func (g *GVisorRoutes) Remove(p netip.Prefix) {
	dst := route(p).Destination
	g.stack.RemoveRoutes(func(r tcpip.Route) bool { return r.Destination == dst })
}

// Find looks for the way to an address.
func (g *GVisorRoutes) Find(dst [16]byte) error {
	r, err := g.stack.FindRoute(0, tcpip.Address{}, tcpip.AddrFrom16(dst), header.IPv6ProtocolNumber, false)
	if err != nil {
		return errors.New(err.String())
	}
	r.Release()
	return nil
}

// Close ends it.
func (g *GVisorRoutes) Close() { g.stack.Destroy() }
