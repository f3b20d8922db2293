package conformance

import (
	"net/netip"
	"slices"
	"strings"
)

// The octets of a redirect.
const (
	atRedirectTarget = atMessage + 8
	redirectLen      = 40
)

func isRedirect(means func(*packet) bool) func(*packet) bool {
	return func(p *packet) bool { return p.kind == "redirect" && means(p) }
}

func linkLocal(p *packet, name string) bool {
	a, err := netip.ParseAddr(p.one(name))
	return err == nil && a.IsLinkLocalUnicast()
}

// from makes a change of the source to that of a node.
func from(name string) func([]byte) []byte {
	n := must(nodeByName(name))
	return func(frame []byte) []byte {
		setAddr(frame, atSrc, n.linkLocal())
		return frame
	}
}

// validRedirect has what is for FAR1 go to TR2.
func validRedirect(t *mutantTarget) [][]byte {
	frames, err := build(newNames(t.LinkAddr()), must(nodeByName("TR1")), "redirect", []field{
		{"dst", "=", "HOST.p1"}, {"destination", "=", "FAR1"}, {"target", "=", "TR2"}, {"tllao", "=", "TR2"},
	}, nil)
	if err != nil {
		panic(err)
	}
	return frames
}

// redirectMutants are hosts that do not look at what a redirect must be.
var redirectMutants = []mutant{
	{name: "a redirect may come from any address", in: change(isRedirect(func(p *packet) bool { return !linkLocal(p, "src") }), from("TR1"))},
	{name: "a redirect may come from any router", in: change(isRedirect(func(p *packet) bool { return linkLocal(p, "src") }), from("TR1"))},
	{name: "a redirect may have any target", in: change(isRedirect(func(p *packet) bool {
		return !linkLocal(p, "target") && p.one("target") != p.one("destination")
	}), func(frame []byte) []byte {
		setAddr(frame, atRedirectTarget, must(nodeByName("TR2")).linkLocal())
		return frame
	})},
	{name: "a redirect may have options of length 0", in: change(isRedirect(func(p *packet) bool {
		return strings.Contains(p.one("malformed"), "option")
	}), withoutOptions(redirectLen))},
	{name: "a redirect may have any length", in: func(t *mutantTarget, p *packet, frame []byte) [][]byte {
		if p.kind != "redirect" || len(frame)-atMessage >= redirectLen {
			return same(frame)
		}
		return validRedirect(t)
	}},
	{name: "a redirect without a link-layer address has one", in: change(isRedirect(func(p *packet) bool { return len(p.fields["tllao"]) == 0 }),
		func(frame []byte) []byte {
			l := must(nodeByName("TR2")).linkAddr
			return append(append(frame, optTargetLinkAddr, 1), l[:]...)
		})},
	{name: "a redirect may have a Fragment header", in: func(_ *mutantTarget, p *packet, frame []byte) [][]byte {
		if p.kind != "redirect" || frame[ethernetLen+6] != protoFragment {
			return same(frame)
		}
		frame = slices.Delete(frame, atMessage, atMessage+8)
		frame[ethernetLen+6] = protoICMPv6
		return sealed(frame)
	}},
	{name: "heeds redirects whatever it is told", setup: knob("redirects", "on")},
	{name: "forwards packets", in: func(t *mutantTarget, p *packet, frame []byte) [][]byte {
		if p.kind == "echo" && !linkLocal(p, "dst") && !strings.HasSuffix(p.one("dst"), "ff:fe00:1") {
			t.says(slices.Clone(frame))
		}
		return same(frame)
	}},
}
