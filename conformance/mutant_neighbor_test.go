package conformance

import (
	"encoding/binary"
	"slices"
	"strings"

	"github.com/tapstack/tapstack/nd"
)

// neighborMutants are faults in what a host makes of its neighbors' messages.
var neighborMutants = []mutant{
	{name: "Override does not matter", in: change(is("na"), func(f []byte) []byte {
		f[atMessage+4] |= 0x20
		return f
	})},
	{name: "an advertisement to the host confirms", in: change(func(p *packet) bool {
		return p.kind == "na" && !strings.HasPrefix(p.one("dst"), "ff")
	}, func(f []byte) []byte {
		f[atMessage+4] |= 0x40
		return f
	})},
	{name: "an advertisement makes a neighbor stale", in: func(t *mutantTarget, p *packet, f []byte) [][]byte {
		frames := same(f)
		if p.kind != "na" || p.one("target") == "" || strings.HasPrefix(p.one("target"), "ff") {
			return frames
		}
		// Another link-layer address, and back.
		for _, l := range []string{"02:00:00:00:01:77", p.one("ethsrc")} {
			from, _ := nd.ParseLinkAddr(p.one("ethsrc"))
			more, err := build(newNames(t.LinkAddr()), node{linkAddr: from}, "ns",
				[]field{{"src", "=", p.one("target")}, {"dst", "=", "HOST"}, {"sllao", "=", l}}, nil)
			if err != nil {
				panic(err)
			}
			frames = append(frames, more...)
		}
		return frames
	}},
	{name: "a message may be an octet too short", in: func(_ *mutantTarget, p *packet, f []byte) [][]byte {
		if !p.is("nd") {
			return same(f)
		}
		var last byte
		switch p.one("length") + p.kind {
		case "15ra": // of the timers
		case "39redirect": // of FAR1
			last = 1
		case "23na": // of who advertises himself
			last = f[atSrc+15]
		case "23ns":
			last = f[atDst+15]
		default:
			return same(f)
		}
		return sealed(append(f, last))
	}},
	{name: "Neighbor Discovery in fragments", in: func(t *mutantTarget, _ *packet, f []byte) [][]byte {
		const next, fragment, header = ethernetLen + 6, ethernetLen + ipv6Len, 8
		if len(f) < fragment+header || f[next] != protoFragment {
			return same(f)
		}
		t.pieces = append(t.pieces, f[fragment+header:]...)
		if f[fragment+3]&1 != 0 {
			return nil
		}
		whole := append(slices.Clone(f[:fragment]), t.pieces...)
		whole[next], t.pieces = f[fragment], nil
		binary.BigEndian.PutUint16(whole[ethernetLen+4:], uint16(len(whole)-fragment))
		return same(whole)
	}},
	{name: "a flood of resolutions displaces neighbors", out: func(t *mutantTarget, p *packet, f []byte) [][]byte {
		if isResolution(p) {
			t.resolutions++
		}
		if t.resolutions == 100 {
			_ = t.Target.Do(Command{Op: "flush"})
		}
		return same(f)
	}},
}
