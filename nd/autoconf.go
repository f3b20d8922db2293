package nd

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/tapstack/tapstack/internal/timerq"
)

// AutoconfConfig parametrises Autoconf. The zero value with a LinkAddr is
// RFC 4862 with identifiers made of the link-layer address and without
// temporary addresses.
type AutoconfConfig struct {
	// LinkAddr is what HardwareIdentifiers are made of.
	LinkAddr LinkAddr
	// Identifiers says how the identifiers of all but temporary addresses are
	// made.
	Identifiers Identifiers
	// IdentifierBits is the length of an identifier, which the link type
	// defines: 1 to 64; 0 means 64, that of Ethernet (RFC 2464, section 4).
	// With less than 64 only the last bits of an identifier are used.
	IdentifierBits int
	// NoLinkLocal leaves the forming of link-local addresses to others.
	NoLinkLocal bool

	// Of StableIdentifiers (RFC 7217, section 5). Secret has 16 octets or
	// more and serves nothing else; NetIface stays the same over restarts and
	// differs from that of every other interface; NetworkID may be empty.
	Secret              []byte
	NetIface, NetworkID string
	// Counters are those that SaveCounter told.
	Counters []DADCounter

	// Temporary also forms temporary addresses (RFC 8981).
	Temporary             bool
	TempValidLifetime     time.Duration // 0 means 48 h
	TempPreferredLifetime time.Duration // less than TempValidLifetime; 0 means 24 h
	// What Duplicate Address Detection takes, so that a temporary address can
	// be replaced in time (REGEN_ADVANCE).
	DupAddrDetectTransmits int           // 0 means 1, less than 0 none
	RetransTimer           time.Duration // 0 means 1 s

	// PreferredOnlyWithValid is RFC 2462: an option whose valid lifetime is
	// ignored does not change the preferred lifetime either.
	PreferredOnlyWithValid bool
	// MatchAnyAddress is RFC 2462: no address is formed for the prefix of any
	// address of the interface, also one that was configured by other means.
	MatchAnyAddress bool

	// MaxPrefixes bounds the prefixes that addresses are formed for; 0 means
	// 16. Those beyond it are ignored.
	MaxPrefixes int
	// MaxAddressesPerPrefix bounds the addresses of one prefix; 0 means 64.
	MaxAddressesPerPrefix int
}

// Identifiers is a way to make interface identifiers.
type Identifiers uint8

const (
	// HardwareIdentifiers are Modified EUI-64 (RFC 2464, section 4).
	HardwareIdentifiers Identifiers = iota
	// StableIdentifiers are opaque, and the same whenever the interface
	// returns to a network (RFC 7217), which RFC 8064 recommends.
	StableIdentifiers
	// RandomIdentifiers are others each time.
	RandomIdentifiers
)

const (
	idgenRetries     = 3 // RFC 7217, section 7
	idgenDelay       = time.Second
	tempIdgenRetries = 3 // RFC 8981, section 3.8
	twoHours         = 2 * time.Hour

	minSecret = 16 // octets: "The secret key SHOULD be of at least 128 bits" (RFC 7217, section 5)
)

func (c AutoconfConfig) withDefaults() AutoconfConfig {
	setDefault(&c.IdentifierBits, 64)
	setDefault(&c.TempValidLifetime, 48*time.Hour)
	setDefault(&c.TempPreferredLifetime, 24*time.Hour)
	setDefault(&c.DupAddrDetectTransmits, 1)
	setDefault(&c.RetransTimer, time.Second)
	setDefault(&c.MaxPrefixes, 16)
	setDefault(&c.MaxAddressesPerPrefix, 64)
	return c
}

// Validate reports what NewAutoconf would panic for.
func (c AutoconfConfig) Validate() error {
	c = c.withDefaults()
	switch {
	case c.Identifiers > RandomIdentifiers:
		return errors.New("there is no such way to make interface identifiers")
	case c.IdentifierBits < 1 || c.IdentifierBits > 64:
		return fmt.Errorf("interface identifiers cannot have %d bits", c.IdentifierBits)
	case c.Identifiers == HardwareIdentifiers && (c.LinkAddr.IsZero() || c.LinkAddr.IsMulticast()):
		return fmt.Errorf("no interface identifier can be made of the link-layer address %v", c.LinkAddr)
	case c.Identifiers == StableIdentifiers && len(c.Secret) < minSecret:
		return fmt.Errorf("the secret has less than %d octets", minSecret)
	case c.Identifiers == StableIdentifiers && c.NetIface == "":
		return errors.New("the interface has no name to make stable identifiers of")
	case c.Temporary && c.TempPreferredLifetime >= c.TempValidLifetime:
		return errors.New("temporary addresses would not be deprecated before they are invalid")
	case c.Temporary && c.maxDesync() < 0:
		return fmt.Errorf("temporary addresses would be preferred for less than %v", c.regenAdvance()+time.Second)
	}
	return nil
}

// regenAdvance is REGEN_ADVANCE of RFC 8981, section 3.8.
func (c AutoconfConfig) regenAdvance() time.Duration {
	return 2*time.Second + tempIdgenRetries*time.Duration(max(c.DupAddrDetectTransmits, 0))*c.RetransTimer
}

// maxDesync is MAX_DESYNC_FACTOR of RFC 8981, section 3.8. DESYNC_FACTOR "MUST
// be smaller than (TEMP_PREFERRED_LIFETIME - REGEN_ADVANCE)".
func (c AutoconfConfig) maxDesync() time.Duration {
	return min(c.TempPreferredLifetime/10*4, c.TempPreferredLifetime-c.regenAdvance()-time.Second)
}

// AutoconfCounters count what Autoconf did not do, since its start.
type AutoconfCounters struct {
	// PrefixesOfOddLength do not go with the length of an identifier.
	PrefixesOfOddLength uint64
	// LifetimesReversed had a preferred lifetime longer than the valid one.
	LifetimesReversed uint64
	// PrefixesRefused were more than MaxPrefixes.
	PrefixesRefused uint64
	// AddressesRefused were more than MaxAddressesPerPrefix.
	AddressesRefused uint64
}

// Autoconf is stateless address autoconfiguration of one interface: it forms
// the link-local address and those of advertised prefixes, and owns their
// lifetimes (RFC 4862, sections 5.3 and 5.5), with hardware, stable (RFC 7217)
// or random identifiers, and temporary addresses (RFC 8981).
//
// Every method must be called from one goroutine at a time.
//
// Deviation: RFC 4862, section 5.5.3 (d), would have an address that turned out
// to be a duplicate, or that was removed by hand, formed again with the next
// advertisement. It is not: recovery is the operator's.
type Autoconf struct {
	cfg      AutoconfConfig // LinkAddr changes
	random   Random
	now      time.Time
	out      []AutoconfAction
	counters AutoconfCounters
	timers   timerq.Queue[slaacTimer]

	up        bool
	linkLocal *slaacPrefix
	prefixes  map[netip.Prefix]*slaacPrefix
	entered   uint64 // prefixes so far
	addrs     map[netip.Addr]*slaacAddr

	claims map[[16]byte]struct{}
	// claimed is the number of claims in a subnet; only for MatchAnyAddress.
	claimed map[netip.Prefix]int
	// saved has the DAD counters that are not zero, the latest last.
	saved []DADCounter
}

// slaacTimer is what can be due. addr is nil unless it is an address's.
type slaacTimer struct {
	prefix *slaacPrefix
	addr   *slaacAddr
	kind   slaacTimerKind
}

type slaacTimerKind uint8

const (
	deprecation slaacTimerKind = iota
	invalidation
	expiry // of the prefix
	retry
	regeneration
)

// NewAutoconf returns a machine for an interface that is down. It panics if
// cfg does not Validate.
func NewAutoconf(cfg AutoconfConfig, r Random) *Autoconf {
	if err := cfg.Validate(); err != nil {
		panic("nd: " + err.Error())
	}
	m := &Autoconf{
		cfg:     cfg.withDefaults(),
		random:  r,
		claims:  make(map[[16]byte]struct{}),
		claimed: make(map[netip.Prefix]int),
	}
	m.cfg.Secret = slices.Clone(cfg.Secret)
	m.cfg.Counters = nil
	for _, c := range cfg.Counters {
		m.save(c)
	}
	m.forget()
	return m
}

// forget makes m know of no address.
func (m *Autoconf) forget() {
	m.up, m.linkLocal = false, nil
	m.prefixes = make(map[netip.Prefix]*slaacPrefix)
	m.addrs = make(map[netip.Addr]*slaacAddr)
	m.timers.Reset()
}

// Step does what is due at or before now, in time order, and then applies ev.
// A now that is earlier than one seen before counts as the latest seen.
// Addresses that are not known are ignored, and so is every prefix while the
// interface is down.
func (m *Autoconf) Step(now time.Time, ev AutoconfEvent) []AutoconfAction {
	m.fireDue(now)
	switch ev := ev.(type) {
	case AutoconfUp:
		m.start(ev.NoLinkLocal)
	case AutoconfLinkAddr:
		if !ev.LinkAddr.IsZero() && !ev.LinkAddr.IsMulticast() {
			m.cfg.LinkAddr = ev.LinkAddr
		}
	case AutoconfDown:
		m.stop()
	case AutoconfPrefix:
		if m.up {
			m.advertised(ev)
		}
	case AddressAssigned:
		m.assigned(ev.Addr)
	case AddressDuplicate:
		m.duplicate(ev.Addr)
	case AddressRemoved:
		m.removed(ev.Addr)
	case AddressClaimed:
		m.claim(ev.Addr)
	case AddressReleased:
		m.release(ev.Addr)
	}
	return m.take()
}

// Advance does what is due at or before now.
func (m *Autoconf) Advance(now time.Time) []AutoconfAction {
	m.fireDue(now)
	return m.take()
}

// Deadline returns when Advance has to be called next.
func (m *Autoconf) Deadline() (t time.Time, ok bool) { return m.timers.Next() }

// Counters returns the counters.
func (m *Autoconf) Counters() AutoconfCounters { return m.counters }

func (m *Autoconf) fireDue(now time.Time) {
	if now.Before(m.now) {
		now = m.now
	}
	for {
		t, at, ok := m.timers.PopDue(now)
		if !ok {
			break
		}
		m.now = at
		m.fire(t)
	}
	m.now = now
}

func (m *Autoconf) fire(t slaacTimer) {
	switch t.kind {
	case deprecation:
		m.deprecate(t.addr)
	case invalidation:
		m.remove(t.addr)
		m.replenish(t.prefix, false) // there may be room now
	case expiry:
		m.expire(t.prefix)
	case retry:
		m.form(t.prefix, false)
	case regeneration:
		m.replenish(t.prefix, false)
	}
}

func (m *Autoconf) emit(a AutoconfAction) { m.out = append(m.out, a) }

func (m *Autoconf) take() []AutoconfAction {
	out := m.out
	m.out = nil
	return out
}

// linkLocalPrefix is where link-local addresses are formed: "the well-known
// link-local prefix FE80::0" (RFC 4862, section 5.3).
var linkLocalPrefix = netip.MustParsePrefix("fe80::/64")

func (m *Autoconf) start(noLinkLocal bool) {
	if m.up {
		return
	}
	m.up = true
	if !m.cfg.NoLinkLocal && !noLinkLocal {
		m.linkLocal = m.newPrefix(linkLocalPrefix, LinkLocalAddress)
		m.linkLocal.preferred, m.linkLocal.valid = never, never
		m.form(m.linkLocal, false)
	}
}

// stop removes the addresses in the order in which they were formed.
func (m *Autoconf) stop() {
	all := make([]*slaacAddr, 0, len(m.addrs))
	for _, a := range m.addrs {
		all = append(all, a)
	}
	slices.SortFunc(all, func(a, b *slaacAddr) int { return cmp.Compare(a.seq, b.seq) })
	for _, a := range all {
		m.emit(RemoveAddress{a.addr})
	}
	m.forget()
}

func (m *Autoconf) claim(a netip.Addr) {
	if m.isClaimed(a) || !isUnicast(a) {
		return
	}
	m.claims[a.As16()] = struct{}{}
	if m.cfg.MatchAnyAddress {
		m.claimed[m.subnet(a)]++
	}
	if own := m.addrs[a]; own != nil {
		m.drop(own)
	}
}

func (m *Autoconf) isClaimed(a netip.Addr) bool {
	_, claimed := m.claims[a.As16()]
	return claimed
}

func (m *Autoconf) release(a netip.Addr) {
	if !m.isClaimed(a) {
		return
	}
	delete(m.claims, a.As16())
	if !m.cfg.MatchAnyAddress {
		return
	}
	subnet := m.subnet(a)
	if m.claimed[subnet]--; m.claimed[subnet] == 0 {
		delete(m.claimed, subnet)
	}
}

func (m *Autoconf) subnet(a netip.Addr) netip.Prefix {
	return netip.PrefixFrom(a, 128-m.cfg.IdentifierBits).Masked()
}

// counter returns the DAD_Counter to begin with. "It MUST be initialized to 0",
// or "to the recorded value if such an entry exists" (RFC 7217, section 5).
func (m *Autoconf) counter(prefix netip.Prefix) uint32 {
	for _, c := range m.saved {
		if c.Prefix == prefix {
			return c.Counter
		}
	}
	return 0
}

// save keeps a counter, in the place of the oldest one if there are too many:
// twice as many as prefixes, so that those of other networks are kept too.
func (m *Autoconf) save(c DADCounter) {
	c.Prefix = c.Prefix.Masked()
	m.saved = slices.DeleteFunc(m.saved, func(old DADCounter) bool { return old.Prefix == c.Prefix })
	if len(m.saved) >= 2*m.cfg.MaxPrefixes {
		m.saved = slices.Delete(m.saved, 0, 1)
	}
	m.saved = append(m.saved, c)
}
