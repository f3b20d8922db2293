package conformance

import (
	"context"
	"errors"
	"io"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/tapstack/tapstack/nd"
)

// told is a conversation with a program that says this whatever it is asked,
// and then nothing any more.
func told(t *testing.T, text string) *talk {
	t.Helper()
	r, w := io.Pipe()
	lines, stop := make(chan said), make(chan struct{})
	t.Cleanup(func() {
		close(stop)
		r.Close()
	})
	go readLines(r, lines, stop)
	return &talk{
		ctx: context.Background(), stdin: speaker{w, text}, lines: lines, ended: make(chan struct{}), hurry: 10,
		death: func() string { return "" }, stderr: func() string { return "" },
	}
}

// speaker writes its text to w when it is written to.
type speaker struct {
	w    io.Writer
	text string
}

func (s speaker) Write(b []byte) (int, error) {
	_, err := io.WriteString(s.w, s.text)
	return len(b), err
}

func TestTalk_Answers(t *testing.T) {
	long := strings.Repeat("x", maxAnswerLine)
	for _, test := range []struct {
		name, request, says string
		want                string // of the error; empty: none
	}{
		{"ok", "up", "ok\n", ""},
		{"refused", "up", "refused the cable is cut\n", "the cable is cut"},
		{"refused without a word", "up", "refused\n", "it does not say why"},
		{"cannot", "up", "cannot there is no up\n", "there is no up"},
		{"data that is none", "up", "address fe80::1 tentative\nok\n", `asked "up", the program of the host says what is no answer to that: "address fe80::1 tentative"`},
		{"garbage", "up", "segfault at 0\n", `asked "up", the program of the host says what is no answer to that: "segfault at 0"`},
		{"more than ok", "up", "ok then\n", `asked "up", the program of the host says what is no answer to that: "ok then"`},
		{"lines of another system", "up", "ok\r\n", `asked "up", the program of the host says what is no answer to that: "ok\r"`},
		{"another case", "up", "OK\n", `asked "up", the program of the host says what is no answer to that: "OK"`},
		{"an empty line", "up", "\nok\n", `asked "up", the program of the host says what is no answer to that`},
		{"no UTF-8", "up", "refused \xff\n", `asked "up", the program of the host says what is no UTF-8: "refused \xff"`},
		{"a long line", "up", "refused " + long + "\n", `asked "up", the program of the host writes a line of more than 1024 octets: "refused ` + long[:112] + `…"`},
		{"an end within a line", "up", "o", `asked "up", the program of the host does not answer within 500ms`},
		{"too many lines", "views", strings.Repeat("group ff02::1\n", maxAnswerLines+1), `asked "views", the program of the host answers with more than 20000 lines: "group ff02::1"`},
		{"silence", "up", "", `asked "up", the program of the host does not answer within 500ms`},
	} {
		t.Run(test.name, func(t *testing.T) {
			talk := told(t, test.says)
			_, err := talk.ask(test.request)
			got := ""
			if err != nil {
				got = err.Error()
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("error (-want +got):\n%s", diff)
			}
			if cannot := strings.HasPrefix(test.says, "cannot"); errors.Is(err, ErrNotApplicable) != cannot {
				t.Errorf("not applicable: %v", err)
			}
			var failed *HostError
			if fails := strings.Contains(test.want, "the program of the host"); errors.As(err, &failed) != fails {
				t.Errorf("the program has failed: %v, want %v", err, fails)
			}
			if _, again := talk.ask("down"); failed != nil && again != failed {
				t.Errorf("after a failure: %v", again)
			}
		})
	}
}

// What comes after the final line was not asked for, and is found at the next
// request.
func TestTalk_NothingIsSaidUnasked(t *testing.T) {
	talk := told(t, "ok\nok\n")
	if _, err := talk.ask("up"); err != nil {
		t.Fatal(err)
	}
	for talk.over == nil { // until it is on the way
		if _, err := talk.ask("down"); err != nil {
			break
		}
	}
	if got := talk.over.Error(); got != `the program of the host says something that it was not asked: "ok"` {
		t.Error(got)
	}
}

func TestTalk_EndsWithItsContext(t *testing.T) {
	talk := told(t, "")
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	talk.ctx, talk.hurry = ctx, 1
	if _, err := talk.ask("up"); err == nil || !strings.Contains(err.Error(), "is not waited for: context canceled") {
		t.Error(err)
	}
}

func TestTalk_Hello(t *testing.T) {
	h, err := told(t, "name lwIP 2.1.3\ncan updown views\ncan echo\nprofiles rfc2462 rfc4862\nok\n").hello()
	want := hello{"lwIP 2.1.3", []Capability{CanUpDown, CanView, CanEcho}, []string{"rfc2462", "rfc4862"}}
	if diff := cmp.Diff(want, h, cmp.AllowUnexported(hello{})); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	for says, want := range map[string]string{
		"name x\ncan fly\nprofiles current\nok\n":    `asked "hello 1", the program of the host can do "fly", which is none of [updown`,
		"name x\ncan echo\nprofiles rfc9999\nok\n":   `knows the profile "rfc9999", which is none of [rfc2462 rfc4862 current]: "profiles rfc9999"`,
		"name x\ncan echo\nok\n":                     "names no profile",
		"name\ncan echo\nprofiles current\nok\n":     "does not say its name",
		"cannot this is version 2\n":                 "this is version 2",
		"mac 02:00:00:00:00:01\nok\n":                "says what is no answer to that",
		"name x\ncan echo\nprofiles current\nok\nok": "",
	} {
		if _, err := told(t, says).hello(); want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: error %v, want %s", says, err, want)
		}
	}
}

func TestTalk_Setup(t *testing.T) {
	s := Setup{Profile: "current", LinkAddr: HostLinkAddr, Chance: Random, Knobs: []Setting{{"iid", "stable"}}}
	for says, want := range map[string]string{
		"ok\n":                             "02:00:00:00:00:01",
		"mac 02:00:00:00:00:07\nok\n":      "02:00:00:00:00:07",
		"mac 2:7\nok\n":                    `asked "setup iface=tap0 link=tap mac=02:00:00:00:00:01 profile=current chance=random knob.iid=stable", the program of the host has an address that is none: "mac 2:7"`,
		"refused tap0: no such device\n":   "setup: tap0: no such device",
		"cannot there is no iid=stable\n":  "setup: there is no iid=stable",
		"mac 02:00:00:00:00:07\nrefused\n": "setup: it does not say why",
	} {
		mac, err := told(t, says).setup("tap0", "tap", s)
		got := mac.String()
		if err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%q: %s, want %s", says, got, want)
		}
	}
}

func TestTalk_Views(t *testing.T) {
	a := netip.MustParseAddr
	v, err := told(t, `address fe80::1 tentative
duplicate fe80::3
route 2001:db8::/64
route ::/0 via fe80::b1
group ff02::1
neighbor fe80::a1 stale 02:00:00:00:01:01 router
neighbor fe80::a2 incomplete
neighbor fe80::a3 probe router
ok
`).view()
	want := View{
		Addresses:  map[netip.Addr]Entry{a("fe80::1"): {State: "tentative"}},
		Duplicates: []netip.Addr{a("fe80::3")},
		Routes:     []Route{{Prefix: netip.MustParsePrefix("2001:db8::/64")}, {netip.MustParsePrefix("::/0"), a("fe80::b1")}},
		Groups:     []netip.Addr{a("ff02::1")},
		Neighbors: map[netip.Addr]Entry{
			a("fe80::a1"): {"stale", nd.LinkAddr{2, 0, 0, 0, 1, 1}, true}, a("fe80::a2"): {State: "incomplete"}, a("fe80::a3"): {State: "probe", Router: true},
		},
	}
	if diff := cmp.Diff(want, v, cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{})); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	for _, line := range []string{
		"address", "address fe80::1", "address fe80::1 assigned", "address fe80::1 lost", "address fe80::1%eth0 tentative", "address 192.0.2.1 preferred",
		"address fe80::1 tentative now", "address  fe80::1 tentative", "duplicate fe80::1 twice", "group all", "route ::1", "route ::/0 via", "route ::/0 fe80::b1",
		"route ::/0 via 192.0.2.1", "route 0.0.0.0/0", "neighbor fe80::a1", "neighbor fe80::a1 PROBE", "neighbor fe80::a1 stale 02:00 router",
		"neighbor fe80::a1 stale router 02:00:00:00:01:01", "mac 02:00:00:00:00:01",
	} {
		var failed *HostError
		if _, err := told(t, line+"\nok\n").view(); !errors.As(err, &failed) || failed.Line != line {
			t.Errorf("%q: %v", line, err)
		}
	}
}

// Whatever a program says of its tables, reading it does not panic.
func FuzzTalk_View(f *testing.F) {
	f.Add("neighbor fe80::a1 stale 02:00:00:00:01:01 router")
	f.Add("route ::/0 via fe80::b1")
	f.Fuzz(func(t *testing.T, line string) {
		v := View{Addresses: map[netip.Addr]Entry{}, Neighbors: map[netip.Addr]Entry{}}
		v.read(strings.Split(line, " "))
	})
}
