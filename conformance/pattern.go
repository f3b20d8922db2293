package conformance

import (
	"encoding/hex"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// field is one word of a stimulus or a pattern: "name", "no-name" or
// "name=value" and the like.
type field struct {
	name, op, value string // op: "", "no", "=", "!=", "<=", ">="
}

func (f field) String() string {
	switch f.op {
	case "no":
		return "no-" + f.name
	case "":
		return f.name
	}
	return f.name + f.op + f.value
}

func parseField(word string) field {
	for _, op := range []string{"!=", "<=", ">=", "="} {
		if name, value, ok := strings.Cut(word, op); ok && !strings.ContainsAny(name, "=!<>") {
			return field{name, op, value}
		}
	}
	if name, ok := strings.CutPrefix(word, "no-"); ok {
		return field{name: name, op: "no"}
	}
	return field{name: word}
}

// form is how the values of a field are written and compared.
type form int

const (
	number form = iota + 1
	address
	linkAddress
	octets
	prefixForm
	recordForm
	text
)

// forms are the fields that a pattern can name.
var forms = map[string]form{
	"ethsrc": linkAddress, "ethdst": linkAddress, "framelength": number,
	"class": number, "flow": number, "plen": number, "next": number, "proto": number, "hoplimit": number, "src": address, "dst": address,
	"hbh": octets, "dstopts": octets, "alert": number,
	"frag-offset": number, "frag-more": number, "frag-id": number, "frag-size": number,
	"type": number, "code": number, "checksum": text, "length": number, "reserved": number, "malformed": text,
	"target": address, "destination": address, "R": number, "S": number, "O": number, "M": number,
	"curhoplimit": number, "lifetime": number, "reachable": number, "retrans": number,
	"sllao": linkAddress, "tllao": linkAddress, "nonce": octets, "mtu": number, "prefix": prefixForm, "option": octets, "options": number,
	"maxresp": number, "group": address, "join": address, "leave": address, "member": address, "record": recordForm, "records": number, "source": address,
	"id": number, "seq": number, "ack": number, "size": number, "data": octets, "sport": number, "dport": number, "flags": text,
	"pointer": number, "quote-src": address, "quote-dst": address, "quote-next": number, "quote-size": number,
}

// pattern says which frames are meant.
type pattern struct {
	kind   string
	fields []field
}

func (p pattern) String() string {
	s := p.kind
	for _, f := range p.fields {
		s += " " + f.String()
	}
	return s
}

// validate finds what can never match.
func (p pattern) validate(ns *names) error {
	if !isKind(p.kind) {
		return fmt.Errorf("%q is no kind of frame: there are %s", p.kind, strings.Join(allKinds(), ", "))
	}
	for _, f := range p.fields {
		form, ok := forms[f.name]
		if !ok {
			return fmt.Errorf("no field %q: there are %s", f.name, strings.Join(slices.Sorted(maps.Keys(forms)), ", "))
		}
		if f.op == "" || f.op == "no" {
			continue
		}
		if (f.op == "<=" || f.op == ">=") && form != number {
			return fmt.Errorf("%s is no number", f.name)
		}
		for alternative := range strings.SplitSeq(f.value, "|") {
			if _, err := ns.canonical(form, alternative); err != nil {
				return fmt.Errorf("%s: %w", f, err)
			}
		}
	}
	return nil
}

func isKind(kind string) bool { return slices.Contains(allKinds(), kind) }

func allKinds() []string {
	all := append([]string{"frame", "ipv6", "icmp", "udp", "tcp", "fragment", "other"}, slices.Collect(maps.Keys(families))...)
	all = append(all, slices.Collect(maps.Values(kinds))...)
	slices.Sort(all)
	return all
}

// withDefaults adds what every message of the kind must have, and what no
// scenario should have to say: RFC 4861, section 4, asks for hop limit 255 and
// code 0, RFC 3810, section 5 (and RFC 2710, section 3), for hop limit 1 and a
// Router Alert.
func (p pattern) withDefaults() pattern {
	defaults := map[string]string{}
	switch {
	case p.kind == "nd" || slices.Contains(families["nd"], p.kind):
		defaults = map[string]string{"hoplimit": "255", "code": "0", "checksum": "ok"}
	case p.kind == "mld" || slices.Contains(families["mld"], p.kind):
		defaults = map[string]string{"hoplimit": "1", "alert": "0", "code": "0", "checksum": "ok"}
	case p.kind != "frame" && p.kind != "ipv6" && p.kind != "other" && p.kind != "fragment":
		defaults = map[string]string{"checksum": "ok"}
	}
	for _, f := range p.fields {
		delete(defaults, f.name)
	}
	q := pattern{p.kind, slices.Clone(p.fields)}
	for _, name := range slices.Sorted(maps.Keys(defaults)) {
		q.fields = append(q.fields, field{name, "=", defaults[name]})
	}
	return q
}

// match compares a packet with a pattern. It returns what differs, which is
// empty if nothing does; kind says that not even the kind is right. Captures
// ("target=$A" while $A has no value) take effect only if nothing differs.
func (p pattern) match(ns *names, got *packet) (differs []string, kind bool) {
	if !got.is(p.kind) {
		return nil, true
	}
	ns.target = netip.Addr{}
	if target := got.fields["target"]; len(target) > 0 {
		ns.target, _ = netip.ParseAddr(target[0])
	}
	captured := map[string]string{}
	for _, f := range p.fields {
		if d := f.match(ns, got, captured); d != "" {
			differs = append(differs, d)
		}
	}
	if len(differs) == 0 {
		maps.Copy(ns.vars, captured)
	}
	return differs, false
}

// match returns what differs in one field.
func (f field) match(ns *names, got *packet, captured map[string]string) string {
	values := got.fields[f.name]
	switch {
	case f.op == "no" && len(values) > 0:
		return fmt.Sprintf("there is %s=%s", f.name, strings.Join(values, ","))
	case f.op == "no":
		return ""
	case len(values) == 0:
		if f.op == "!=" {
			return ""
		}
		return "there is no " + f.name
	case f.op == "":
		return ""
	}
	if name, ok := strings.CutPrefix(f.value, "$"); ok && f.op == "=" {
		if _, known := ns.vars[name]; !known {
			captured[name] = values[0]
			return ""
		}
	}
	found := slices.ContainsFunc(values, func(v string) bool { return f.holds(ns, v) })
	if f.op == "!=" {
		found = !slices.ContainsFunc(values, func(v string) bool { return field{f.name, "=", f.value}.holds(ns, v) })
	}
	if found {
		return ""
	}
	return fmt.Sprintf("%s is %s", f.name, strings.Join(values, ","))
}

func (f field) holds(ns *names, value string) bool {
	for alternative := range strings.SplitSeq(f.value, "|") {
		want, err := ns.canonical(forms[f.name], alternative)
		if err != nil {
			continue
		}
		if f.op == "=" {
			if want == value || contains(want, value) {
				return true
			}
			continue
		}
		w, _ := strconv.ParseUint(want, 10, 64)
		v, _ := strconv.ParseUint(value, 10, 64)
		if f.op == "<=" && v <= w || f.op == ">=" && v >= w {
			return true
		}
	}
	return false
}

// contains reports whether a value is an address in the prefix that is wanted.
func contains(want, value string) bool {
	if !strings.Contains(want, "/") {
		return false
	}
	p, err := netip.ParsePrefix(want)
	a, err2 := netip.ParseAddr(value)
	return err == nil && err2 == nil && p.Contains(a)
}

// canonical brings a value into the form in which packets have it.
func (ns *names) canonical(f form, s string) (string, error) {
	if name, ok := strings.CutPrefix(s, "$"); ok {
		v, ok := ns.vars[name]
		if !ok && !ns.reading {
			return "", fmt.Errorf("$%s has no value yet", name)
		}
		return v, nil
	}
	switch f {
	case number:
		v, err := parseNumber(s)
		return strconv.FormatUint(v, 10), err
	case address:
		if s == "sn" && ns.reading {
			return "", nil
		}
		if p, err := ns.prefix(s); err == nil && (strings.Contains(s, "/") || strings.HasPrefix(s, "P")) {
			return p.Masked().String(), nil
		}
		a, err := ns.addr(s)
		return a.String(), err
	case linkAddress:
		l, err := ns.linkAddr(s)
		return l.String(), err
	case octets:
		b, err := hex.DecodeString(s)
		return hex.EncodeToString(b), err
	case prefixForm:
		p, err := ns.prefix(s)
		return p.String(), err
	case recordForm:
		kind, group, sources, err := ns.record(s)
		return recordText(kind, group, sources), err
	}
	return s, nil
}

// parseNumber takes decimal, 0x… and inf, which is 32 bits of ones.
func parseNumber(s string) (uint64, error) {
	if s == "inf" {
		return 0xffffffff, nil
	}
	v, err := strconv.ParseUint(s, 0, 64)
	if err != nil {
		return 0, fmt.Errorf("%q is no number", s)
	}
	return v, nil
}

// record resolves to_ex(GROUP,SOURCE,…).
func (ns *names) record(s string) (kind string, group netip.Addr, sources []netip.Addr, err error) {
	kind, arg, ok := call(s)
	if !ok || !slices.Contains(recordTypes[1:], kind) {
		return "", group, nil, fmt.Errorf("%q is no record: write %s(GROUP,SOURCE,…)", s, strings.Join(recordTypes[1:], "|"))
	}
	for i, word := range strings.Split(arg, ",") {
		if i > 0 {
			as, err := ns.addrs(word)
			if err != nil {
				return "", group, nil, err
			}
			sources = append(sources, as...)
		} else if group, err = ns.addr(word); err != nil {
			return "", group, nil, err
		}
	}
	return kind, group, sources, nil
}
