package control

import (
	"encoding/json"
	"net/netip"
	"time"

	"github.com/tapstack/tapstack/nd"
	"github.com/tapstack/tapstack/rib"
	"github.com/tapstack/tapstack/stack"
)

// The views: what the GET requests list for one interface.

func addresses(i *stack.Interface, now time.Time) []Address {
	var all []Address
	for _, a := range i.Addresses() {
		v := Address{
			Interface:         i.Name(),
			Address:           a.Prefix.Addr().WithZone(""),
			PrefixLen:         a.Prefix.Bits(),
			State:             a.State.String(),
			Origin:            a.Origin.String(),
			PreferredLifetime: secondsLeft(a.PreferredUntil, now),
			ValidLifetime:     secondsLeft(a.ValidUntil, now),
		}
		if a.State == stack.Deprecated && v.PreferredLifetime == nil {
			v.PreferredLifetime = new(uint32) // deprecated from the start
		}
		all = append(all, v)
	}
	return all
}

// secondsLeft is the time until end, rounded up to seconds, or nil for never.
func secondsLeft(end, now time.Time) *uint32 {
	if end.IsZero() {
		return nil
	}
	s := uint32(max(0, (end.Sub(now)+time.Second-1)/time.Second))
	return &s
}

func duplicates(i *stack.Interface, _ time.Time) []Duplicate {
	var all []Duplicate
	for _, f := range i.Failures() {
		all = append(all, Duplicate{
			Time:        f.Time.UTC(),
			Interface:   f.Interface,
			Address:     f.Duplicate.Addr,
			LinkAddress: f.Duplicate.LinkAddr,
			From:        f.Duplicate.From,
			Evidence:    f.Duplicate.Evidence.String(),
		})
	}
	return all
}

func routes(i *stack.Interface, _ time.Time) []Route {
	var all []Route
	for _, r := range i.Routes() {
		v := Route{
			Destination: r.Prefix,
			Interface:   i.Name(),
			Origin:      r.Origin.String(),
			Preference:  preference(r.Preference),
			Metric:      r.Metric,
			Owners:      []string{},
		}
		if r.NextHop.IsValid() {
			v.NextHop = &r.NextHop
		}
		for _, o := range r.Owners {
			v.Owners = append(v.Owners, o.String())
		}
		v.Expires = timeOrNull(r.Expires)
		all = append(all, v)
	}
	return all
}

func preference(p rib.Preference) string {
	switch {
	case p < 0:
		return "low"
	case p > 0:
		return "high"
	}
	return "medium"
}

func neighbors(i *stack.Interface, _ time.Time) []Neighbor {
	var all []Neighbor
	for _, n := range i.Neighbors() {
		v := Neighbor{
			Interface: i.Name(),
			Address:   n.Addr,
			State:     n.State.String(),
			Router:    n.IsRouter,
			Since:     n.Since.UTC(),
		}
		if n.LinkAddr != (nd.LinkAddr{}) {
			v.LinkAddress = &n.LinkAddr
		}
		all = append(all, v)
	}
	return all
}

func groups(i *stack.Interface, _ time.Time) []Group {
	var all []Group
	for _, g := range i.Groups() {
		v := Group{Interface: i.Name(), Group: g.Addr, Mode: g.Mode.String(), Sources: []netip.Addr{}, Holders: []string{}}
		v.Sources = append(v.Sources, g.Sources...)
		for _, h := range g.Holders {
			v.Holders = append(v.Holders, h.String())
		}
		all = append(all, v)
	}
	return all
}

func links(i *stack.Interface, _ time.Time) []Link {
	s := i.Status()
	counters, err := json.Marshal(i.Counters())
	if err != nil {
		panic(err) // numbers only
	}
	return []Link{{
		Interface:    i.Name(),
		Index:        s.Index,
		LinkAddress:  s.LinkAddr,
		MTU:          s.MTU,
		Up:           s.Up,
		IPv6Disabled: s.IPv6Disabled,
		MLDVersion:   s.MLDVersion,
		Counters:     counters,
	}}
}
