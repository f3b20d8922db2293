package hostline_test

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tapstack/tapstack/conformance"
	"github.com/tapstack/tapstack/conformance/hostline"
	"github.com/tapstack/tapstack/nd"
)

// noted is a host that notes what it is told.
type noted struct{ told []string }

func (*noted) Hello() hostline.Hello {
	return hostline.Hello{Name: "noted  1.0\n", Can: []conformance.Capability{"updown", "views"}, Profiles: []string{"rfc4862"}}
}

func (h *noted) Setup(s hostline.Setup) (nd.LinkAddr, error) {
	h.told = append(h.told, fmt.Sprint(s))
	if len(s.Knobs) > 0 {
		return nd.LinkAddr{}, fmt.Errorf("no knob %s: %w", s.Knobs[0].Name, conformance.ErrNotApplicable)
	}
	return nd.LinkAddr{2, 0, 0, 0, 0, 7}, nil
}

func (h *noted) Do(c conformance.Command) error {
	h.told = append(h.told, c.String())
	if c.Op == "down" {
		return errors.New("this host\nstays up")
	}
	return nil
}

func (*noted) View() (conformance.View, error) {
	a, mac := netip.MustParseAddr, nd.LinkAddr{2, 0, 0, 0, 1, 1}
	return conformance.View{
		Addresses:  map[netip.Addr]conformance.Entry{a("fe80::2"): {State: "preferred"}, a("fe80::1"): {State: "tentative"}},
		Duplicates: []netip.Addr{a("fe80::3")},
		Routes:     []conformance.Route{{Prefix: netip.MustParsePrefix("2001:db8::/64")}, {Prefix: netip.MustParsePrefix("::/0"), Via: a("fe80::b1")}},
		Groups:     []netip.Addr{a("ff02::1")},
		Neighbors:  map[netip.Addr]conformance.Entry{a("fe80::a1"): {State: "stale", LinkAddr: mac, Router: true}, a("fe80::a2"): {State: "incomplete"}},
	}, nil
}

func TestServe(t *testing.T) {
	const setup = "setup iface=tap0 link=tap mac=02:00:00:00:00:01 profile=rfc4862 chance=random"
	for _, test := range []struct {
		name     string
		requests []string
		want     []string
		told     []string
	}{
		{"hello", []string{"hello 1"}, []string{"name noted 1.0", "can updown views", "profiles rfc4862", "ok"}, nil},
		{"another version", []string{"hello 2"}, []string{"cannot this program speaks version 1 of the protocol, not 2"}, nil},
		{"setup", []string{setup, "up"}, []string{"mac 02:00:00:00:00:07", "ok", "ok"},
			[]string{"{tap0 tap 02:00:00:00:00:01 rfc4862 random []}", "up"}},
		{"the wish is granted", []string{strings.Replace(setup, ":01", ":07", 1)}, []string{"ok"},
			[]string{"{tap0 tap 02:00:00:00:00:07 rfc4862 random []}"}},
		{"a knob that it does not have", []string{setup + " knob.iid=stable", "up"}, []string{"cannot no knob iid", "refused up before setup"},
			[]string{"{tap0 tap 02:00:00:00:00:01 rfc4862 random [{iid stable}]}"}},
		{"a setup of tomorrow", []string{setup + " colour=red"}, []string{"cannot setup has no colour"}, nil},
		{"a setup that is none", []string{"setup tap0"}, []string{`refused "tap0" is not NAME=VALUE`}, nil},
		{"two setups", []string{setup, setup}, []string{"mac 02:00:00:00:00:07", "ok", "refused the second setup of this process"},
			[]string{"{tap0 tap 02:00:00:00:00:01 rfc4862 random []}"}},
		{"a refusal in one line", []string{setup, "down"}, []string{"mac 02:00:00:00:00:07", "ok", "refused this host stays up"},
			[]string{"{tap0 tap 02:00:00:00:00:01 rfc4862 random []}", "down"}},
		{"an unknown command", []string{setup, "reboot"}, []string{"mac 02:00:00:00:00:07", "ok", `cannot "reboot" is no command`},
			[]string{"{tap0 tap 02:00:00:00:00:01 rfc4862 random []}"}},
		{"tables", []string{setup, "views"}, []string{
			"mac 02:00:00:00:00:07", "ok",
			"address fe80::1 tentative", "address fe80::2 preferred", "duplicate fe80::3", "route 2001:db8::/64", "route ::/0 via fe80::b1",
			"group ff02::1", "neighbor fe80::a1 stale 02:00:00:00:01:01 router", "neighbor fe80::a2 incomplete", "ok",
		}, []string{"{tap0 tap 02:00:00:00:00:01 rfc4862 random []}"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			h, out := new(noted), new(strings.Builder)
			if err := hostline.Serve(strings.NewReader(strings.Join(test.requests, "\n")+"\n"), out, h); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")); diff != "" {
				t.Errorf("answers (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(test.told, h.told); diff != "" {
				t.Errorf("the host is told (-want +got):\n%s", diff)
			}
		})
	}
}

// broken fails to write.
type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errors.New("nobody reads") }

func TestServe_EndsWhenNobodyReads(t *testing.T) {
	if err := hostline.Serve(strings.NewReader("hello 1\nhello 1\n"), broken{}, new(noted)); err == nil || err.Error() != "nobody reads" {
		t.Errorf("error %v", err)
	}
}
