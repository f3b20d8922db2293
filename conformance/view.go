package conformance

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/tapstack/tapstack/mld"
	"github.com/tapstack/tapstack/nd"
	"github.com/tapstack/tapstack/rib"
	"github.com/tapstack/tapstack/stack"
)

// newView is a View of the tables of a stack.
func newView(as []stack.Address, fs []stack.Failure, rs []rib.Route, gs []mld.Group, ns []nd.Neighbor) View {
	v := View{Addresses: map[netip.Addr]Entry{}, Neighbors: map[netip.Addr]Entry{}}
	for _, a := range as {
		v.Addresses[a.Prefix.Addr()] = Entry{State: a.State.String()}
	}
	for _, f := range fs {
		if a := f.Duplicate.Addr; !slices.Contains(v.Duplicates, a) {
			v.Duplicates = append(v.Duplicates, a)
		}
	}
	for _, r := range rs {
		v.Routes = append(v.Routes, Route{r.Prefix, r.NextHop})
	}
	for _, g := range gs {
		v.Groups = append(v.Groups, g.Addr)
	}
	for _, n := range ns {
		v.Neighbors[n.Addr] = Entry{State: strings.ToLower(n.State.String()), LinkAddr: n.LinkAddr, Router: n.IsRouter}
	}
	return v
}
