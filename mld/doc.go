// Package mld is the listener part of Multicast Listener Discovery: it tells
// the routers and switches of a link to which groups a host listens, with
// MLDv2 (RFC 3810, RFC 9777) and, where a router speaks nothing newer, MLDv1
// (RFC 2710), from the source addresses of RFC 3590.
//
// Machine is a pure state machine: events and the time go in, actions come
// out, and nothing else happens. It keeps who holds which group with which
// source filter, so that a group ends with its last holder and not before. Parse and Append are the
// wire format; Parse lets only valid messages through.
//
//	m := mld.New(mld.Config{}, random)
//	m.Step(now, mld.Up{})
//	m.Step(now, mld.SetLinkLocal{Addr: linkLocal})
//	for _, a := range m.Step(now, mld.Changes{{Op: mld.OpJoin, Group: group, Holder: holder}}) {
//		if send, ok := a.(mld.Send); ok {
//			packet := mld.Append(nil, send.Src, send.Dst, send.Message)
//			// put packet on the wire: hop limit 1, Router Alert
//		}
//	}
//	next, ok := m.Deadline() // when to call m.Advance
//
// A holder may ask for some sources only, or for all but some (OpSet). What the
// link is told of is the merger of all holders' filters, and with it Joined and
// Filtered tell the receive path what to let through; what each socket gets of
// that is up to its own Filter. The router part is not implemented. The
// extension headers around a message belong to the caller.
package mld
