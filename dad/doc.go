// Package dad is Duplicate Address Detection: the state machine that decides
// whether an address may be assigned to an interface.
//
// It implements RFC 4862, section 5.4, in its present form and, by four fields
// of Config, in the older one of RFC 2462; Enhanced DAD, which tells a probe
// that a link looped back from a probe of another node (RFC 7527); and
// Optimistic DAD (RFC 4429).
//
// It does not validate or encode messages (package nd does), send MLD reports
// (package mld), defend assigned addresses (package nd), form addresses, know
// their lifetimes, or choose what becomes of an interface whose link-local
// address is a duplicate. It needs the all-nodes group, which RFC 4862,
// section 5.4.2, asks for too, to be listened to as long as the interface is up.
//
// Machine is a pure function of its configuration, the calls made and the
// answers of nd.Random. It reads no clock and sends nothing: it turns events
// into actions, which the caller executes in order.
//
//	m := dad.New(dad.Config{}, random)
//	execute(m.Step(now, dad.Start{Addr: addr})) // Join, Probe
//	for {
//		deadline, ok := m.Deadline()
//		select {
//		case msg := <-solicitations:
//			execute(m.Step(msg.At, dad.Solicit{Header: msg.Header, NeighborSolicit: msg.Body}))
//		case now := <-timer(deadline, ok):
//			execute(m.Advance(now)) // Assign, after RetransTimer without evidence
//		}
//	}
//
// An address passes through these states:
//
//	Absent ──Start──► Delayed ──delay──► Tentative ──RetransTimer──► Assigned
//	   │                                    ▲  │ probes left, or looped back
//	   │                                    └──┘
//	   ├──Start, no delay due──► Tentative
//	   ├──Start, Optimistic────► OptimisticState ──RetransTimer──► Assigned
//	   └──Start, no test due───► Assigned
//
// and back to Absent by Stop, from Delayed, Tentative and OptimisticState also
// by evidence of a duplicate, and from the last two by SendFailed.
package dad
