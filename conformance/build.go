package conformance

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/tapstack/tapstack/nd"
)

// builder makes the frames of one stimulus out of its words.
type builder struct {
	ns     *names
	from   node
	kind   string
	fields []field
	used   map[int]bool
	last   []byte // the packet that the host sent last, for errors about it
	err    error

	src, dst netip.Addr
	proto    byte
	message  []byte // from the upper-layer header on
}

// build returns the frames that a stimulus is, in order.
func build(ns *names, from node, kind string, fields []field, last []byte) ([][]byte, error) {
	b := &builder{ns: ns, from: from, kind: kind, fields: fields, used: map[int]bool{}, last: last}
	make, ok := builders[kind]
	if !ok {
		return nil, fmt.Errorf("no message %q: there are %s", kind, strings.Join(builderNames(), ", "))
	}
	for _, f := range fields {
		if f.op != "=" && f.op != "" && f.op != "no" {
			return nil, fmt.Errorf("%s is no value for a field", f)
		}
	}
	ns.target = b.addr("target", b.own())
	b.dst = b.addr("dst", ns.hostLinkLocal())
	make(b)
	frames := b.frames()
	for i, f := range fields {
		if !b.used[i] && b.err == nil {
			b.err = fmt.Errorf("%s: a %s has no such field", f, kind)
		}
	}
	return frames, b.err
}

func (ns *names) hostLinkLocal() netip.Addr {
	a, _ := ns.addr("HOST")
	return a
}

var builders = map[string]func(*builder){
	"ns": (*builder).neighborSolicit, "na": (*builder).neighborAdvert, "rs": (*builder).routerSolicit, "ra": (*builder).routerAdvert,
	"redirect": (*builder).redirect,
	"query":    (*builder).query, "report": (*builder).report, "report1": (*builder).report1, "done": (*builder).done,
	"echo": (*builder).echo, "echo-reply": (*builder).echo,
	"unreachable": (*builder).icmpError, "toobig": (*builder).icmpError, "time-exceeded": (*builder).icmpError, "parameter-problem": (*builder).icmpError,
	"icmp": (*builder).icmp, "udp": (*builder).udp, "tcp": (*builder).tcp, "ipv6": (*builder).ipv6,
}

func builderNames() []string {
	var all []string
	for name := range builders {
		all = append(all, name)
	}
	slices.Sort(all)
	return all
}

func (b *builder) fail(err error) {
	if b.err == nil && err != nil {
		b.err = err
	}
}

// get returns the last word for a field.
func (b *builder) get(name string) (f field, ok bool) {
	for i, g := range b.fields {
		if g.name == name {
			f, ok = g, true
			b.used[i] = true
		}
	}
	return f, ok
}

// has reports whether a field is there and not denied.
func (b *builder) has(name string) bool {
	f, ok := b.get(name)
	return ok && f.op != "no"
}

func (b *builder) addr(name string, otherwise netip.Addr) netip.Addr {
	f, ok := b.get(name)
	if !ok {
		return otherwise
	}
	a, err := b.ns.addr(f.value)
	b.fail(err)
	if !a.IsValid() {
		return netip.IPv6Unspecified()
	}
	return a
}

func (b *builder) num(name string, otherwise uint64) uint64 {
	f, ok := b.get(name)
	if !ok {
		return otherwise
	}
	v, err := parseNumber(f.value)
	b.fail(err)
	return v
}

func (b *builder) bytes(value string) []byte {
	octets, err := hex.DecodeString(value)
	b.fail(err)
	return octets
}

// own is the sender's address of the scope of the destination, or its
// link-local one.
func (b *builder) own() netip.Addr {
	if b.dst.IsValid() && !b.dst.IsLinkLocalUnicast() && !b.dst.IsMulticast() && !b.from.far {
		return b.from.in(netip.PrefixFrom(b.dst, 64).Masked())
	}
	return b.from.linkLocal()
}

// header begins an ICMPv6 message: type, code, no checksum yet, a word.
func (b *builder) header(kind byte, word uint32) {
	b.proto = protoICMPv6
	b.message = binary.BigEndian.AppendUint32([]byte{kind, byte(b.num("code", 0)), 0, 0}, uint32(b.num("reserved", 0))|word)
}

func (b *builder) append16(a netip.Addr) {
	octets := a.As16()
	b.message = append(b.message, octets[:]...)
}

func bit(v uint64, shift int) uint32 {
	if v == 0 {
		return 0
	}
	return 1 << shift
}

func (b *builder) neighborSolicit() {
	target := b.addr("target", b.ns.hostLinkLocal())
	b.ns.target = target
	b.dst = b.addr("dst", nd.SolicitedNode(target))
	b.src = b.addr("src", b.from.linkLocal())
	b.header(typeNS, 0)
	b.append16(target)
	b.options(optSourceLinkAddr, !b.src.IsUnspecified())
}

func (b *builder) neighborAdvert() {
	target := b.addr("target", b.from.linkLocal())
	b.src = b.addr("src", b.from.linkLocal())
	solicited := uint64(1)
	if b.dst.IsMulticast() {
		solicited = 0
	}
	router := uint64(0)
	if b.from.router {
		router = 1
	}
	b.header(typeNA, bit(b.num("R", router), 31)|bit(b.num("S", solicited), 30)|bit(b.num("O", 1), 29))
	b.append16(target)
	b.options(optTargetLinkAddr, true)
}

func (b *builder) routerSolicit() {
	b.dst = b.addr("dst", allRouters)
	b.src = b.addr("src", b.from.linkLocal())
	b.header(typeRS, 0)
	b.options(optSourceLinkAddr, !b.src.IsUnspecified())
}

// preferences are those of RFC 4191, section 2.1.
var preferences = map[string]byte{"medium": 0, "high": 1, "reserved": 2, "low": 3}

func (b *builder) preference(value string) byte {
	p, ok := preferences[value]
	if !ok {
		b.fail(fmt.Errorf("%q is no preference", value))
	}
	return p << 3
}

func (b *builder) routerAdvert() {
	b.dst = b.addr("dst", allNodes)
	b.src = b.addr("src", b.from.linkLocal())
	head := *b // the words before the first option
	head.used = b.used
	if i := slices.IndexFunc(b.fields, func(f field) bool { return isOption(f.name) }); i >= 0 {
		head.fields = b.fields[:i]
	}
	b.header(typeRA, uint32(b.num("curhoplimit", 64))<<24|bit(b.num("M", 0), 23)|bit(b.num("O", 0), 22)|uint32(head.num("lifetime", 1800)&0xffff))
	if f, ok := head.get("pref"); ok {
		b.message[5] |= b.preference(f.value)
	}
	b.message = binary.BigEndian.AppendUint32(b.message, uint32(b.num("reachable", 0)))
	b.message = binary.BigEndian.AppendUint32(b.message, uint32(b.num("retrans", 0)))
	b.fail(head.err)
	b.options(optSourceLinkAddr, true)
}

func (b *builder) redirect() {
	b.src = b.addr("src", b.from.linkLocal())
	destination := b.addr("destination", b.from.linkLocal())
	b.header(typeRedirect, 0)
	b.append16(b.addr("target", destination))
	b.append16(destination)
	b.options(0, false)
}

// isOption says whether a word adds an option to an ND message.
func isOption(name string) bool {
	return slices.Contains([]string{"sllao", "tllao", "prefix", "mtu", "nonce", "route", "rdnss", "dnssl", "redirected", "option"}, name)
}

// options appends options in the order of the words. own is the option with
// the sender's link-layer address that is there unless a word says otherwise.
func (b *builder) options(own byte, wanted bool) {
	if b.proto != protoICMPv6 || own == optSourceLinkAddr && b.mentions("sllao") || own == optTargetLinkAddr && b.mentions("tllao") {
		wanted = false
	}
	if wanted {
		b.linkAddrOption(own, b.from.linkAddr)
	}
	for i, f := range b.fields {
		if isOption(f.name) {
			b.used[i] = true
		}
		if !isOption(f.name) || f.op == "no" {
			continue
		}
		b.option(f, b.belonging(i))
	}
}

func (b *builder) mentions(name string) bool {
	_, ok := b.get(name)
	return ok
}

// belonging returns the words behind option i and before the next.
func (b *builder) belonging(i int) *builder {
	sub := &builder{ns: b.ns, from: b.from, used: map[int]bool{}, src: b.src, dst: b.dst}
	for k := i + 1; k < len(b.fields) && !isOption(b.fields[k].name); k++ {
		sub.fields = append(sub.fields, b.fields[k])
		if slices.Contains([]string{"valid", "preferred", "L", "A", "lifetime", "pref"}, b.fields[k].name) {
			b.used[k] = true
		}
	}
	return sub
}

func (b *builder) linkAddrOption(kind byte, l nd.LinkAddr) {
	b.message = append(append(b.message, kind, 1), l[:]...)
}

func (b *builder) option(f field, sub *builder) {
	defer func() { b.fail(sub.err) }()
	switch f.name {
	case "sllao", "tllao":
		kind, l := byte(optSourceLinkAddr), b.from.linkAddr
		if f.name == "tllao" {
			kind = optTargetLinkAddr
		}
		if f.op == "=" {
			var err error
			l, err = b.ns.linkAddr(f.value)
			b.fail(err)
		}
		b.linkAddrOption(kind, l)
	case "mtu":
		v, err := parseNumber(f.value)
		b.fail(err)
		b.message = binary.BigEndian.AppendUint32(append(b.message, optMTU, 1, 0, 0), uint32(v))
	case "nonce":
		b.padded(optNonce, b.bytes(f.value))
	case "option":
		b.message = append(b.message, b.bytes(f.value)...)
	case "prefix":
		b.prefixOption(f, sub)
	case "route":
		b.routeOption(f, sub)
	case "rdnss":
		body := binary.BigEndian.AppendUint32([]byte{0, 0}, uint32(sub.num("lifetime", 1800)))
		for word := range strings.SplitSeq(f.value, ",") {
			a, err := b.ns.addr(word)
			b.fail(err)
			octets := a.As16()
			body = append(body, octets[:]...)
		}
		b.padded(optRDNSS, body)
	case "dnssl":
		body := binary.BigEndian.AppendUint32([]byte{0, 0}, uint32(sub.num("lifetime", 1800)))
		for word := range strings.SplitSeq(f.value, ",") {
			for label := range strings.SplitSeq(word, ".") {
				body = append(append(body, byte(len(label))), label...)
			}
			body = append(body, 0)
		}
		b.padded(optDNSSL, body)
	case "redirected":
		b.redirected(f)
	}
}

// padded appends an option of as many units of 8 octets as its body needs.
func (b *builder) padded(kind byte, body []byte) {
	for len(body)%8 != 6 {
		body = append(body, 0)
	}
	b.message = append(append(b.message, kind, byte((len(body)+2)/8)), body...)
}

func (b *builder) prefixOption(f field, sub *builder) {
	p, err := b.ns.prefix(f.value)
	b.fail(err)
	if err != nil {
		return
	}
	bits := byte(p.Bits())
	flags := byte(bit(sub.num("L", 1), 7) | bit(sub.num("A", 1), 6))
	b.message = append(b.message, optPrefix, 4, bits, flags)
	valid := sub.num("valid", 2592000)
	b.message = binary.BigEndian.AppendUint32(b.message, uint32(valid))
	b.message = binary.BigEndian.AppendUint32(b.message, uint32(sub.num("preferred", min(valid, 604800))))
	b.message = append(b.message, 0, 0, 0, 0)
	b.append16(p.Addr())
}

// routeOption appends a Route Information option (RFC 4191, section 2.3).
func (b *builder) routeOption(f field, sub *builder) {
	p, err := b.ns.prefix(f.value)
	b.fail(err)
	if err != nil {
		return
	}
	flags := byte(0)
	if g, ok := sub.get("pref"); ok {
		flags = sub.preference(g.value)
	}
	body := binary.BigEndian.AppendUint32([]byte{byte(p.Bits()), flags}, uint32(sub.num("lifetime", 1800)))
	octets := p.Addr().As16()
	b.padded(optRoute, append(body, octets[:(p.Bits()+63)/64*8]...))
}

// redirected appends a Redirected Header option: the packet that the host sent
// last, or as many octets as are asked for.
func (b *builder) redirected(f field) {
	quoted := b.last
	if f.op == "=" {
		v, err := parseNumber(f.value)
		b.fail(err)
		quoted = append(slices.Clone(quoted), make([]byte, 1<<16)...)[:min(v, 1<<11-8)]
	}
	b.padded(optRedirected, append(make([]byte, 6), quoted...))
}

// control is what every MLD message has: hop limit 1 and a Router Alert.
func (b *builder) mldHeader(kind byte, delay uint16, group netip.Addr) {
	b.header(kind, 0)
	binary.BigEndian.PutUint16(b.message[4:], delay)
	binary.BigEndian.PutUint16(b.message[6:], uint16(b.num("reserved", 0)))
	b.append16(group)
}

func (b *builder) query() {
	group := b.addr("group", netip.IPv6Unspecified())
	to := allNodes
	if group.IsMulticast() {
		to = group
	}
	b.src, b.dst = b.addr("src", b.from.linkLocal()), b.addr("dst", to)
	b.mldHeader(typeQuery, uint16(b.num("maxresp", 10000)), group)
	if b.num("version", 2) == 1 {
		return
	}
	sources := b.addrs("sources")
	b.message = append(b.message, byte(bit(b.num("S", 0), 3))|byte(b.num("qrv", 2)), byte(b.num("qqic", 125)))
	b.message = binary.BigEndian.AppendUint16(b.message, uint16(b.num("count", uint64(len(sources)))))
	for _, a := range sources {
		b.append16(a)
	}
}

func (b *builder) addrs(name string) (as []netip.Addr) {
	f, ok := b.get(name)
	if !ok {
		return nil
	}
	for word := range strings.SplitSeq(f.value, ",") {
		more, err := b.ns.addrs(word)
		b.fail(err)
		as = append(as, more...)
	}
	return as
}

func (b *builder) report() {
	b.src, b.dst = b.addr("src", b.from.linkLocal()), b.addr("dst", mldRouters)
	b.header(typeReport2, 0)
	count := 0
	for i, f := range b.fields {
		if f.name != "record" {
			continue
		}
		b.used[i] = true
		count++
		kind, group, sources, err := b.ns.record(f.value)
		b.fail(err)
		if err != nil {
			return
		}
		b.message = append(b.message, byte(slices.Index(recordTypes, kind)), 0)
		b.message = binary.BigEndian.AppendUint16(b.message, uint16(len(sources)))
		b.append16(group)
		for _, a := range sources {
			b.append16(a)
		}
	}
	binary.BigEndian.PutUint16(b.message[6:], uint16(b.num("count", uint64(count))))
}

func (b *builder) report1() { b.version1(typeReport1, func(g netip.Addr) netip.Addr { return g }) }

func (b *builder) done() { b.version1(typeDone, func(netip.Addr) netip.Addr { return allRouters }) }

func (b *builder) version1(kind byte, to func(netip.Addr) netip.Addr) {
	group := b.addr("group", allNodes)
	b.src, b.dst = b.addr("src", b.from.linkLocal()), b.addr("dst", to(group))
	b.mldHeader(kind, uint16(b.num("maxresp", 0)), group)
}

func (b *builder) echo() {
	b.src = b.addr("src", b.own())
	kind := byte(typeEcho)
	if b.kind == "echo-reply" {
		kind = typeEchoReply
	}
	b.header(kind, uint32(b.num("id", 119))<<16|uint32(b.num("seq", 1)&0xffff))
	b.message = append(b.message, b.payload(8)...)
}

// payload is what "data" says, or "size" octets that count up.
func (b *builder) payload(size uint64) []byte {
	if f, ok := b.get("data"); ok {
		return b.bytes(f.value)
	}
	octets := make([]byte, min(b.num("size", size), 65535))
	for i := range octets {
		octets[i] = byte(i)
	}
	return octets
}

var errorTypes = map[string]byte{
	"unreachable": typeUnreachable, "toobig": typeTooBig, "time-exceeded": typeTimeExceeded, "parameter-problem": typeParameter,
}

func (b *builder) icmpError() {
	b.src = b.addr("src", b.own())
	word := uint32(b.num("mtu", 0))
	if b.kind == "parameter-problem" {
		word = uint32(b.num("pointer", 0))
	}
	b.header(errorTypes[b.kind], word)
	quote := b.last
	if f, ok := b.get("quote"); ok {
		quote = b.bytes(f.value)
	}
	b.message = append(b.message, quote[:min(len(quote), 1280-ipv6Len-8)]...)
}

func (b *builder) icmp() {
	b.src = b.addr("src", b.own())
	b.header(byte(b.num("type", 0)), 0)
	if f, ok := b.get("body"); ok {
		b.message = append(b.message[:4], b.bytes(f.value)...)
	}
}

func (b *builder) udp() {
	b.src, b.proto = b.addr("src", b.own()), protoUDP
	b.message = binary.BigEndian.AppendUint16(nil, uint16(b.num("sport", 40000)))
	b.message = binary.BigEndian.AppendUint16(b.message, uint16(b.num("dport", 40001)))
	b.message = append(b.message, 0, 0, 0, 0)
	b.message = append(b.message, b.payload(8)...)
	binary.BigEndian.PutUint16(b.message[4:], uint16(b.num("length", uint64(len(b.message)))))
}

func (b *builder) tcp() {
	b.src, b.proto = b.addr("src", b.own()), protoTCP
	m := binary.BigEndian.AppendUint16(nil, uint16(b.num("sport", 40000)))
	m = binary.BigEndian.AppendUint16(m, uint16(b.num("dport", 40001)))
	m = binary.BigEndian.AppendUint32(m, uint32(b.num("seq", 1)))
	m = binary.BigEndian.AppendUint32(m, uint32(b.num("ack", 0)))
	flags := byte(0)
	if f, ok := b.get("flags"); ok {
		for name := range strings.SplitSeq(f.value, "+") {
			i := slices.Index(tcpFlags, name)
			if i < 0 {
				b.fail(fmt.Errorf("%q is no TCP flag", name))
				return
			}
			flags |= 1 << i
		}
	}
	m = append(m, 5<<4, flags)
	m = binary.BigEndian.AppendUint16(m, uint16(b.num("window", 65535)))
	b.message = append(append(m, 0, 0, 0, 0), b.payload(0)...)
}

func (b *builder) ipv6() {
	b.src, b.proto = b.addr("src", b.own()), byte(b.num("next", 59))
	b.message = b.payload(0)
}

// seal cuts the message to "length" and fills in the checksum.
func (b *builder) seal() {
	if b.proto == protoICMPv6 {
		if n := int(b.num("length", uint64(len(b.message)))); n <= 65535 {
			b.message = append(b.message, make([]byte, max(0, n-len(b.message)))...)[:n]
		} else {
			b.fail(errors.New("a message of more than 65535 octets"))
		}
	}
	at := map[byte]int{protoICMPv6: 2, protoUDP: 6, protoTCP: 16}[b.proto]
	if at == 0 || len(b.message) < at+2 {
		return
	}
	field := b.message[at : at+2]
	sum := checksum(b.src, b.dst, b.proto, b.message)
	f, ok := b.get("checksum")
	switch {
	case ok && f.value == "bad":
		sum ^= 0x5555
	case ok && f.value == "zero":
		sum = 0
	case ok:
		b.fail(fmt.Errorf("%q is no checksum: there are bad and zero", f.value))
	}
	binary.BigEndian.PutUint16(field, sum)
}

// frames wraps the message in extension headers, IPv6 and Ethernet, and cuts
// it into fragments if that is asked for.
func (b *builder) frames() [][]byte {
	b.seal()
	if b.err != nil {
		return nil
	}
	headers := b.extensionHeaders()
	id := uint32(b.num("frag-id", 0x7a7a))
	var cuts [][2]int
	if f, ok := b.get("pieces"); ok {
		cuts = b.cuts(f.value)
	}
	for i, f := range b.fields {
		if f.name == "piece" {
			b.used[i] = true
			cuts = append(cuts, b.cut(f.value))
		}
	}
	if b.has("atomic") {
		headers = append(headers, extension{protoFragment, fragmentHeader(0, false, id)})
	}
	if len(cuts) == 0 {
		return [][]byte{b.frame(headers, b.message)}
	}
	var frames [][]byte
	for _, c := range cuts {
		if b.err != nil {
			return nil
		}
		more := c[1] < len(b.message)
		more = b.num("frag-more", uint64(bit(map[bool]uint64{true: 1}[more], 0))) != 0
		all := append(slices.Clone(headers), extension{protoFragment, fragmentHeader(c[0], more, id)})
		frames = append(frames, b.frame(all, b.message[min(c[0], len(b.message)):min(c[1], len(b.message))]))
	}
	return frames
}

// cuts divides the message into pieces of n octets.
func (b *builder) cuts(value string) (cuts [][2]int) {
	n, err := parseNumber(value)
	if err == nil && (n == 0 || n%8 != 0) {
		err = fmt.Errorf("pieces=%s is no multiple of 8", value)
	}
	b.fail(err)
	for at := 0; b.err == nil && at < len(b.message); at += int(n) {
		cuts = append(cuts, [2]int{at, min(at+int(n), len(b.message))})
	}
	return cuts
}

// cut reads "FROM..TO"; without TO it is the rest.
func (b *builder) cut(value string) (c [2]int) {
	from, to, ok := strings.Cut(value, "..")
	first, err := parseNumber(from)
	last := uint64(len(b.message))
	if to != "" && err == nil {
		last, err = parseNumber(to)
	}
	if err == nil && (!ok || first > last || last > 65535) {
		err = fmt.Errorf("%q is no piece FROM..TO", value)
	}
	b.fail(err)
	return [2]int{int(first), int(last)}
}

func fragmentHeader(offset int, more bool, id uint32) []byte {
	h := binary.BigEndian.AppendUint16([]byte{0, 0}, uint16(offset)&^7)
	if more {
		h[3] |= 1
	}
	return binary.BigEndian.AppendUint32(h, id)
}

// extension is an extension header whose first octet is not filled in.
type extension struct {
	proto byte
	bytes []byte
}

// extensionHeaders returns the headers in the order of the words; MLD messages
// have a Router Alert unless they say otherwise.
func (b *builder) extensionHeaders() (all []extension) {
	isMLD := b.proto == protoICMPv6 && slices.Contains([]string{"query", "report", "report1", "done"}, b.kind)
	if isMLD && !b.mentions("hbh") && !b.denied("alert") {
		all = append(all, extension{protoHopByHop, []byte{0, 0, 5, 2, 0, 0, 1, 0}})
	}
	for i, f := range b.fields {
		switch f.name {
		case "hbh", "dstopts":
			b.used[i] = true
			if f.op == "no" {
				continue
			}
			proto := byte(protoHopByHop)
			if f.name == "dstopts" {
				proto = protoDestOpts
			}
			all = append(all, extension{proto, optionsHeader(b.bytes(f.value))})
		case "ext": // PROTOCOL,HEX
			b.used[i] = true
			proto, octets, _ := strings.Cut(f.value, ",")
			v, err := parseNumber(proto)
			b.fail(err)
			all = append(all, extension{byte(v), b.bytes(octets)})
		}
	}
	return all
}

func (b *builder) denied(name string) bool {
	f, ok := b.get(name)
	return ok && f.op == "no"
}

// optionsHeader makes a header of options, padded to 8 octets (RFC 8200,
// section 4.2).
func optionsHeader(options []byte) []byte {
	h := append([]byte{0, 0}, options...)
	switch pad := (8 - len(h)%8) % 8; {
	case pad == 1:
		h = append(h, 0)
	case pad > 1:
		h = append(append(h, 1, byte(pad-2)), make([]byte, pad-2)...)
	}
	h[1] = byte(len(h)/8 - 1)
	return h
}

func (b *builder) frame(headers []extension, message []byte) []byte {
	payload := slices.Clone(message)
	next := b.proto
	for _, h := range slices.Backward(headers) {
		octets := slices.Clone(h.bytes)
		if len(octets) > 0 {
			octets[0] = next
		}
		payload, next = append(octets, payload...), h.proto
	}
	limit := uint64(64)
	switch {
	case slices.Contains(families["nd"], b.kind):
		limit = 255
	case slices.Contains([]string{"query", "report", "report1", "done"}, b.kind):
		limit = 1
	}
	f := slices.Concat(b.ethernet())
	word := uint32(b.num("ipversion", 6))<<28 | uint32(b.num("class", 0)&0xff)<<20 | uint32(b.num("flow", 0)&0xfffff)
	f = binary.BigEndian.AppendUint32(f, word)
	f = binary.BigEndian.AppendUint16(f, uint16(b.num("plen", uint64(len(payload)))))
	f = append(f, next, byte(b.num("hoplimit", limit)))
	src, dst := b.src.As16(), b.dst.As16()
	f = append(append(f, src[:]...), dst[:]...)
	return append(f, payload...)
}

func (b *builder) ethernet() []byte {
	to, from := b.ns.host, b.from.linkAddr
	if b.dst.IsMulticast() {
		to = nd.MulticastLinkAddr(b.dst)
	}
	for name, l := range map[string]*nd.LinkAddr{"ethdst": &to, "ethsrc": &from} {
		if f, ok := b.get(name); ok {
			resolved, err := b.ns.linkAddr(f.value)
			b.fail(err)
			*l = resolved
		}
	}
	return append(append(to[:], from[:]...), etherTypeIPv6>>8, etherTypeIPv6&0xff)
}
