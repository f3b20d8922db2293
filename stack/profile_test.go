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

// configs are what a profile comes to for the machines, the Core and the
// sockets.
type configs struct {
	DAD       dad.Config
	Neighbors nd.NeighborConfig
	MLD       mld.Config
	RIB       rib.Config
	Routers   nd.RouterConfig
	Autoconf  nd.AutoconfConfig
	Failure   linkLocalFailure

	Optimistic, SkipSameIID, NoGratuitousNA, OnLinkFromND, NoRedirects, NoFlowLabel, NoUnreachables bool
}

func configsOf(p Profile) configs {
	var c CoreConfig
	return configs{
		p.dadConfig(c), p.neighborConfig(c), p.mldConfig(c), p.ribConfig(c), p.routerConfig(c), p.autoconfConfig(c), p.linkLocalFailure,
		p.optimisticDAD, p.skipSameIID, p.noGratuitousNA, p.onLinkFromND, p.ignoreRedirects, p.noFlowLabel, p.noUnreachables,
	}
}

// current is what the profile Current comes to, changed.
func current(change func(*configs)) configs {
	c := configs{
		Neighbors: nd.NeighborConfig{KeepUnreachable: true},
		Routers:   nd.RouterConfig{Backoff: true, Preferences: true},
		Autoconf:  nd.AutoconfConfig{Identifiers: nd.StableIdentifiers, Temporary: true},
	}
	change(&c)
	return c
}

// The table of profiles, knob by knob.
//
// Spec: RFC 7559, section 3, MUST, RS-R09
func TestProfiles(t *testing.T) {
	for name, want := range map[string]configs{
		"current": current(func(*configs) {}),
		"rfc4862": {
			DAD: dad.Config{NoNonce: true}, RIB: rib.Config{RFC3484: true, TypeA: true},
			NoGratuitousNA: true, OnLinkFromND: true,
		},
		"rfc2462": {
			DAD:       dad.Config{NoNonce: true, DelayProbeOnly: true, AcceptUnicastDst: true, NoMulticastRADelay: true},
			Neighbors: nd.NeighborConfig{PlainAdvertForAssigned: true},
			MLD:       mld.Config{Version: 1},
			RIB:       rib.Config{RFC3484: true, TypeA: true, OnLinkAssumption: true},
			Routers:   nd.RouterConfig{StickyFlags: true},
			Autoconf:  nd.AutoconfConfig{PreferredOnlyWithValid: true, MatchAnyAddress: true},
			Failure:   disableAlways, NoGratuitousNA: true, OnLinkFromND: true,
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
		change      func(*configs)
	}{
		"dad_transmits": {"0", "1", func(c *configs) {
			c.DAD.DupAddrDetectTransmits, c.Autoconf.DupAddrDetectTransmits = dad.NoTransmits, dad.NoTransmits
		}},
		"retrans_timer": {"2s", "1s", func(c *configs) {
			c.DAD.RetransTimer, c.Neighbors.RetransTimer, c.Autoconf.RetransTimer = 2*time.Second, 2*time.Second, 2*time.Second
		}},
		"dad_first_delay":        {"solicit", "join", func(c *configs) { c.DAD.DelayProbeOnly = true }},
		"dad_delay_multicast_ra": {"off", "on", func(c *configs) { c.DAD.NoMulticastRADelay = true }},
		"lifetime_preferred":     {"with_valid", "always", func(c *configs) { c.Autoconf.PreferredOnlyWithValid = true }},
		"slaac_match_scope":      {"any", "equal", func(c *configs) { c.Autoconf.MatchAnyAddress = true }},
		"rs_schedule":            {"three", "backoff", func(c *configs) { c.Routers.Backoff = false }},
		"router_type":            {"A", "C", func(c *configs) { c.Routers.Preferences, c.RIB.TypeA = false, true }},
		"dad_drop_unicast_dst":   {"off", "on", func(c *configs) { c.DAD.AcceptUnicastDst = true }},
		"dad_na_for_assigned":    {"plain", "report", func(c *configs) { c.Neighbors.PlainAdvertForAssigned = true }},
		"dad_ll_failure":         {"continue", "hardware", func(c *configs) { c.Failure = goOn }},
		"enhanced_dad":           {"off", "on", func(c *configs) { c.DAD.NoNonce = true }},
		"optimistic_dad":         {"on", "off", func(c *configs) { c.Optimistic = true }},
		"dad_skip_same_iid":      {"off", "off", func(*configs) {}}, // on: TestDAD_R06
		"onlink_assumption":      {"on", "off", func(c *configs) { c.RIB.OnLinkAssumption = true }},
		"onlink_from_nd":         {"on", "off", func(c *configs) { c.OnLinkFromND = true }},
		"nud_exhausted":          {"delete", "unreachable", func(c *configs) { c.Neighbors.KeepUnreachable = false }},
		"mld_version":            {"1", "2", func(c *configs) { c.MLD.Version = 1 }},
		"mld_ignore_v1":          {"on", "off", func(c *configs) { c.MLD.IgnoreV1 = true }},
		"mld_burst":              {"16", "0", func(c *configs) { c.MLD.Burst = 16 }},
		"mld_gap":                {"1s", "100ms", func(c *configs) { c.MLD.Gap = time.Second }},
		"sas":                    {"3484", "6724", func(c *configs) { c.RIB.RFC3484 = true }},
		"redirects":              {"off", "on", func(c *configs) { c.NoRedirects = true }},
		"iid":                    {"eui64", "stable", func(c *configs) { c.Autoconf.Identifiers = nd.HardwareIdentifiers }},
		"temp_addresses":         {"off", "on", func(c *configs) { c.Autoconf.Temporary = false }},
		"gratuitous_na":          {"off", "on", func(c *configs) { c.NoGratuitousNA = true }},
		"m_o_flags":              {"sticky", "event", func(c *configs) { c.Routers.StickyFlags = true }},
		"flow_label":             {"off", "on", func(c *configs) { c.NoFlowLabel = true }},
		"unreachables":           {"off", "on", func(c *configs) { c.NoUnreachables = true }},
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
		if diff := cmp.Diff(current(test.change), configsOf(p)); diff != "" {
			t.Errorf("%s=%s (-want +got):\n%s", k.Name, test.value, diff)
		}
		before := p
		if err := p.Set(k.Name, "nonsense"); err == nil || !strings.Contains(err.Error(), k.Values) || p != before {
			t.Errorf("%s=nonsense: %v, changed: %v", k.Name, err, p != before)
		}
		if err := p.Set(k.Name, test.back); err != nil {
			t.Error(err)
		}
		if cfg := configsOf(p); k.Values != "0..255" && !strings.HasPrefix(k.Values, "1ms..") && !cmp.Equal(cfg, configsOf(Current())) {
			t.Errorf("%s=%s is not the default: %+v", k.Name, test.back, cfg)
		}
	}
	p := Current()
	if err := p.Set("nonsense", "on"); err == nil || !strings.Contains(err.Error(), "enhanced_dad") {
		t.Errorf("an unknown knob: %v", err)
	}
}
