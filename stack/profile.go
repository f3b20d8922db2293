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
	deleteUnreachable  bool
	mldv1              bool
	mldIgnoreV1        bool
	mldBurst           count
	mldGap             time.Duration
	rfc3484            bool
	noMulticastRADelay bool
	threeSolicits      bool
	routerTypeA        bool
	lifetimeWithValid  bool
	matchAnyAddress    bool
	identifiers        identifiers
	noTemporary        bool
	optimisticDAD      bool
	skipSameIID        bool
	maySkipSameIID     bool // RFC 4862, section 5.4, forbids it
	noGratuitousNA     bool
	onLinkFromND       bool
	stickyFlags        bool
	ignoreRedirects    bool
	noFlowLabel        bool
	noUnreachables     bool
}

// identifiers says how the identifiers of autoconfigured addresses are made.
type identifiers uint8

const (
	stableIdentifiers   identifiers = iota // RFC 7217
	hardwareIdentifiers                    // RFC 2464, section 4
	randomIdentifiers
)

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

// Current is RFC 4862 with what came after it: RFC 4191, 4311, 5942, 6724,
// 7048, 7217, 7527, 7559, 8028, 8981 and 9131.
func Current() Profile { return Profile{} }

// RFC4862 is RFC 4862 with RFC 4861, 3810 and 3484.
func RFC4862() Profile {
	return Profile{
		noNonce: true, rfc3484: true, threeSolicits: true, routerTypeA: true, deleteUnreachable: true,
		identifiers: hardwareIdentifiers, noTemporary: true, noGratuitousNA: true, onLinkFromND: true,
	}
}

// RFC2462 is RFC 2462 with RFC 2461, 2710, 3590 and 3484.
func RFC2462() Profile {
	return Profile{
		noNonce: true, rfc3484: true, delayProbeOnly: true, acceptUnicastDst: true, plainConflicts: true,
		linkLocalFailure: disableAlways, onLinkAssumption: true, mldv1: true,
		noMulticastRADelay: true, threeSolicits: true, routerTypeA: true, lifetimeWithValid: true, matchAnyAddress: true,
		deleteUnreachable: true, identifiers: hardwareIdentifiers, noTemporary: true, noGratuitousNA: true,
		onLinkFromND: true, stickyFlags: true, maySkipSameIID: true,
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
	{"optimistic_dad", "on|off", "RFC 4429", "use autoconfigured addresses while they are tested",
		onOff(func(p *Profile) *bool { return &p.optimisticDAD })},
	{"dad_skip_same_iid", "on|off", "RFC 2462, section 5.4", "do not test an autoconfigured address whose interface identifier the link-local address has; only with the profile rfc2462",
		onOff(func(p *Profile) *bool { return &p.skipSameIID })},
	{"onlink_assumption", "on|off", "RFC 2461, section 5.2", "without a default router, take every destination to be on-link",
		onOff(func(p *Profile) *bool { return &p.onLinkAssumption })},
	{"onlink_from_nd", "on|off", "RFC 5942, section 3", "take a neighbor that Neighbor Discovery was heard from to be on-link, as RFC 4861, section 2.1, has it",
		onOff(func(p *Profile) *bool { return &p.onLinkFromND })},
	{"nud_exhausted", "delete|unreachable", "RFC 7048", "a neighbor that does not answer probes is forgotten, or kept and probed with back-off",
		choice("delete", "unreachable", func(p *Profile) *bool { return &p.deleteUnreachable })},
	{"mld_version", "1|2", "RFC 2710, RFC 3810", "the version that Multicast Listener Discovery starts with",
		choice("1", "2", func(p *Profile) *bool { return &p.mldv1 })},
	{"mld_ignore_v1", "on|off", "RFC 3810, section 10.1", "be deaf to queries of version 1, with which anybody can turn source filters off; not for a link whose querier speaks nothing else",
		onOff(func(p *Profile) *bool { return &p.mldIgnoreV1 })},
	{"mld_burst", "0..65535", "RFC 3590, section 4", "how many reports are sent back to back when another link-local address has all groups reported again; 0: all", func(p *Profile, value string) bool {
		n, err := strconv.ParseUint(value, 10, 16)
		p.mldBurst = count(n)
		return err == nil
	}},
	{"mld_gap", "1ms..10s", "RFC 3590, section 4", "the time between two such bursts", func(p *Profile, value string) bool {
		d, err := time.ParseDuration(value)
		p.mldGap = d
		return err == nil && d >= time.Millisecond && d <= 10*time.Second
	}},
	{"lifetime_preferred", "always|with_valid", "RFC 4862, section 5.5.3", "the preferred lifetime of an address follows every advertisement, or (RFC 2462) only those whose valid lifetime counts",
		choice("with_valid", "always", func(p *Profile) *bool { return &p.lifetimeWithValid })},
	{"slaac_match_scope", "equal|any", "RFC 4862, section 5.5.3", "no address is formed for a prefix that has one by autoconfiguration, or (RFC 2462) by any means",
		choice("any", "equal", func(p *Profile) *bool { return &p.matchAnyAddress })},
	{"rs_schedule", "backoff|three", "RFC 7559", "solicit routers until one answers, with back-off, or (RFC 4861) three times",
		choice("three", "backoff", func(p *Profile) *bool { return &p.threeSolicits })},
	{"router_type", "A|C", "RFC 4191, section 3", "ignore router preferences and route information, or heed them, share load (RFC 4311) and prefer the router that advertised the source's prefix (RFC 8028)",
		choice("A", "C", func(p *Profile) *bool { return &p.routerTypeA })},
	{"redirects", "on|off", "RFC 8504, section 5.4", "heed Redirect messages",
		choice("off", "on", func(p *Profile) *bool { return &p.ignoreRedirects })},
	{"iid", "eui64|stable|random", "RFC 8064", "interface identifiers are made of the link-layer address, opaque and always the same in a network (RFC 7217), or others each time", func(p *Profile, value string) bool {
		i, ok := map[string]identifiers{"eui64": hardwareIdentifiers, "stable": stableIdentifiers, "random": randomIdentifiers}[value]
		p.identifiers = i
		return ok
	}},
	{"temp_addresses", "on|off", "RFC 8981", "form temporary addresses too",
		choice("off", "on", func(p *Profile) *bool { return &p.noTemporary })},
	{"gratuitous_na", "on|off", "RFC 9131", "advertise a new global address to the routers",
		choice("off", "on", func(p *Profile) *bool { return &p.noGratuitousNA })},
	{"m_o_flags", "event|sticky", "RFC 2462, section 5.2", "tell of every change of the flags M and O, or (RFC 2462) only of the first advertisement that sets one",
		choice("sticky", "event", func(p *Profile) *bool { return &p.stickyFlags })},
	{"flow_label", "on|off", "RFC 8504, section 5.1", "label packets with a hash of their flow (RFC 6437)",
		choice("off", "on", func(p *Profile) *bool { return &p.noFlowLabel })},
	{"unreachables", "on|off", "RFC 4443, section 3.1", "send Destination Unreachable messages",
		choice("off", "on", func(p *Profile) *bool { return &p.noUnreachables })},
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
			if changed.skipSameIID && !changed.maySkipSameIID {
				return &InvalidArgumentError{"knob " + knob, "can be on with the profile rfc2462 alone: RFC 4862, section 5.4, forbids it"}
			}
			*p = changed
			return nil
		}
		names = append(names, k.Name)
	}
	return &InvalidArgumentError{"knob " + strconv.Quote(knob), "is none of " + strings.Join(names, ", ")}
}

// disablesIPv6 says whether it disables IPv6 on the interface that the
// link-local address which it formed is a duplicate, and no other is tried.
// hardware: it was formed from the hardware address.
func (p Profile) disablesIPv6(hardware bool) bool {
	return p.linkLocalFailure == disableAlways || p.linkLocalFailure == disableIfHardware && hardware
}

// NeedsSecret reports whether interface identifiers are made with the help of
// Identity.Secret.
func (p Profile) NeedsSecret() bool { return p.identifiers == stableIdentifiers }

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
		KeepUnreachable: !p.deleteUnreachable, PlainAdvertForAssigned: p.plainConflicts,
	}
}

func (p Profile) mldConfig(c CoreConfig) mld.Config {
	cfg := mld.Config{
		MTU: c.MTU, IgnoreV1: p.mldIgnoreV1, Burst: int(p.mldBurst), Gap: p.mldGap, MaxSources: c.MaxSources,
	}
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
	return nd.RouterConfig{LinkMTU: c.MTU, Backoff: !p.threeSolicits, Preferences: !p.routerTypeA, StickyFlags: p.stickyFlags}
}

func (p Profile) autoconfConfig(c CoreConfig) nd.AutoconfConfig {
	return nd.AutoconfConfig{
		LinkAddr: c.LinkAddr, NoLinkLocal: c.NoLinkLocal,
		Identifiers: [...]nd.Identifiers{
			stableIdentifiers: nd.StableIdentifiers, hardwareIdentifiers: nd.HardwareIdentifiers, randomIdentifiers: nd.RandomIdentifiers,
		}[p.identifiers],
		Secret: c.Identity.Secret, NetIface: c.Identity.NetIface, NetworkID: c.Identity.NetworkID, Counters: c.Identity.Counters,
		Temporary: !p.noTemporary, DupAddrDetectTransmits: int(p.transmits), RetransTimer: p.retransTimer,
		PreferredOnlyWithValid: p.lifetimeWithValid, MatchAnyAddress: p.matchAnyAddress,
	}
}

func (p Profile) ribConfig(c CoreConfig) rib.Config {
	return rib.Config{
		OnLinkAssumption: p.onLinkAssumption, RFC3484: p.rfc3484, TypeA: p.routerTypeA,
		Policy: c.Policy, MaxRoutes: c.MaxRoutes, MaxRedirects: c.MaxRedirects,
	}
}
