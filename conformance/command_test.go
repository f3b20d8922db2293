package conformance

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/tapstack/tapstack/nd"
)

// aCommand draws a command as scenarios can say it.
func aCommand(t *rapid.T) Command {
	addr := func(label string) netip.Addr {
		return netip.AddrFrom16([16]byte(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, label))).WithZone("")
	}
	six := func(label string) netip.Addr { // no IPv4 address in disguise: no scenario can write one
		return rapid.Custom(func(*rapid.T) netip.Addr { return addr(label) }).Filter(func(a netip.Addr) bool { return !a.Is4In6() }).Draw(t, label)
	}
	number := func(label string, min, max int) int { return rapid.IntRange(min, max).Draw(t, label) }
	maybe := func(label string) bool { return rapid.Bool().Draw(t, label) }
	c := Command{Op: rapid.SampledFrom([]string{
		"up", "down", "add", "del", "join", "leave", "filter", "route-add", "route-del", "neighbor-add", "neighbor-del", "flush", "mac", "mtu", "send",
	}).Draw(t, "op")}
	switch c.Op {
	case "add":
		c.Prefix = netip.PrefixFrom(six("address"), number("length", 0, 128))
		c.Mode = rapid.SampledFrom([]string{"", "anycast", "optimistic", "no-dad"}).Draw(t, "mode")
		c.Valid = time.Duration(number("valid", 0, 1<<32-1)) * time.Second
		c.Preferred = time.Duration(number("preferred", 0, 1<<32-1)) * time.Second
	case "route-add", "route-del":
		c.Prefix = netip.PrefixFrom(six("prefix"), number("length", 0, 128)).Masked()
		if maybe("a router") {
			c.Via = six("via")
		}
	case "filter":
		c.Mode = rapid.SampledFrom([]string{"include", "exclude"}).Draw(t, "mode")
		for range number("sources", 0, 5) {
			c.Sources = append(c.Sources, six("source"))
		}
	case "mtu":
		c.Size = number("mtu", -1, 70000)
	case "send":
		c.SrcPort, c.DstPort, c.Size = uint16(number("sport", 0, 65535)), uint16(number("dport", 0, 65535)), number("size", 0, 65535)
		if maybe("a source") {
			c.Src = six("src")
		}
	}
	switch c.Op {
	case "join", "leave", "filter":
		c.Socket = number("socket", 1, 9)
		fallthrough
	case "del", "neighbor-add", "neighbor-del", "send":
		c.Addr = six("addr")
	}
	if c.Op == "neighbor-add" || c.Op == "mac" {
		c.LinkAddr = nd.LinkAddr(rapid.SliceOfN(rapid.Byte(), 6, 6).Draw(t, "mac"))
	}
	c.text = c.render()
	return c
}

func TestParseCommand_IsTheInverseOfString(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := aCommand(t)
		got, err := ParseCommand(want.String())
		if err != nil {
			t.Fatalf("%q: %v", want, err)
		}
		equal := cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{})
		if diff := cmp.Diff(want, got, equal, cmp.AllowUnexported(Command{})); diff != "" {
			t.Errorf("%q (-want +got):\n%s", want, diff)
		}
	})
}

// Every command of every scenario can be told in text.
func TestParseCommand_ReadsTheScenarios(t *testing.T) {
	ns, n := newNames(HostLinkAddr), 0
	ns.reading = true
	for _, c := range scenarios(t) {
		for _, s := range c.steps {
			o, ok := s.do.(order)
			if !ok {
				continue
			}
			cmd, err := o.command(ns)
			if err == nil {
				_, err = ParseCommand(cmd.String())
			}
			if err != nil {
				t.Errorf("%s:%d: %s: %v", c.File, s.line, s.text, err)
			}
			n++
		}
	}
	if n == 0 {
		t.Error("no scenario has a command")
	}
}

func TestParseCommand_RefusesWhatStringDoesNotWrite(t *testing.T) {
	for text, want := range map[string]string{
		"":                        `"" is no command`,
		"reboot":                  `"reboot" is no command`,
		"expect ns":               `"expect" is no command`,
		"up now":                  "up takes 0 words, not 1",
		"up ":                     "up takes 0 words, not 1",
		"add":                     "add which address?",
		"add 2001:db8::5":         `"add 2001:db8::5" is written "add 2001:db8::5/64"`,
		"add HOST.p1":             `"add HOST.p1" is written "add 2001:db8:1::ff:fe00:1/64"`,
		"add 2001:db8::5/64 fast": `"fast": add takes anycast`,
		"del $A":                  "$A has no value yet",
		"del fe80::1%eth0":        `"fe80::1%eth0" is no address`,
		"join  ff02::1234":        "join takes 1 words, not 2",
		"join ff02::1234 by=0":    "the sockets are 1, 2",
		"mtu 01400":               `is written "mtu 1400"`,
	} {
		if c, err := ParseCommand(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, error %v, want %s", text, c, err, want)
		}
	}
}
