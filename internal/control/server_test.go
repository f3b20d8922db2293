package control

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tapstack/tapstack/stack"
)

const (
	quick = "10ms" // for tests in which DAD ends
	never = "1h"   // for tests in which it does not
)

func TestAddr_AddShowDelete(t *testing.T) {
	s := serve(t, quick)
	before := `[{"interface":"tap0","address":"fe80::ff:fe00:1","prefix_len":64,"state":"preferred","origin":"link-local","preferred_lifetime":null,"valid_lifetime":null}]`
	s.want(t, "GET", "/v1/addr", "", 200, before)
	s.want(t, "POST", "/v1/addr", `{"address":"2001:db8::5","prefix_len":64,"valid_lifetime":3600,"preferred_lifetime":0}`, 200, `{}`)
	s.want(t, "GET", "/v1/addr?interface=tap0", "", 200, strings.TrimSuffix(before, "]")+
		`,{"interface":"tap0","address":"2001:db8::5","prefix_len":64,"state":"deprecated","origin":"manual","preferred_lifetime":0,"valid_lifetime":3600}]`)
	s.want(t, "GET", "/v1/route", "", 200, `[`+
		`{"destination":"2001:db8::/64","next_hop":null,"interface":"tap0","origin":"on-link","preference":"medium","metric":256,"owners":["address 2001:db8::5"],"expires":null},`+
		`{"destination":"2001:db8::5/128","next_hop":null,"interface":"tap0","origin":"local","preference":"medium","metric":0,"owners":["address 2001:db8::5"],"expires":null},`+
		`{"destination":"fe80::/64","next_hop":null,"interface":"tap0","origin":"on-link","preference":"medium","metric":256,"owners":["address fe80::ff:fe00:1"],"expires":null},`+
		`{"destination":"fe80::ff:fe00:1/128","next_hop":null,"interface":"tap0","origin":"local","preference":"medium","metric":0,"owners":["address fe80::ff:fe00:1"],"expires":null}]`)
	s.want(t, "GET", "/v1/maddr", "", 200, `[`+
		`{"interface":"tap0","group":"ff02::1","mode":"exclude","sources":[],"holders":["node"]},`+
		`{"interface":"tap0","group":"ff02::1:ff00:1","mode":"exclude","sources":[],"holders":["address fe80::ff:fe00:1"]},`+
		`{"interface":"tap0","group":"ff02::1:ff00:5","mode":"exclude","sources":[],"holders":["address 2001:db8::5"]}]`)
	s.wantError(t, "DELETE", "/v1/addr", `{"address":"2001:db8::5","prefix_len":63}`, 404, "not_found", 4)
	s.want(t, "DELETE", "/v1/addr", `{"address":"2001:db8::5","prefix_len":64}`, 200, `{}`)
	s.want(t, "GET", "/v1/addr", "", 200, before)
}

// Spec: RFC 4862, section 5.4, MUST, KRE-1
// Spec: RFC 4862, section 5.4.5, MUST NOT, KRE-2
func TestAddr_DuplicateLeavesEveryViewAsItWas(t *testing.T) {
	s := serve(t, never)
	// Nothing of the peer's may be in the Neighbor Cache meanwhile, which is
	// why the views are compared before anything else happens.
	views := []string{"/v1/addr", "/v1/route", "/v1/maddr"}
	var before []string
	for _, v := range views {
		_, body := s.ask(t, "GET", v, "")
		before = append(before, body)
	}
	s.want(t, "POST", "/v1/addr", `{"address":"2001:db8::9","prefix_len":64}`, 409,
		`{"error":"add 2001:db8::9 on tap0: duplicate address: in use by 02:00:00:00:00:09 (neighbor advertisement)","kind":"duplicate","exit":3}`)
	for i, v := range views {
		s.want(t, "GET", v, "", 200, strings.TrimSuffix(before[i], "\n"))
	}
	_, body := s.ask(t, "GET", "/v1/addr/failures", "")
	body = regexp.MustCompile(`"time":"[0-9T:.-]+Z"`).ReplaceAllString(body, `"time":"…"`)
	want := `[{"time":"…","interface":"tap0","address":"2001:db8::9","link_address":"02:00:00:00:00:09","from":"02:00:00:00:00:09","evidence":"neighbor advertisement"}]` + "\n"
	if diff := cmp.Diff(want, body); diff != "" {
		t.Errorf("failures (-want +got):\n%s", diff)
	}
}

func TestAddr_Errors(t *testing.T) {
	s := serve(t, quick)
	s.want(t, "POST", "/v1/addr", `{"address":"2001:db8::5"}`, 200, `{}`)
	s.wantError(t, "POST", "/v1/addr", `{"address":"2001:db8::5"}`, 409, "exists", 6)
	s.wantError(t, "DELETE", "/v1/addr", `{"address":"2001:db8::77"}`, 404, "not_found", 4)
	s.wantError(t, "POST", "/v1/addr/accept", `{"address":"2001:db8::77"}`, 404, "not_found", 4)
	s.wantError(t, "POST", "/v1/addr", `{"address":"2001:db8::6","interface":"tap9"}`, 404, "not_found", 4)
	s.wantError(t, "GET", "/v1/addr?interface=tap9", "", 404, "not_found", 4)
	for _, address := range []string{"::", "::1", "ff02::1", "::ffff:192.0.2.1", "192.0.2.1"} {
		s.wantError(t, "POST", "/v1/addr", `{"address":"`+address+`"}`, 400, "invalid", 2)
	}
	for _, body := range []string{
		``, `null`, `{}`, `"2001:db8::7"`, `{"address":"2001:db8::7"`, `{"address":"2001:db8::7"} {}`, `{"address":7}`, `{"address":"nowhere"}`,
		`{"address":"2001:db8::7","prefix_len":129}`, `{"address":"2001:db8::7","prefix_len":-1}`, `{"address":"2001:db8::7","state":"preferred"}`,
		`{"address":"2001:db8::7","dad":"sometimes"}`, `{"address":"2001:db8::7","timeout":-1}`, `{"address":"2001:db8::7","timeout":1e300}`,
		`{"address":"2001:db8::7","valid_lifetime":0}`, `{"address":"2001:db8::7","valid_lifetime":1,"preferred_lifetime":2}`,
		`{"address":"2001:db8::7","valid_lifetime":1,"preferred_lifetime":4294967295}`, `{"address":"2001:db8::7%tap1","interface":"tap0"}`,
		`[{"address":"2001:db8::7"},{"address":"::"}]`, `[{"address":"2001:db8::7"},{"address":"2001:db8::8","timeout":1}]`, `[7]`,
		`{"address":"2001:db8::7"` + strings.Repeat(" ", maxBody) + `}`,
	} {
		s.wantError(t, "POST", "/v1/addr", body, 400, "invalid", 2)
	}
	addresses, err := s.Addresses(t.Context(), "")
	if err != nil || len(addresses) != 2 {
		t.Errorf("what was refused changed something: %v, %v", addresses, err)
	}
}

// Spec: RFC 5942, section 4, MUST NOT, ONL-R05
func TestAddr_OnLinkPrefixIsAStatementOfItsOwn(t *testing.T) {
	s := serve(t, quick)
	for body, want := range map[string]bool{
		`{"address":"2001:db8:1::5","prefix_len":64}`:                        true,
		`{"address":"2001:db8:2::5","prefix_len":64,"no_prefix_route":true}`: false,
		`{"address":"2001:db8:3::5"}`:                                        false,
	} {
		s.want(t, "POST", "/v1/addr", body, 200, `{}`)
		_, routes := s.ask(t, "GET", "/v1/route", "")
		if got := strings.Contains(routes, `"destination":"`+body[len(`{"address":"`):][:len("2001:db8:1::")]+`/64"`); got != want {
			t.Errorf("%s: on-link %v, want %v: %s", body, got, want, routes)
		}
	}
}

func TestAddr_ManyAtOnce(t *testing.T) {
	s := serve(t, "200ms")
	s.want(t, "POST", "/v1/addr", `[]`, 200, `[]`)
	start := time.Now()
	s.want(t, "POST", "/v1/addr", `[{"address":"2001:db8::a1"},{"address":"2001:db8::9"},{"address":"2001:db8::a2"},{"address":"2001:db8::a1"}]`, 200, `[`+
		`{"address":"2001:db8::9","error":"add 2001:db8::9 on tap0: duplicate address: in use by 02:00:00:00:00:09 (neighbor advertisement)","kind":"duplicate","exit":3},`+
		`{"address":"2001:db8::a1","error":"add 2001:db8::a1 on tap0: the address exists already","kind":"exists","exit":6}]`)
	if took := time.Since(start); took > 390*time.Millisecond {
		t.Errorf("two tests of 200 ms took %v: one after the other?", took)
	}
	addresses, err := s.Addresses(t.Context(), "tap0")
	if err != nil || len(addresses) != 3 {
		t.Errorf("addresses %v, %v, want three", addresses, err)
	}
	s.want(t, "POST", "/v1/addr", `[{"address":"2001:db8::b1","no_wait":true},{"address":"2001:db8::b1","no_wait":true}]`, 200,
		`[{"address":"2001:db8::b1","error":"add 2001:db8::b1 on tap0: the address exists already","kind":"exists","exit":6}]`)
}

func TestAddr_NoWaitAnswersAtOnce(t *testing.T) {
	s := serve(t, never)
	s.want(t, "POST", "/v1/addr", `{"address":"2001:db8::5","no_wait":true}`, 200, `{}`)
	if a, _ := s.Addresses(t.Context(), ""); len(a) != 2 || a[1].State != "tentative" {
		t.Errorf("addresses %v, want a tentative one", a)
	}
	s.wantError(t, "POST", "/v1/addr", `{"address":"2001:db8::5","no_wait":true}`, 409, "exists", 6)
}

func TestAddr_TimeoutTakesTheAddressAway(t *testing.T) {
	s := serve(t, never)
	s.want(t, "POST", "/v1/addr", `{"address":"2001:db8::5","timeout":0.02}`, 503,
		`{"error":"add 2001:db8::5 on tap0: timed out before DAD ended; the address was taken away again","kind":"timeout","exit":1}`)
	s.wantGone(t)
}

// wantGone checks that the link-local address is the only one.
func (s *served) wantGone(t *testing.T) {
	t.Helper()
	a, err := s.Addresses(t.Context(), "")
	if err != nil || len(a) != 1 {
		t.Errorf("addresses %v, %v, want the link-local one alone", a, err)
	}
}

// awaitTentative waits until an address is in DAD.
func (s *served) awaitTentative(t *testing.T) {
	t.Helper()
	for range 1000 {
		if a, _ := s.Addresses(t.Context(), ""); len(a) == 2 {
			return
		}
		time.Sleep(time.Millisecond)
	}
	t.Fatal("no address became tentative")
}

func TestAddr_InterruptedClientTakesTheAddressAway(t *testing.T) {
	s := serve(t, never)
	ctx, cancel := context.WithCancel(t.Context())
	result := make(chan error, 1)
	go func() { result <- s.AddAddress(ctx, NewAddress{Address: netip.MustParseAddr("2001:db8::5")}) }()
	s.awaitTentative(t)
	cancel()
	err := <-result
	want := &Error{Message: "add 2001:db8::5 on tap0: canceled before DAD ended; the address was taken away again", Kind: "canceled", Exit: 1}
	var got *Error
	if !errors.As(err, &got) || *got != *want {
		t.Errorf("AddAddress: %#v, want %#v", err, want)
	}
	s.wantGone(t) // at once: AddAddress has waited for that
}

// A client that just goes away, as curl does when it is interrupted, counts as
// one that does not want the address any more.
func TestAddr_VanishedClientTakesTheAddressAway(t *testing.T) {
	s := serve(t, never)
	conn, err := net.Dial("unix", s.socket)
	if err != nil {
		t.Fatal(err)
	}
	body := `{"address":"2001:db8::5"}`
	req := httptest.NewRequest("POST", "http://tapstack/v1/addr", strings.NewReader(body))
	if err := req.Write(conn); err != nil {
		t.Fatal(err)
	}
	s.awaitTentative(t)
	conn.Close()
	for range 1000 {
		if a, _ := s.Addresses(t.Context(), ""); len(a) == 1 {
			return
		}
		time.Sleep(time.Millisecond)
	}
	t.Error("the address of a client that is gone stays tentative")
}

func TestAddr_LinkDownAndRemovalEndTheWait(t *testing.T) {
	for _, c := range []struct {
		name string
		do   func(*served) error
		kind string
	}{
		{"removed", func(s *served) error { return s.iface.RemoveAddress(netip.MustParseAddr("2001:db8::5")) }, "removed"},
		{"link down", func(s *served) error { return s.iface.SetUp(false) }, "link_down"},
	} {
		s := serve(t, never)
		result := make(chan error, 1)
		go func() { result <- s.AddAddress(t.Context(), NewAddress{Address: netip.MustParseAddr("2001:db8::5")}) }()
		s.awaitTentative(t)
		if err := c.do(s); err != nil {
			t.Fatal(err)
		}
		var e *Error
		if err := <-result; !errors.As(err, &e) || e.Kind != c.kind || e.Exit != 1 {
			t.Errorf("%s: %v, want kind %s and exit 1", c.name, err, c.kind)
		}
	}
}

func TestRoute(t *testing.T) {
	s := serve(t, quick)
	_, before := s.ask(t, "GET", "/v1/route", "")
	s.want(t, "POST", "/v1/route", `{"destination":"2001:db8:1::/48","next_hop":"fe80::ff:fe00:9","metric":7}`, 200, `{}`)
	s.want(t, "POST", "/v1/route", `{"destination":"2001:db8:2::/64","next_hop":null}`, 200, `{}`)
	_, body := s.ask(t, "GET", "/v1/route", "")
	for _, want := range []string{
		`{"destination":"2001:db8:1::/48","next_hop":"fe80::ff:fe00:9","interface":"tap0","origin":"static","preference":"medium","metric":7,"owners":["static"],"expires":null}`,
		`{"destination":"2001:db8:2::/64","next_hop":null,"interface":"tap0","origin":"on-link",`,
	} {
		if !strings.Contains(body, want) {
			t.Errorf("routes %s\nwant among them %s", body, want)
		}
	}
	s.wantError(t, "POST", "/v1/route", `{"destination":"2001:db8:2::/64"}`, 409, "exists", 6)
	s.wantError(t, "POST", "/v1/route", `{"destination":"2001:db8:2::1/64"}`, 400, "invalid", 2)
	s.wantError(t, "POST", "/v1/route", `{}`, 400, "invalid", 2)
	s.wantError(t, "POST", "/v1/route", `{"destination":"::/0","next_hop":"ff02::1"}`, 400, "invalid", 2)
	s.wantError(t, "POST", "/v1/route", `{"destination":"10.0.0.0/8"}`, 400, "invalid", 2)

	s.want(t, "GET", "/v1/route/get?destination=2001:db8:2::1", "", 200,
		`{"destination":"2001:db8:2::1","next_hop":"2001:db8:2::1","source":"fe80::ff:fe00:1","interface":"tap0","neighbor":"none"}`)
	s.wantError(t, "GET", "/v1/route/get?destination=2001:db8:3::1", "", 404, "not_found", 4)
	s.wantError(t, "GET", "/v1/route/get?destination=2001:db8:2::1&source=2001:db8::77", "", 404, "not_found", 4)
	s.wantError(t, "GET", "/v1/route/get", "", 400, "invalid", 2)
	s.wantError(t, "GET", "/v1/route/get?destination=2001:db8:2::1&source=x", "", 400, "invalid", 2)
	s.wantError(t, "GET", "/v1/route/get?destination=::1&destination=::2", "", 400, "invalid", 2)

	s.wantError(t, "DELETE", "/v1/route", `{"destination":"2001:db8:1::/48"}`, 404, "not_found", 4)
	s.want(t, "DELETE", "/v1/route", `{"destination":"2001:db8:1::/48","next_hop":"fe80::ff:fe00:9","metric":7}`, 200, `{}`)
	s.want(t, "DELETE", "/v1/route", `{"destination":"2001:db8:2::/64"}`, 200, `{}`)
	s.want(t, "GET", "/v1/route", "", 200, strings.TrimSuffix(before, "\n"))
}

func TestNeigh(t *testing.T) {
	s := serve(t, quick)
	s.want(t, "GET", "/v1/neigh", "", 200, `[]`)
	s.want(t, "POST", "/v1/neigh", `{"address":"fe80::7","link_address":"02:00:00:00:00:07"}`, 200, `{}`)
	_, body := s.ask(t, "GET", "/v1/neigh", "")
	body = regexp.MustCompile(`"since":"[0-9T:.-]+Z"`).ReplaceAllString(body, `"since":"…"`)
	want := `[{"interface":"tap0","address":"fe80::7","link_address":"02:00:00:00:00:07","state":"static","router":false,"since":"…"}]` + "\n"
	if diff := cmp.Diff(want, body); diff != "" {
		t.Errorf("neighbors (-want +got):\n%s", diff)
	}
	s.wantError(t, "POST", "/v1/neigh", `{"address":"fe80::7"}`, 400, "invalid", 2)
	s.wantError(t, "POST", "/v1/neigh", `{"address":"fe80::7","link_address":"02"}`, 400, "invalid", 2)
	s.wantError(t, "DELETE", "/v1/neigh", `{"address":"fe80::8"}`, 404, "not_found", 4)
	s.wantError(t, "DELETE", "/v1/neigh", `{"address":"fe80::7","link_address":"02:00:00:00:00:07"}`, 400, "invalid", 2)

	if _, err := s.Ping(t.Context(), Ping{Address: netip.MustParseAddr("fe80::ff:fe00:9")}); err != nil {
		t.Fatal(err)
	}
	if all, _ := s.Neighbors(t.Context(), ""); len(all) != 2 {
		t.Errorf("neighbors %v, want the static one and the peer", all)
	}
	s.want(t, "POST", "/v1/neigh/flush", `{}`, 200, `{}`)
	if all, _ := s.Neighbors(t.Context(), ""); len(all) != 1 {
		t.Errorf("neighbors after a flush: %v, want the static one", all)
	}
	s.want(t, "DELETE", "/v1/neigh", `{"address":"fe80::7%tap0"}`, 200, `{}`)
	s.want(t, "GET", "/v1/neigh", "", 200, `[]`)
}

func TestMaddr(t *testing.T) {
	s := serve(t, quick)
	_, before := s.ask(t, "GET", "/v1/maddr", "")
	s.want(t, "POST", "/v1/maddr", `{"group":"ff02::4242"}`, 200, `{}`)
	s.wantError(t, "POST", "/v1/maddr", `{"group":"ff02::4242"}`, 409, "exists", 6)
	s.wantError(t, "POST", "/v1/maddr", `{"group":"2001:db8::1"}`, 400, "invalid", 2)
	s.wantError(t, "DELETE", "/v1/maddr", `{"group":"ff02::4243"}`, 404, "not_found", 4)
	_, body := s.ask(t, "GET", "/v1/maddr", "")
	if want := `{"interface":"tap0","group":"ff02::4242","mode":"exclude","sources":[],"holders":["static"]}`; !strings.Contains(body, want) {
		t.Errorf("groups %s\nwant among them %s", body, want)
	}
	s.want(t, "DELETE", "/v1/maddr", `{"group":"ff02::4242"}`, 200, `{}`)
	s.wantError(t, "POST", "/v1/maddr", `{"group":"ff35::8000:1"}`, 400, "invalid", 2)
	s.wantError(t, "POST", "/v1/maddr", `{"group":"ff35::8000:1","sources":["ff02::1"]}`, 400, "invalid", 2)
	s.wantError(t, "POST", "/v1/maddr", `{"group":"ff35::8000:1","sources":["fe80::9%tap9"]}`, 400, "invalid", 2)
	s.want(t, "POST", "/v1/maddr", `{"group":"ff35::8000:1","sources":["2001:db8::9"]}`, 200, `{}`)
	s.wantError(t, "POST", "/v1/maddr", `{"group":"ff35::8000:1","sources":["2001:db8::9"]}`, 409, "exists", 6)
	s.wantError(t, "DELETE", "/v1/maddr", `{"group":"ff35::8000:1","sources":["2001:db8::8"]}`, 404, "not_found", 4)
	_, body = s.ask(t, "GET", "/v1/maddr", "")
	if want := `{"interface":"tap0","group":"ff35::8000:1","mode":"include","sources":["2001:db8::9"],"holders":["static"]}`; !strings.Contains(body, want) {
		t.Errorf("groups %s\nwant among them %s", body, want)
	}
	s.want(t, "DELETE", "/v1/maddr", `{"group":"ff35::8000:1","sources":["2001:db8::9"]}`, 200, `{}`)
	s.want(t, "GET", "/v1/maddr", "", 200, strings.TrimSuffix(before, "\n"))
}

func TestLink(t *testing.T) {
	s := serve(t, quick)
	_, body := s.ask(t, "GET", "/v1/link", "")
	if want := `[{"interface":"tap0","index":1,"link_address":"02:00:00:00:00:01","mtu":1500,"up":true,"ipv6_disabled":false,"mld_version":2,"counters":{"`; !strings.HasPrefix(body, want) {
		t.Errorf("link %s\nwant %s…", body, want)
	}
	s.want(t, "POST", "/v1/link", `{"interface":"tap0","up":false}`, 200, `{}`)
	s.wantError(t, "POST", "/v1/addr", `{"address":"2001:db8::5"}`, 503, "link_down", 1)
	s.wantError(t, "POST", "/v1/ping", `{"address":"fe80::ff:fe00:9"}`, 503, "link_down", 1)
	s.want(t, "POST", "/v1/link", `{"up":true,"mtu":1400}`, 200, `{}`)
	if l, err := s.Links(t.Context(), "tap0"); err != nil || len(l) != 1 || !l[0].Up || l[0].MTU != 1400 {
		t.Errorf("link %v, %v, want up with MTU 1400", l, err)
	}
	for _, body := range []string{`{}`, `{"mtu":1279}`, `{"mtu":1501}`, `{"up":1}`} {
		s.wantError(t, "POST", "/v1/link", body, 400, "invalid", 2)
	}
}

func TestPing(t *testing.T) {
	s := serve(t, quick)
	p, err := s.Ping(t.Context(), Ping{Address: netip.MustParseAddr("fe80::ff:fe00:9%tap0"), Size: 56, Sequence: 3})
	if err != nil || p.From.WithZone("") != netip.MustParseAddr("fe80::ff:fe00:9") || p.HopLimit != 64 || p.Bytes != 56 || p.RTT <= 0 {
		t.Errorf("reply %+v, %v", p, err)
	}
	s.wantError(t, "POST", "/v1/ping", `{"address":"2001:db8:5::1"}`, 503, "failed", 1) // no route
	s.wantError(t, "POST", "/v1/ping", `{"address":"fe80::1","size":65536}`, 400, "invalid", 2)
	s.wantError(t, "POST", "/v1/ping", `{"address":"fe80::1","timeout":-1}`, 400, "invalid", 2)
	s.wantError(t, "POST", "/v1/ping", `{"address":"fe80::1","source":"2001:db8::77"}`, 404, "not_found", 4)
	s.want(t, "POST", "/v1/ping", `{"address":"fe80::77","timeout":0.01}`, 503,
		`{"error":"ping fe80::77 on tap0: no reply within 0.01 s","kind":"timeout","exit":1}`)
}

func TestEvents_ComeAtOnceAndFromANumberOn(t *testing.T) {
	s := serve(t, quick)
	type event struct {
		Seq     uint64
		Type    string
		Address string
	}
	ctx, cancel := context.WithCancel(t.Context())
	live := make(chan event, 100)
	done := make(chan error, 1)
	var zero uint64
	go func() {
		done <- s.Events(ctx, &zero, func(line []byte) error {
			var e event
			err := json.Unmarshal(line, &e)
			live <- e
			return err
		})
	}()
	if first := <-live; first.Seq != 1 || first.Type != "link_up" {
		t.Errorf("the first event is %v, want link_up", first)
	}
	if err := s.AddAddress(t.Context(), NewAddress{Address: netip.MustParseAddr("2001:db8::5")}); err != nil {
		t.Fatal(err)
	}
	var assigned event
	for e := range live {
		if e.Type == "address_assigned" && e.Address == "2001:db8::5" {
			assigned = e
			break
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Events after cancel: %v", err)
	}
	enough := errors.New("enough")
	since := assigned.Seq - 1
	err := s.Events(t.Context(), &since, func(line []byte) error {
		var e event
		if err := json.Unmarshal(line, &e); err != nil || e != assigned {
			t.Errorf("event %s, %v, want %v", line, err, assigned)
		}
		return enough
	})
	if err != enough {
		t.Errorf("Events: %v", err)
	}
	s.wantError(t, "GET", "/v1/events?since=-1", "", 400, "invalid", 2)
	s.wantError(t, "GET", "/v1/events?until=9", "", 400, "invalid", 2)
}

func TestEvents_EndOfTheProcess(t *testing.T) {
	s := serve(t, quick)
	var zero uint64
	err := s.Events(t.Context(), &zero, func([]byte) error { return s.server.Close() })
	var none *NoProcessError
	if !errors.As(err, &none) || ExitCode(err) != ExitNoProcess {
		t.Errorf("Events: %v, want a NoProcessError", err)
	}
}

func TestVersionAndPaths(t *testing.T) {
	s := serve(t, quick)
	s.want(t, "GET", "/v1/version", "", 200, `{"tapstack":"v1.2.3","go":"go1.26","gvisor":"v0.1"}`)
	s.wantError(t, "GET", "/", "", 404, "not_found", 4)
	s.wantError(t, "GET", "/v2/addr", "", 404, "not_found", 4)
	s.wantError(t, "PUT", "/v1/addr", "", 400, "invalid", 2)
	s.wantError(t, "DELETE", "/v1/version", "", 400, "invalid", 2)
	s.wantError(t, "GET", "/v1/neigh/flush", "", 400, "invalid", 2)
	s.wantError(t, "GET", "/v1/addr?iface=tap0", "", 400, "invalid", 2)
	s.wantError(t, "POST", "/v1/addr?interface=tap0", `{"address":"2001:db8::5"}`, 400, "invalid", 2)
}

// With several interfaces a request has to say which.
func TestSeveralInterfaces(t *testing.T) {
	s := serve(t, quick)
	a, b := newPipe()
	t.Cleanup(func() { b.Close() })
	if _, err := s.server.stack.Attach("tap1", a, stack.InterfaceConfig{Down: true}); err != nil {
		t.Fatal(err)
	}
	s.wantError(t, "POST", "/v1/addr", `{"address":"2001:db8::5"}`, 400, "invalid", 2)
	s.wantError(t, "POST", "/v1/neigh/flush", `{}`, 400, "invalid", 2)
	s.want(t, "POST", "/v1/addr", `{"address":"2001:db8::5%tap0"}`, 200, `{}`)
	if l, err := s.Links(t.Context(), ""); err != nil || len(l) != 2 {
		t.Errorf("links %v, %v, want two", l, err)
	}
	if l, err := s.Links(t.Context(), "tap1"); err != nil || len(l) != 1 || l[0].Up {
		t.Errorf("links of tap1 %v, %v, want one that is down", l, err)
	}
}

// FuzzControl: whatever the request, the answer is JSON with one of the
// documented statuses, and nothing panics.
func FuzzControl(f *testing.F) {
	paths := []string{"/v1/addr", "/v1/addr/accept", "/v1/addr/failures", "/v1/route", "/v1/route/get", "/v1/neigh", "/v1/neigh/flush", "/v1/maddr", "/v1/link", "/v1/ping", "/v1/version", "/"}
	for _, p := range paths {
		for _, m := range []string{"GET", "POST", "DELETE"} {
			f.Add(m, p, "", `{"address":"2001:db8::5","prefix_len":64,"timeout":0.001}`)
		}
	}
	f.Add("POST", "/v1/addr", "", `[{"address":"2001:db8::5","dad":"off","valid_lifetime":1},{"address":"2001:db8::9"}]`)
	f.Add("POST", "/v1/route", "", `{"destination":"::/0","next_hop":"fe80::1%tap0","metric":4294967295}`)
	f.Add("GET", "/v1/route/get", "destination=ff02::1&source=::", "")
	f.Add("POST", "/v1/link", "", `{"up":false,"mtu":1280}`)
	s := serve(f, quick)
	h := s.server.handler()
	f.Fuzz(func(t *testing.T, method, path, query, body string) {
		u := "http://tapstack" + path + "?" + query
		req, err := http.NewRequest(method, u, strings.NewReader(body))
		if err != nil || strings.HasPrefix(req.URL.Path, "/v1/events") || len(body) > 4096 {
			return // no request, or one that does not end
		}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Millisecond)
		defer cancel()
		w := httptest.NewRecorder()
		h.ServeHTTP(w, req.WithContext(ctx))
		switch w.Code {
		case 200:
			if !json.Valid(w.Body.Bytes()) {
				t.Errorf("%s %s %q: %q is not JSON", method, u, body, w.Body)
			}
		case 301, 307: // the mux cleans paths
		default:
			var e Error
			if err := json.Unmarshal(w.Body.Bytes(), &e); err != nil {
				t.Fatalf("%s %s %q: %d %q", method, u, body, w.Code, w.Body)
			}
			if status, ok := map[int]int{2: 400, 4: 404, 3: 409, 6: 409, 1: 503}[e.Exit]; !ok || status != w.Code {
				t.Errorf("%s %s %q: %d with %+v", method, u, body, w.Code, e)
			}
		}
	})
}
