package mld

import (
	"encoding/binary"
	"math/bits"
	"net/netip"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
)

// The ICMPv6 types of RFC 3810, section 5.
const (
	typeQuery    = 130
	typeReportV1 = 131
	typeDoneV1   = 132
	typeReportV2 = 143
)

// Lengths in octets.
const (
	lenV1       = 24 // any MLDv1 message
	lenQueryV2  = 28 // without sources
	lenReportV2 = 8  // without records
	lenRecord   = 20 // without sources
	lenAddr     = 16
)

// Bits of the mantissa in the two floating-point codes.
const (
	responseCodeMantissa = 12 // RFC 3810, section 5.1.3
	intervalCodeMantissa = 4  // RFC 3810, section 5.1.9
)

// Reason is what is wrong with a message that Parse refused.
type Reason uint8

const (
	BadLength Reason = iota
	BadChecksum
	BadSource
	BadHopLimit
	NoRouterAlert
	BadGroup // neither a group nor, in a Query, zero; or zero with sources
	BadType  // not MLD
	reasons  = iota
)

// InvalidError says why Parse refused a message.
type InvalidError struct {
	Reason  Reason
	Section string // of the RFC, for example "RFC 3810, section 6.2"
	Rule    string // what the message does not fulfil
}

func (e *InvalidError) Error() string {
	return "invalid MLD message: " + e.Rule + " (" + e.Section + ")"
}

// Parse decodes the ICMPv6 message b, all of it, that came in the packet that
// h describes. The error is an *InvalidError, also for a type that is not MLD.
// The Message does not refer to b.
//
// Deviation: RFC 2710, section 5 does not make the receiver of a Query check
// hop limit and Router Alert. Parse demands both of every Query, for senders
// have had to comply since RFC 2710 (section 3).
func Parse(h Header, b []byte) (Message, error) {
	if len(b) < lenReportV2 {
		return nil, &InvalidError{BadLength, "RFC 3810, section 5", "shorter than any message"}
	}
	if header.ICMPv6Checksum(checksumParams(h.Src, h.Dst, b)) != binary.BigEndian.Uint16(b[2:]) {
		return nil, &InvalidError{BadChecksum, "RFC 3810, section 5.1.2", "checksum is wrong"}
	}
	// The Code, b[1], is ignored (RFC 3810, section 5.1.1).
	switch b[0] {
	case typeQuery:
		return parseQuery(h, b)
	case typeReportV1, typeDoneV1:
		return parseV1(h, b)
	case typeReportV2:
		return parseReportV2(h, b)
	}
	// "Unrecognized message types MUST be silently ignored."
	return nil, &InvalidError{BadType, "RFC 3810, section 5", "not an MLD message type"}
}

func parseQuery(h Header, b []byte) (Message, error) {
	switch {
	case !linkLocalNet.Contains(h.Src):
		return nil, &InvalidError{BadSource, "RFC 3810, section 5.1.14", "source of a Query is not link-local"}
	case h.HopLimit != 1:
		return nil, &InvalidError{BadHopLimit, "RFC 3810, section 6.2", "hop limit of a Query is not 1"}
	case !h.RouterAlert:
		return nil, &InvalidError{NoRouterAlert, "RFC 3810, section 6.2", "Query without Router Alert"}
	case len(b) < lenV1, len(b) > lenV1 && len(b) < lenQueryV2 && !h.Version1:
		return nil, &InvalidError{BadLength, "RFC 3810, section 8.1", "length of a Query is of no version"}
	}
	group := addrAt(b, 8)
	if !group.IsUnspecified() && !isGroup(group) {
		return nil, &InvalidError{BadGroup, "RFC 2710, section 5", "queried address is neither zero nor multicast"}
	}
	code := uint32(binary.BigEndian.Uint16(b[4:]))
	if len(b) == lenV1 || h.Version1 {
		// RFC 2710, section 3.7: a host of that RFC "MUST ignore anything past
		// the first 24 octets of a received MLD message".
		return &Query{Version: 1, MaxResponseDelay: time.Duration(code) * time.Millisecond, Group: group}, nil
	}
	n := int(binary.BigEndian.Uint16(b[26:]))
	switch {
	case len(b) < lenQueryV2+n*lenAddr:
		return nil, &InvalidError{BadLength, "RFC 3810, section 5.1.10", "Query shorter than its sources"}
	case group.IsUnspecified() && n > 0:
		return nil, &InvalidError{BadGroup, "RFC 3810, section 5.1.10", "General Query with sources"}
	}
	return &Query{
		Version:          2,
		MaxResponseDelay: time.Duration(fromFloat(code, responseCodeMantissa)) * time.Millisecond,
		Group:            group,
		Sources:          addrsAt(b, lenQueryV2, n),
		Suppress:         b[24]&0x08 != 0,
		QRV:              b[24] & 0x07,
		QQI:              time.Duration(fromFloat(uint32(b[25]), intervalCodeMantissa)) * time.Second,
	}, nil
}

// parseV1 decodes a Report or Done of version 1.
func parseV1(h Header, b []byte) (Message, error) {
	switch {
	case !isReportSource(h.Src):
		return nil, &InvalidError{BadSource, "RFC 3590, section 4", "source of a Report or Done is neither link-local nor unspecified"}
	case len(b) < lenV1:
		return nil, &InvalidError{BadLength, "RFC 2710, section 5", "shorter than 24 octets"}
	}
	group := addrAt(b, 8)
	if !isGroup(group) {
		return nil, &InvalidError{BadGroup, "RFC 2710, section 3.6", "address of a Report or Done is not multicast"}
	}
	if b[0] == typeDoneV1 {
		return &DoneV1{Group: group}, nil
	}
	return &ReportV1{Group: group}, nil
}

func parseReportV2(h Header, b []byte) (Message, error) {
	if !isReportSource(h.Src) {
		return nil, &InvalidError{BadSource, "RFC 3810, section 5.2.13", "source of a Report is neither link-local nor unspecified"}
	}
	report := &ReportV2{}
	rest := b[lenReportV2:]
	for range binary.BigEndian.Uint16(b[6:]) {
		if len(rest) < lenRecord {
			return nil, &InvalidError{BadLength, "RFC 3810, section 5.2.3", "Report shorter than its records"}
		}
		n := int(binary.BigEndian.Uint16(rest[2:]))
		size := lenRecord + n*lenAddr + 4*int(rest[1]) // the last is auxiliary data: ignored
		if len(rest) < size {
			return nil, &InvalidError{BadLength, "RFC 3810, section 5.2.7", "record shorter than its sources and auxiliary data"}
		}
		// "Multicast Address Records with an unrecognized Record Type value
		// MUST be silently ignored, with the rest of the report being
		// processed." (RFC 3810, section 5.2.12)
		if t := RecordType(rest[0]); t >= ModeIsInclude && t <= BlockOldSources {
			report.Records = append(report.Records, Record{t, addrAt(rest, 4), addrsAt(rest, lenRecord, n)})
		}
		rest = rest[size:]
	}
	return report, nil
}

// isReportSource reports whether a Report or Done may come from a: a
// link-local address, or the unspecified one, which routers discard and
// snooping switches must not (RFC 3590, section 4).
func isReportSource(a netip.Addr) bool { return a.IsUnspecified() || linkLocalNet.Contains(a) }

// Append appends the ICMPv6 message for m, with its checksum, to b. Delays and
// intervals that the code of the field cannot say become the next lower one
// that it can (RFC 3810, section 9.8).
func Append(b []byte, src, dst netip.Addr, m Message) []byte {
	start := len(b)
	switch m := m.(type) {
	case *Query:
		b = appendQuery(b, m)
	case *ReportV1:
		b = appendV1(b, typeReportV1, 0, m.Group)
	case *DoneV1:
		b = appendV1(b, typeDoneV1, 0, m.Group)
	case *ReportV2:
		b = append(b, typeReportV2, 0, 0, 0, 0, 0)
		b = binary.BigEndian.AppendUint16(b, uint16(len(m.Records)))
		for _, r := range m.Records {
			b = append(b, byte(r.Type), 0)
			b = binary.BigEndian.AppendUint16(b, uint16(len(r.Sources)))
			b = appendAddrs(b, r.Group)
			b = appendAddrs(b, r.Sources...)
		}
	default:
		panic("mld: no such message")
	}
	message := b[start:]
	binary.BigEndian.PutUint16(message[2:], header.ICMPv6Checksum(checksumParams(src, dst, message)))
	return b
}

func appendQuery(b []byte, q *Query) []byte {
	if q.Version == 1 {
		// "the full range of this field is linear" (RFC 3810, section 8.2.1)
		return appendV1(b, typeQuery, uint16(min(q.MaxResponseDelay/time.Millisecond, 0xffff)), q.Group)
	}
	b = appendV1(b, typeQuery, responseCode(q.MaxResponseDelay), q.Group)
	flags := q.QRV & 0x07
	if q.Suppress {
		flags |= 0x08
	}
	b = append(b, flags, byte(toFloat(uint64(q.QQI/time.Second), intervalCodeMantissa)))
	b = binary.BigEndian.AppendUint16(b, uint16(len(q.Sources)))
	return appendAddrs(b, q.Sources...)
}

func appendV1(b []byte, typ uint8, code uint16, group netip.Addr) []byte {
	b = append(b, typ, 0, 0, 0)
	b = binary.BigEndian.AppendUint16(b, code)
	b = append(b, 0, 0)
	return appendAddrs(b, group)
}

func appendAddrs(b []byte, addrs ...netip.Addr) []byte {
	for _, a := range addrs {
		a16 := a.As16()
		b = append(b, a16[:]...)
	}
	return b
}

func addrAt(b []byte, offset int) netip.Addr {
	return netip.AddrFrom16([16]byte(b[offset:]))
}

func addrsAt(b []byte, offset, n int) []netip.Addr {
	if n == 0 {
		return nil
	}
	addrs := make([]netip.Addr, n)
	for i := range addrs {
		addrs[i] = addrAt(b, offset+i*lenAddr)
	}
	return addrs
}

func checksumParams(src, dst netip.Addr, message []byte) header.ICMPv6ChecksumParams {
	return header.ICMPv6ChecksumParams{
		Header: message,
		Src:    tcpip.AddrFrom16(src.As16()),
		Dst:    tcpip.AddrFrom16(dst.As16()),
	}
}

// responseCode is the Maximum Response Code of d (RFC 3810, section 5.1.3).
func responseCode(d time.Duration) uint16 {
	return uint16(toFloat(uint64(d/time.Millisecond), responseCodeMantissa))
}

// fromFloat is the value of a code whose top bit, if set, says that three bits
// of exponent and mantissa bits of mantissa follow (RFC 3810, sections 5.1.3
// and 5.1.9).
func fromFloat(code uint32, mantissa int) uint32 {
	if code < 8<<mantissa {
		return code
	}
	exponent := code >> mantissa & 7
	return (code&(1<<mantissa-1) | 1<<mantissa) << (exponent + 3)
}

// toFloat is the code of the greatest value up to v that has one.
func toFloat(v uint64, mantissa int) uint32 {
	if v < 8<<mantissa {
		return uint32(v)
	}
	exponent := bits.Len64(v) - mantissa - 4
	if exponent > 7 {
		return 16<<mantissa - 1
	}
	return 8<<mantissa | uint32(exponent)<<mantissa | uint32(v>>(exponent+3))&(1<<mantissa-1)
}
