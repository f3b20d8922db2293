package stack

import (
	"errors"

	"github.com/tapstack/tapstack/dad"
	"github.com/tapstack/tapstack/mld"
	"github.com/tapstack/tapstack/nd"
)

// ICMPv6 types of MLD (RFC 2710, section 3.1; RFC 3810, section 5).
const (
	typeMLDQuery    = 130
	typeMLDReportV1 = 131
	typeMLDDoneV1   = 132
	typeMLDReportV2 = 143
)

// receive dispatches one frame. A frame is never dropped for having the own
// link-layer address as its source: two nodes with one address is the case
// that DAD must find (RFC 4862, appendix A).
func (c *Core) receive(frame []byte) {
	c.counters.ControlFramesIn++
	p, ok := parseControl(frame)
	switch {
	case !ok:
		c.counters.ControlMalformed++
	case !c.up || c.disabled:
		c.counters.ControlWhileDown++
	case !c.isForUs(p):
		c.counters.ControlNotForUs++
	default:
		c.dispatch(p)
	}
}

// isForUs compares both destinations. A group may come in a frame to the own
// link-layer address (RFC 6085, section 3).
func (c *Core) isForUs(p control) bool {
	if p.to != c.cfg.LinkAddr && !p.to.IsMulticast() {
		return false
	}
	if p.dst.IsMulticast() {
		return c.groups.Member(p.dst)
	}
	_, known := c.addresses.get(p.dst)
	return known
}

func (c *Core) dispatch(p control) {
	switch p.message[0] {
	case typeMLDQuery, typeMLDReportV1, typeMLDDoneV1, typeMLDReportV2:
		h := mld.Header{Src: p.src, Dst: p.dst, HopLimit: p.hopLimit, RouterAlert: p.routerAlert, Version1: c.cfg.Profile.mldv1}
		m, err := mld.Parse(h, p.message)
		var invalid *mld.InvalidError
		if errors.As(err, &invalid) {
			c.counters.InvalidMLD++
			c.runMLD(c.groups.Step(c.now, mld.Invalid{Reason: invalid.Reason}))
			return
		}
		c.runMLD(c.groups.Step(c.now, mld.Received{Header: h, Message: m}))
	default:
		h := nd.Header{Src: p.src, Dst: p.dst, From: p.from}
		m, err := c.parser.Parse(h, p.hopLimit, p.message)
		if err != nil {
			c.counters.InvalidND++
			return
		}
		c.receiveND(h, m)
	}
}

// receiveND offers a valid message to dad and nd, in that order.
func (c *Core) receiveND(h nd.Header, m nd.Message) {
	switch m := m.(type) {
	case *nd.NeighborSolicit:
		if c.dad.State(m.Target) != dad.Assigned { // of which dad need know nothing more
			c.runDAD(c.dad.Step(c.now, dad.Solicit{Header: h, NeighborSolicit: m}))
		}
		c.runND(c.neighbors.Step(c.now, nd.Solicited{Header: h, NeighborSolicit: m}))
		c.seenOnLink(h.Src)
	case *nd.RouterAdvert:
		if !c.cfg.NoRouters {
			c.runRouters(c.routers.Step(c.now, nd.Advert{Header: h, RouterAdvert: m}))
		}
	case *nd.NeighborAdvert:
		state := c.dad.State(m.Target)
		c.runDAD(c.dad.Step(c.now, dad.Advert{Header: h, NeighborAdvert: m}))
		// RFC 4862, section 5.4.4: an advertisement for a tentative address
		// is evidence and nothing else.
		if state == dad.Absent || state == dad.Assigned {
			c.runND(c.neighbors.Step(c.now, nd.Advertised{Header: h, NeighborAdvert: m}))
			c.seenOnLink(m.Target)
		}
	case *nd.Redirect:
		c.redirected(h, m)
	}
}
