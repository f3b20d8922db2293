package stack

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tapstack/tapstack/dad"
	"github.com/tapstack/tapstack/mld"
	"github.com/tapstack/tapstack/nd"
	"github.com/tapstack/tapstack/rib"
)

// configs are what a profile comes to for the machines.
type configs struct {
	DAD       dad.Config
	Neighbors nd.NeighborConfig
	MLD       mld.Config
	RIB       rib.Config
	Failure   linkLocalFailure
	Routers   nd.RouterConfig
	Lifetime  bool
	Match     bool
}

func configsOf(p Profile) configs {
	var c CoreConfig
	autoconf := p.autoconfConfig(c)
	return configs{
		p.dadConfig(c), p.neighborConfig(c), p.mldConfig(c), p.ribConfig(c), p.linkLocalFailure,
		p.routerConfig(c), autoconf.PreferredOnlyWithValid, autoconf.MatchAnyAddress,
	}
}

// typeC is the profile Current.
var typeC = configs{Routers: nd.RouterConfig{Backoff: true, Preferences: true}}

// The table of profiles, knob by knob.
func TestProfiles(t *testing.T) {
	for name, want := range map[string]configs{
		"current": typeC,
		"rfc4862": {DAD: dad.Config{NoNonce: true}, RIB: rib.Config{RFC3484: true}},
		"rfc2462": {
			DAD:       dad.Config{NoNonce: true, DelayProbeOnly: true, AcceptUnicastDst: true, NoMulticastRADelay: true},
			Neighbors: nd.NeighborConfig{PlainAdvertForAssigned: true},
			MLD:       mld.Config{Version: 1},
			RIB:       rib.Config{RFC3484: true, OnLinkAssumption: true},
			Failure:   disableAlways,
			Lifetime:  true,
			Match:     true,
		},
	} {
		p, err := ProfileByName(name)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, configsOf(p)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	var invalid *InvalidArgumentError
	if _, err := ProfileByName("rfc1"); !errors.As(err, &invalid) {
		t.Errorf("an unknown profile: %v", err)
	}
}

// Every knob turns what it says, alone, and back.
func TestKnobs(t *testing.T) {
	tests := map[string]struct {
		value, back string
		want        configs
	}{
		"dad_transmits":          {"0", "1", configs{DAD: dad.Config{DupAddrDetectTransmits: dad.NoTransmits}}},
		"retrans_timer":          {"2s", "1s", configs{DAD: dad.Config{RetransTimer: 2 * time.Second}, Neighbors: nd.NeighborConfig{RetransTimer: 2 * time.Second}}},
		"dad_first_delay":        {"solicit", "join", configs{DAD: dad.Config{DelayProbeOnly: true}}},
		"dad_delay_multicast_ra": {"off", "on", configs{DAD: dad.Config{NoMulticastRADelay: true}}},
		"lifetime_preferred":     {"with_valid", "always", configs{Lifetime: true}},
		"slaac_match_scope":      {"any", "equal", configs{Match: true}},
		"rs_schedule":            {"three", "backoff", configs{Routers: nd.RouterConfig{Preferences: true}}},
		"router_type":            {"A", "C", configs{Routers: nd.RouterConfig{Backoff: true}}},
		"dad_drop_unicast_dst":   {"off", "on", configs{DAD: dad.Config{AcceptUnicastDst: true}}},
		"dad_na_for_assigned":    {"plain", "report", configs{Neighbors: nd.NeighborConfig{PlainAdvertForAssigned: true}}},
		"dad_ll_failure":         {"continue", "hardware", configs{Failure: goOn}},
		"enhanced_dad":           {"off", "on", configs{DAD: dad.Config{NoNonce: true}}},
		"onlink_assumption":      {"on", "off", configs{RIB: rib.Config{OnLinkAssumption: true}}},
		"nud_exhausted":          {"unreachable", "delete", configs{Neighbors: nd.NeighborConfig{KeepUnreachable: true}}},
		"mld_version":            {"1", "2", configs{MLD: mld.Config{Version: 1}}},
		"sas":                    {"3484", "6724", configs{RIB: rib.Config{RFC3484: true}}},
	}
	for _, k := range Knobs() {
		test, ok := tests[k.Name]
		if !ok {
			t.Errorf("no test for the knob %s", k.Name)
			continue
		}
		p := Current()
		if err := p.Set(k.Name, test.value); err != nil {
			t.Error(err)
		}
		if test.want.Routers == (nd.RouterConfig{}) {
			test.want.Routers = typeC.Routers
		}
		if diff := cmp.Diff(test.want, configsOf(p)); diff != "" {
			t.Errorf("%s=%s (-want +got):\n%s", k.Name, test.value, diff)
		}
		before := p
		if err := p.Set(k.Name, "nonsense"); err == nil || !strings.Contains(err.Error(), k.Values) || p != before {
			t.Errorf("%s=nonsense: %v, changed: %v", k.Name, err, p != before)
		}
		if err := p.Set(k.Name, test.back); err != nil {
			t.Error(err)
		}
		if cfg := configsOf(p); k.Values != "0..255" && k.Values != "1ms..1h" && !cmp.Equal(cfg, typeC) {
			t.Errorf("%s=%s is not the default: %+v", k.Name, test.back, cfg)
		}
	}
	p := Current()
	if err := p.Set("nonsense", "on"); err == nil || !strings.Contains(err.Error(), "enhanced_dad") {
		t.Errorf("an unknown knob: %v", err)
	}
}
