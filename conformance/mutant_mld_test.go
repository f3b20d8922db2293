package conformance

import (
	"encoding/binary"
	"net/netip"
	"strings"
)

// listened is the group that the cases of MLD join.
var listened = netip.MustParseAddr("ff1e::101")

// message builds a message of the tester, or of the host if from is empty.
func (t *mutantTarget) message(from, kind string, words ...string) []byte {
	n := node{name: "HOST", linkAddr: t.LinkAddr()}
	if from != "" {
		n = must(nodeByName(from))
	}
	var fields []field
	for _, w := range words {
		fields = append(fields, parseField(w))
	}
	frames, err := build(newNames(t.LinkAddr()), n, kind, fields, nil)
	if err != nil {
		panic(err)
	}
	return frames[0]
}

// repaired makes a hook that takes a query, or a report of version 1, which is
// wrong as is meant for a right one.
func repaired(means func(*packet) bool) func(*mutantTarget, *packet, []byte) [][]byte {
	return func(t *mutantTarget, p *packet, frame []byte) [][]byte {
		switch {
		case p.kind == "query" && means(p):
			return same(t.message("TR1", "query", "maxresp=1000"))
		case p.kind == "report1" && means(p):
			return same(t.message("TN1", "report1", "group="+listened.String()))
		}
		return same(frame)
	}
}

// linkLocalSource reports whether a message is from a link-local address.
func linkLocalSource(p *packet) bool { return strings.HasPrefix(p.one("src"), "fe80:") }

// isVersion1 reports whether a packet is a query of 24 octets.
func isVersion1(p *packet) bool { return p.kind == "query" && p.one("length") == "24" }

// ahead makes a hook that has another query come before those that are meant.
func ahead(means func(*packet) bool, words ...string) func(*mutantTarget, *packet, []byte) [][]byte {
	return func(t *mutantTarget, p *packet, frame []byte) [][]byte {
		if means(p) {
			return [][]byte{t.message("TR1", "query", words...), frame}
		}
		return same(frame)
	}
}

// saysOn makes a hook that sends a message of its own on a command.
func saysOn(op, kind string, words func(*Command) []string) func(*mutantTarget, *Command) bool {
	return func(t *mutantTarget, c *Command) bool {
		if c.Op == op {
			t.says(t.message("", kind, words(c)...))
		}
		return true
	}
}

// mldMutants are hosts with a fault in Multicast Listener Discovery.
var mldMutants = []mutant{
	{name: "a query may have any hop limit", in: repaired(func(p *packet) bool { return p.one("hoplimit") != "1" })},
	{name: "a query or report may come from anywhere", in: repaired(func(p *packet) bool { return !linkLocalSource(p) })},
	{name: "a query needs no Router Alert", in: repaired(func(p *packet) bool { return len(p.fields["alert"]) == 0 })},
	{name: "a query or report may have any checksum", in: repaired(func(p *packet) bool { return p.one("checksum") == "bad" })},
	{name: "a query or report may have any length", in: repaired(func(p *packet) bool {
		return p.one("length") == "20" || p.one("length") == "26" || len(p.fields["malformed"]) > 0
	})},
	{name: "a packet may be cut off", in: func(t *mutantTarget, p *packet, f []byte) [][]byte {
		if len(f) >= atMessage && len(f) < atMessage+int(binary.BigEndian.Uint16(f[ethernetLen+4:])) {
			return same(t.message("TR1", "query", "maxresp=1000"))
		}
		return same(f)
	}},
	{name: "a query may have fewer sources than it says", in: repaired(func(p *packet) bool {
		return p.one("group") == listened.String() && (p.one("length") == "28" || p.one("length") == "44")
	})},
	{name: "a query may be for an address that is no group", in: repaired(func(p *packet) bool {
		g, err := netip.ParseAddr(p.one("group"))
		return err == nil && !g.IsMulticast() && !g.IsUnspecified()
	})},
	{name: "every query is for all groups", in: func(t *mutantTarget, p *packet, f []byte) [][]byte {
		if p.kind == "query" && p.one("group") != "::" {
			return same(t.message("TR1", "query", "maxresp=1000"))
		}
		return same(f)
	}},
	{name: "deaf to all queries but the first", in: func(t *mutantTarget, p *packet, f []byte) [][]byte {
		if p.kind == "query" {
			if t.queries++; t.queries > 1 {
				return nil
			}
		}
		return same(f)
	}},
	{name: "deaf to queries of version 1", in: drop(isVersion1)},
	{name: "a query of version 2 keeps it in version 1", in: func(t *mutantTarget, p *packet, f []byte) [][]byte {
		if isVersion1(p) {
			t.queries++
		} else if p.kind == "query" && t.queries > 0 {
			return [][]byte{t.message("TR1", "query", "version=1", "group=ff1e::fff", "dst=all-nodes", "maxresp=1"), f}
		}
		return same(f)
	}},
	{name: "two seconds more in version 1", in: ahead(isVersion1, "group=ff1e::fff", "dst=all-nodes", "qqic=126")},
	{name: "two seconds less in version 1", in: ahead(isVersion1, "group=ff1e::fff", "dst=all-nodes", "qqic=124")},
	{name: "any report stops the own one", in: func(t *mutantTarget, p *packet, f []byte) [][]byte {
		if p.kind == "report1" {
			return same(t.message("TN1", "report1", "group="+listened.String()))
		}
		return same(f)
	}},
	{name: "answers a Done", in: func(t *mutantTarget, p *packet, f []byte) [][]byte {
		if p.kind == "done" {
			return [][]byte{t.message("TR1", "query", "version=1", "maxresp=1000"), f}
		}
		return same(f)
	}},
	{name: "reports a group that it leaves", do: saysOn("leave", "report1", func(c *Command) []string { return []string{"group=" + c.Addr.String()} })},
	{name: "tells of every filter", do: saysOn("filter", "report", func(c *Command) []string { return []string{"record=is_ex(" + c.Addr.String() + ")"} })},
	{name: "does not exclude sources", do: func(_ *mutantTarget, c *Command) bool {
		if c.Op == "filter" && c.Mode == "exclude" {
			c.Sources = nil
		}
		return true
	}},
	{name: "has one socket", do: func(_ *mutantTarget, c *Command) bool {
		if c.Socket > 1 {
			c.Socket = 1
		}
		return true
	}},
	{name: "keeps no more than ten sources", do: func(_ *mutantTarget, c *Command) bool {
		c.Sources = c.Sources[:min(len(c.Sources), 10)]
		return true
	}},
}
