package stack

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/tapstack/tapstack/dad"
	"github.com/tapstack/tapstack/mld"
	"github.com/tapstack/tapstack/nd"
	"github.com/tapstack/tapstack/rib"
)

// Profile is a choice among what the RFCs of different years ask for. Start
// from RFC2462, RFC4862 or Current and Set single knobs. Profiles compare with
// ==; the zero value is Current.
type Profile struct {
	transmits          count // DupAddrDetectTransmits
	retransTimer       time.Duration
	delayProbeOnly     bool
	acceptUnicastDst   bool
	plainConflicts     bool
	linkLocalFailure   linkLocalFailure
	noNonce            bool
	onLinkAssumption   bool
	keepUnreachable    bool
	mldv1              bool
	rfc3484            bool
	noMulticastRADelay bool
	threeSolicits      bool
	routerTypeA        bool
	lifetimeWithValid  bool
	matchAnyAddress    bool
}

// count is a number whose zero value means "the default".
type count int

// linkLocalFailure says what a duplicate link-local address does to the
// interface.
type linkLocalFailure uint8

const (
	disableIfHardware linkLocalFailure = iota // RFC 4862, section 5.4.5
	disableAlways                             // RFC 2462, section 5.4.5
	goOn
)

// Current is RFC 4862 with Enhanced DAD (RFC 7527), RFC 4191, RFC 6724 and
// RFC 7559.
func Current() Profile { return Profile{} }

// RFC4862 is RFC 4862 with RFC 4861, 3810 and 3484.
func RFC4862() Profile {
	return Profile{noNonce: true, rfc3484: true, threeSolicits: true, routerTypeA: true}
}

// RFC2462 is RFC 2462 with RFC 2461, 2710, 3590 and 3484.
func RFC2462() Profile {
	return Profile{
		noNonce: true, rfc3484: true, delayProbeOnly: true, acceptUnicastDst: true, plainConflicts: true,
		linkLocalFailure: disableAlways, onLinkAssumption: true, mldv1: true,
		noMulticastRADelay: true, threeSolicits: true, routerTypeA: true, lifetimeWithValid: true, matchAnyAddress: true,
	}
}

// ProfileByName returns the profile called rfc2462, rfc4862 or current.
func ProfileByName(name string) (Profile, error) {
	switch name {
	case "rfc2462":
		return RFC2462(), nil
	case "rfc4862":
		return RFC4862(), nil
	case "current":
		return Current(), nil
	}
	return Profile{}, &InvalidArgumentError{"profile " + strconv.Quote(name), "is none of rfc2462, rfc4862 and current"}
}

// Knob is one difference between profiles that can be set alone.
type Knob struct {
	Name   string
	Values string // for people: "on|off"
	RFC    string // where the choice comes from
	Doc    string
	set    func(p *Profile, value string) bool
}

func onOff(field func(*Profile) *bool) func(*Profile, string) bool { return choice("on", "off", field) }

// choice is a knob with two values, the first of which sets field.
func choice(yes, no string, field func(*Profile) *bool) func(*Profile, string) bool {
	return func(p *Profile, value string) bool {
		*field(p) = value == yes
		return value == yes || value == no
	}
}

var knobs = []Knob{
	{"dad_transmits", "0..255", "RFC 4862, section 5.1", "DupAddrDetectTransmits: number of probes; 0 turns DAD off", func(p *Profile, value string) bool {
		n, err := strconv.ParseUint(value, 10, 8)
		p.transmits = count(n)
		if n == 0 {
			p.transmits = dad.NoTransmits
		}
		return err == nil
	}},
	{"retrans_timer", "1ms..1h", "RFC 4861, section 10", "RetransTimer: time between probes, and between solicitations", func(p *Profile, value string) bool {
		d, err := time.ParseDuration(value)
		p.retransTimer = d
		return err == nil && d >= time.Millisecond && d <= time.Hour
	}},
	{"dad_first_delay", "join|solicit", "RFC 4862, section 5.4.2", "what the random delay at start holds back: the join with its report, or (RFC 2462) the solicitation alone",
		choice("solicit", "join", func(p *Profile) *bool { return &p.delayProbeOnly })},
	{"dad_delay_multicast_ra", "on|off", "RFC 4862, section 5.4.2", "delay the test of an address that stems from a Router Advertisement to a group",
		choice("off", "on", func(p *Profile) *bool { return &p.noMulticastRADelay })},
	{"dad_drop_unicast_dst", "on|off", "RFC 4862, section 5.4", "drop solicitations and advertisements sent to the tentative address itself",
		choice("off", "on", func(p *Profile) *bool { return &p.acceptUnicastDst })},
	{"dad_na_for_assigned", "report|plain", "RFC 4862, section 5.4.4", "an advertisement for an assigned address: report the conflict, or treat it as plain Neighbor Discovery (RFC 2461)",
		choice("plain", "report", func(p *Profile) *bool { return &p.plainConflicts })},
	{"dad_ll_failure", "hardware|interface|continue", "RFC 4862, section 5.4.5", "a duplicate link-local address disables IPv6 if it was formed from the hardware address, in any case (RFC 2462), or never", func(p *Profile, value string) bool {
		f, ok := map[string]linkLocalFailure{"hardware": disableIfHardware, "interface": disableAlways, "continue": goOn}[value]
		p.linkLocalFailure = f
		return ok
	}},
	{"enhanced_dad", "on|off", "RFC 7527", "tell own probes that the link loops back by a nonce",
		choice("off", "on", func(p *Profile) *bool { return &p.noNonce })},
	{"onlink_assumption", "on|off", "RFC 2461, section 5.2", "without a default router, take every destination to be on-link",
		onOff(func(p *Profile) *bool { return &p.onLinkAssumption })},
	{"nud_exhausted", "delete|unreachable", "RFC 7048", "a neighbor that does not answer probes is forgotten, or kept and probed with back-off",
		choice("unreachable", "delete", func(p *Profile) *bool { return &p.keepUnreachable })},
	{"mld_version", "1|2", "RFC 2710, RFC 3810", "the version that Multicast Listener Discovery starts with",
		choice("1", "2", func(p *Profile) *bool { return &p.mldv1 })},
	{"lifetime_preferred", "always|with_valid", "RFC 4862, section 5.5.3", "the preferred lifetime of an address follows every advertisement, or (RFC 2462) only those whose valid lifetime counts",
		choice("with_valid", "always", func(p *Profile) *bool { return &p.lifetimeWithValid })},
	{"slaac_match_scope", "equal|any", "RFC 4862, section 5.5.3", "no address is formed for a prefix that has one by autoconfiguration, or (RFC 2462) by any means",
		choice("any", "equal", func(p *Profile) *bool { return &p.matchAnyAddress })},
	{"rs_schedule", "backoff|three", "RFC 7559", "solicit routers until one answers, with back-off, or (RFC 4861) three times",
		choice("three", "backoff", func(p *Profile) *bool { return &p.threeSolicits })},
	{"router_type", "A|C", "RFC 4191, section 3", "ignore router preferences and route information, or heed them",
		choice("A", "C", func(p *Profile) *bool { return &p.routerTypeA })},
	{"sas", "3484|6724", "RFC 6724", "the rules of source address selection",
		choice("3484", "6724", func(p *Profile) *bool { return &p.rfc3484 })},
}

// Knobs lists every knob.
func Knobs() []Knob { return knobs }

// Set sets one knob. The error is an *InvalidArgumentError that names the
// knobs, or the values of this one; p is then unchanged.
func (p *Profile) Set(knob, value string) error {
	var names []string
	for _, k := range knobs {
		if k.Name == knob {
			changed := *p
			if !k.set(&changed, value) {
				return &InvalidArgumentError{"value " + strconv.Quote(value), fmt.Sprintf("is not one of %s for the knob %s", k.Values, knob)}
			}
			*p = changed
			return nil
		}
		names = append(names, k.Name)
	}
	return &InvalidArgumentError{"knob " + strconv.Quote(knob), "is none of " + strings.Join(names, ", ")}
}

// disablesIPv6 says whether a duplicate of the link-local address that the
// interface formed from its hardware address disables IPv6 there.
func (p Profile) disablesIPv6() bool { return p.linkLocalFailure != goOn }

func (p Profile) dadConfig(c CoreConfig) dad.Config {
	return dad.Config{
		LinkAddr: c.LinkAddr, Loopback: c.Loopback,
		DupAddrDetectTransmits: int(p.transmits), RetransTimer: p.retransTimer,
		DelayProbeOnly: p.delayProbeOnly, AcceptUnicastDst: p.acceptUnicastDst,
		NoMulticastRADelay: p.noMulticastRADelay, NoNonce: p.noNonce,
	}
}

func (p Profile) neighborConfig(c CoreConfig) nd.NeighborConfig {
	return nd.NeighborConfig{
		LinkAddr: c.LinkAddr, RetransTimer: p.retransTimer, MaxEntries: c.MaxNeighbors,
		KeepUnreachable: p.keepUnreachable, PlainAdvertForAssigned: p.plainConflicts,
	}
}

func (p Profile) mldConfig(c CoreConfig) mld.Config {
	cfg := mld.Config{MTU: c.MTU}
	if c.MaxGroups != 0 {
		// An address that cannot join its group cannot be tested: what others
		// join must not take its room. One more is for the interface's own
		// link-local address, one for the all-nodes group.
		cfg.MaxGroups = c.MaxGroups + c.MaxAddresses + 2
	}
	if p.mldv1 {
		cfg.Version = 1
	}
	return cfg
}

func (p Profile) routerConfig(c CoreConfig) nd.RouterConfig {
	return nd.RouterConfig{LinkMTU: c.MTU, Backoff: !p.threeSolicits, Preferences: !p.routerTypeA}
}

func (p Profile) autoconfConfig(c CoreConfig) nd.AutoconfConfig {
	return nd.AutoconfConfig{
		LinkAddr: c.LinkAddr, NoLinkLocal: true, DupAddrDetectTransmits: int(p.transmits), RetransTimer: p.retransTimer,
		PreferredOnlyWithValid: p.lifetimeWithValid, MatchAnyAddress: p.matchAnyAddress,
	}
}

func (p Profile) ribConfig(c CoreConfig) rib.Config {
	return rib.Config{OnLinkAssumption: p.onLinkAssumption, RFC3484: p.rfc3484, MaxRoutes: c.MaxRoutes}
}
