package mld

import (
	"net/netip"
	"time"
)

var (
	allNodes     = netip.MustParseAddr("ff02::1")
	allRouters   = netip.MustParseAddr("ff02::2")
	allMLDv2     = netip.MustParseAddr("ff02::16") // RFC 3810, section 5.2.14
	linkLocalNet = netip.MustParsePrefix("fe80::/10")
)

// Message is one of *Query, *ReportV1, *DoneV1 and *ReportV2. A Message that
// Parse returned is valid; a Machine does not check it again.
type Message interface{ isMessage() }

// Query is a Multicast Listener Query (RFC 3810, section 5.1; RFC 2710,
// section 3). One of version 1 has only Version, MaxResponseDelay and Group.
type Query struct {
	Version          int           // 1 or 2
	MaxResponseDelay time.Duration // whole milliseconds
	Group            netip.Addr    // the unspecified address in a General Query
	Sources          []netip.Addr
	Suppress         bool          // S flag: suppress router-side processing
	QRV              uint8         // the querier's Robustness Variable, 0 to 7
	QQI              time.Duration // the querier's Query Interval, whole seconds
}

// ReportV1 is a Version 1 Multicast Listener Report (RFC 2710, section 3).
type ReportV1 struct{ Group netip.Addr }

// DoneV1 is a Version 1 Multicast Listener Done (RFC 2710, section 3).
type DoneV1 struct{ Group netip.Addr }

// ReportV2 is a Version 2 Multicast Listener Report (RFC 3810, section 5.2).
type ReportV2 struct{ Records []Record }

// Record is a Multicast Address Record (RFC 3810, section 5.2.4).
type Record struct {
	Type    RecordType
	Group   netip.Addr
	Sources []netip.Addr
}

// RecordType is the type of a Record.
type RecordType uint8

// The record types of RFC 3810, section 5.2.12.
const (
	ModeIsInclude       RecordType = iota + 1 // IS_IN
	ModeIsExclude                             // IS_EX
	ChangeToIncludeMode                       // TO_IN
	ChangeToExcludeMode                       // TO_EX
	AllowNewSources                           // ALLOW
	BlockOldSources                           // BLOCK
)

// String returns the RFC's short name, for example "TO_EX".
func (t RecordType) String() string {
	switch t {
	case ModeIsInclude:
		return "IS_IN"
	case ModeIsExclude:
		return "IS_EX"
	case ChangeToIncludeMode:
		return "TO_IN"
	case ChangeToExcludeMode:
		return "TO_EX"
	case AllowNewSources:
		return "ALLOW"
	case BlockOldSources:
		return "BLOCK"
	}
	return "unknown"
}

func (*Query) isMessage()    {}
func (*ReportV1) isMessage() {}
func (*DoneV1) isMessage()   {}
func (*ReportV2) isMessage() {}

// isGroup reports whether a is an IPv6 multicast address without a zone.
func isGroup(a netip.Addr) bool {
	return a.Is6() && a.Zone() == "" && a.As16()[0] == 0xff
}
