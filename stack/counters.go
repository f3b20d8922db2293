package stack

// Counters count what went through an interface and what was refused.
type Counters struct {
	CoreCounters
	DataIn            uint64 `json:"data_in"`             // packets given to the sockets
	DataWhileDown     uint64 `json:"data_while_down"`     // dropped: the link was down or IPv6 disabled
	DataOut           uint64 `json:"data_out"`            // packets of the sockets put on the link
	NoRoute           uint64 `json:"no_route"`            // no route to the destination
	SentWhileDown     uint64 `json:"sent_while_down"`     // the link was down or IPv6 disabled
	SendErrors        uint64 `json:"send_errors"`         // the link refused a data packet
	ControlSendErrors uint64 `json:"control_send_errors"` // the link refused an ND or MLD message
	MissesLost        uint64 `json:"misses_lost"`         // no room for a packet that needed resolution
	FramesLost        uint64 `json:"control_frames_lost"` // no room for an ND or MLD message
	NotIPv6           uint64 `json:"not_ipv6"`
	OtherHost         uint64 `json:"other_host"`   // frames to another link-layer address
	OtherGroup        uint64 `json:"other_group"`  // packets to a group that nobody here listens to
	OtherSource       uint64 `json:"other_source"` // packets to a group from a source that nobody here listens to
	Refused           uint64 `json:"refused"`      // fragmented ND, broken extension headers

	// ICMPv6 as the sockets saw it.
	ErrorsIn           uint64 `json:"icmp_errors_in"`             // for flows of this host
	BadErrorsIn        uint64 `json:"icmp_bad_errors_in"`         // malformed, or for no flow of this host
	TooBigsIn          uint64 `json:"icmp_too_bigs_in"`           // obeyed
	BadTooBigsIn       uint64 `json:"icmp_bad_too_bigs_in"`       // below 1280, not below the estimate, or about nothing that was sent
	PathMTUsEvicted    uint64 `json:"path_mtus_evicted"`          // for others
	FragmentedForPath  uint64 `json:"fragmented_for_path"`        // packets cut to fit a path MTU
	SegmentsTooBig     uint64 `json:"segments_too_big"`           // of TCP, for a path MTU
	GroupEchosIn       uint64 `json:"icmp_group_echos_in"`        // answered
	IncompleteFirstIn  uint64 `json:"incomplete_first_fragments"` // RFC 7112, section 5
	ErrorsLimited      uint64 `json:"icmp_errors_limited"`        // not sent: RFC 4443, section 2.4 (f)
	ErrorsWithheld     uint64 `json:"icmp_errors_withheld"`       // not sent: the knob unreachables, or RFC 4443, section 2.4 (e)
	ControlFromSockets uint64 `json:"control_from_sockets"`       // ND or MLD that gVisor wanted to send; always 0
}

// Counters returns the counts so far.
func (i *Interface) Counters() Counters {
	s := &i.counters
	c := Counters{
		DataIn: s.dataIn.Load(), DataWhileDown: s.dataWhileDown.Load(), DataOut: s.dataOut.Load(), NoRoute: s.noRoute.Load(),
		SentWhileDown: s.down.Load(), SendErrors: s.sendErrors.Load(), ControlSendErrors: s.controlSendErrors.Load(),
		MissesLost: s.missesLost.Load(), FramesLost: i.inbox.lostFrames(),
		NotIPv6: s.notIPv6.Load(), OtherHost: s.otherHost.Load(), Refused: s.refused.Load(),
		OtherGroup: s.otherGroup.Load(), OtherSource: s.otherSource.Load(),
	}
	h := i.host.Counters()
	c.ErrorsIn, c.BadErrorsIn, c.TooBigsIn, c.BadTooBigsIn = h.InErrors, h.InBadErrors, h.InTooBigs, h.InBadTooBigs
	c.GroupEchosIn, c.IncompleteFirstIn = h.InGroupEchos, h.InIncompleteFirstFragments
	c.PathMTUsEvicted, c.FragmentedForPath, c.SegmentsTooBig = h.PathMTUsEvicted, h.OutFragmented, h.OutSegmentsTooBig
	c.ErrorsLimited, c.ErrorsWithheld, c.ControlFromSockets = h.OutErrorsLimited, h.OutErrorsWithheld, h.OutControl
	i.look(func(core *Core) { c.CoreCounters = core.Counters() })
	return c
}
