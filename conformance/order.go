package conformance

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tapstack/tapstack/stack"
)

// command resolves the words of an order.
func (o order) command(ns *names) (c Command, err error) {
	c = Command{Op: o.op}
	switch o.op {
	case "up", "down", "flush":
		err = o.want(0)
	case "add":
		err = o.add(ns, &c)
	case "join", "leave", "filter":
		err = o.group(ns, &c)
	case "del", "neighbor-del":
		if err = o.want(1); err == nil {
			c.Addr, err = ns.addr(o.words[0])
		}
	case "route-add", "route-del":
		err = o.route(ns, &c)
	case "neighbor-add":
		if err = o.want(2); err == nil {
			c.Addr, err = ns.addr(o.words[0])
		}
		if err == nil {
			c.LinkAddr, err = ns.linkAddr(o.words[1])
		}
	case "mac":
		if err = o.want(1); err == nil {
			c.LinkAddr, err = ns.linkAddr(o.words[0])
		}
	case "mtu":
		if err = o.want(1); err == nil {
			c.Size, err = strconv.Atoi(o.words[0])
		}
	case "send":
		err = o.send(ns, &c)
	}
	c.text = c.render()
	return c, err
}

func (o order) want(n int) error {
	if len(o.words) != n {
		return fmt.Errorf("%s takes %d words, not %d", o.op, n, len(o.words))
	}
	return nil
}

// add reads ADDRESS[/LENGTH] [anycast|optimistic|no-dad] [valid=S] [preferred=S].
func (o order) add(ns *names, c *Command) (err error) {
	if len(o.words) == 0 {
		return fmt.Errorf("add which address?")
	}
	if c.Prefix, err = ns.prefix(o.words[0]); err != nil {
		return err
	}
	for _, w := range o.words[1:] {
		f := parseField(w)
		switch {
		case slices.Contains([]string{"anycast", "optimistic", "no-dad"}, w):
			c.Mode = w
		case f.name == "valid" && f.op == "=":
			c.Valid, err = seconds(f.value)
		case f.name == "preferred" && f.op == "=":
			c.Preferred, err = seconds(f.value)
		default:
			err = fmt.Errorf("%q: add takes anycast, optimistic or no-dad, valid=S and preferred=S", w)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func seconds(s string) (time.Duration, error) {
	v, err := strconv.ParseUint(s, 10, 32)
	return time.Duration(v) * time.Second, err
}

// group reads a command about a group, whose last word may be by=N.
func (o order) group(ns *names, c *Command) (err error) {
	c.Socket = 1
	if n := len(o.words); n > 0 {
		if f := parseField(o.words[n-1]); f.name == "by" && f.op == "=" {
			if c.Socket, err = strconv.Atoi(f.value); err != nil || c.Socket < 1 {
				return fmt.Errorf("%q: the sockets are 1, 2, …", f.value)
			}
			o.words = o.words[:n-1]
		}
	}
	if o.op == "filter" {
		return o.filter(ns, c)
	}
	if err = o.want(1); err == nil {
		c.Addr, err = ns.addr(o.words[0])
	}
	return err
}

// filter reads GROUP include|exclude SOURCE….
func (o order) filter(ns *names, c *Command) (err error) {
	if len(o.words) < 2 || o.words[1] != "include" && o.words[1] != "exclude" {
		return fmt.Errorf("write filter GROUP include|exclude SOURCE…")
	}
	if c.Addr, err = ns.addr(o.words[0]); err != nil {
		return err
	}
	c.Mode = o.words[1]
	for _, w := range o.words[2:] {
		as, err := ns.addrs(w)
		if err != nil {
			return err
		}
		c.Sources = append(c.Sources, as...)
	}
	return nil
}

// route reads PREFIX [via ADDRESS].
func (o order) route(ns *names, c *Command) (err error) {
	if len(o.words) != 1 && (len(o.words) != 3 || o.words[1] != "via") {
		return fmt.Errorf("write %s PREFIX [via ADDRESS]", o.op)
	}
	if c.Prefix, err = ns.prefix(o.words[0]); err == nil && len(o.words) == 3 {
		c.Via, err = ns.addr(o.words[2])
	}
	c.Prefix = c.Prefix.Masked()
	return err
}

// send reads dst=ADDRESS [src=ADDRESS] [sport=N] [dport=N] [size=N].
func (o order) send(ns *names, c *Command) (err error) {
	c.SrcPort, c.DstPort, c.Size = 40001, 40000, 8
	for _, w := range o.words {
		f := parseField(w)
		var v uint64
		switch {
		case f.op != "=":
			err = fmt.Errorf("%q: send takes dst=, src=, sport=, dport= and size=", w)
		case f.name == "dst":
			c.Addr, err = ns.addr(f.value)
		case f.name == "src":
			c.Src, err = ns.addr(f.value)
		case f.name == "sport", f.name == "dport", f.name == "size":
			v, err = strconv.ParseUint(f.value, 10, 16)
			switch f.name {
			case "sport":
				c.SrcPort = uint16(v)
			case "dport":
				c.DstPort = uint16(v)
			default:
				c.Size = int(v)
			}
		default:
			err = fmt.Errorf("%q: send takes dst=, src=, sport=, dport= and size=", w)
		}
		if err != nil {
			return err
		}
	}
	if !c.Addr.IsValid() {
		return fmt.Errorf("send to where? Write send dst=ADDRESS")
	}
	return nil
}

// render is the command in plain addresses, as a target that is told it in
// text gets it.
func (c Command) render() string {
	s := c.Op
	add := func(format string, args ...any) { s += " " + fmt.Sprintf(format, args...) }
	switch c.Op {
	case "add", "route-add", "route-del":
		add("%s", c.Prefix)
	case "del", "join", "leave", "filter", "neighbor-add", "neighbor-del":
		add("%s", c.Addr)
	case "mtu":
		add("%d", c.Size)
	case "send":
		add("dst=%s", c.Addr)
		if c.Src.IsValid() {
			add("src=%s", c.Src)
		}
		add("sport=%d dport=%d size=%d", c.SrcPort, c.DstPort, c.Size)
	}
	if c.Op == "neighbor-add" || c.Op == "mac" {
		add("%s", c.LinkAddr)
	}
	if c.Via.IsValid() {
		add("via %s", c.Via)
	}
	if c.Mode != "" {
		add("%s", c.Mode)
	}
	for _, a := range c.Sources {
		add("%s", a)
	}
	if c.Socket > 1 {
		add("by=%d", c.Socket)
	}
	if c.Valid != 0 {
		add("valid=%d", int(c.Valid.Seconds()))
	}
	if c.Preferred != 0 {
		add("preferred=%d", int(c.Preferred.Seconds()))
	}
	return s
}

// validate finds what a view can never be.
func (v view) validate(ns *names) error {
	_, _, err := v.check(ns, View{})
	return err
}

// check looks a view up. It returns what the host has, and whether that is as
// it should be.
func (v view) check(ns *names, h View) (has string, ok bool, err error) {
	switch v.what {
	case "address", "neighbor":
		return v.state(ns, h)
	case "duplicate", "group":
		a, err := ns.addr(v.words[0])
		list := h.Groups
		if v.what == "duplicate" {
			list = h.Duplicates
		}
		return fmt.Sprint(list), slices.Contains(list, a) != v.no, err
	}
	return v.route(ns, h)
}

var (
	addressStates  = []string{"tentative", "optimistic", "preferred", "deprecated", "assigned"}
	neighborStates = []string{"incomplete", "reachable", "stale", "delay", "probe", "unreachable", "static"}
)

// state checks ADDRESS [STATE] [mac=…].
func (v view) state(ns *names, h View) (has string, ok bool, err error) {
	states, table := addressStates, h.Addresses
	if v.what == "neighbor" {
		states, table = neighborStates, h.Neighbors
	}
	a, err := ns.addr(v.words[0])
	if err != nil {
		return "", false, err
	}
	entry, found := table[a]
	ok = found
	for _, w := range v.words[1:] {
		f := parseField(w)
		switch {
		case slices.Contains(states, w):
			ok = ok && (entry.State == w || w == "assigned" && entry.State != "tentative")
		case f.name == "mac" && v.what == "neighbor":
			l, err := ns.linkAddr(f.value)
			if err != nil {
				return "", false, err
			}
			ok = ok && entry.LinkAddr == l
		case w == "router" && v.what == "neighbor":
			ok = ok && entry.Router
		case w == "no-router" && v.what == "neighbor":
			ok = ok && !entry.Router
		default:
			return "", false, fmt.Errorf("%q is nothing that an entry of this table has: there are %s", w, strings.Join(states, ", "))
		}
	}
	has = "no " + v.what + " " + a.String()
	if found {
		has = strings.TrimSpace(fmt.Sprintf("%s %s %s", v.what, a, entry))
	}
	return has, ok != v.no, nil
}

// route checks PREFIX [via ADDRESS].
func (v view) route(ns *names, h View) (has string, ok bool, err error) {
	p, err := ns.prefix(v.words[0])
	if err != nil {
		return "", false, err
	}
	var via netip.Addr
	if len(v.words) == 3 && v.words[1] == "via" {
		via, err = ns.addr(v.words[2])
	} else if len(v.words) != 1 {
		err = fmt.Errorf("write has route PREFIX [via ADDRESS]")
	}
	found := slices.ContainsFunc(h.Routes, func(r Route) bool {
		return r.Prefix == p.Masked() && (!via.IsValid() || r.Via == via)
	})
	return fmt.Sprint(h.Routes), found != v.no, err
}

// checkSetting finds a setting that no host of ours knows.
func checkSetting(s Setting) error {
	switch s.Name {
	case "loopback":
		if _, ok := loopbacks[s.Value]; !ok {
			return fmt.Errorf("%q is no loopback: there are none, echoes and unknown", s.Value)
		}
		return nil
	}
	// One knob can be set with one profile alone.
	p := stack.RFC2462()
	return p.Set(s.Name, s.Value)
}
