package conformance

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/tapstack/tapstack/internal/pcap"
)

// WritePcapng writes the frames of the trace as tcpdump and Wireshark read
// them, from the tester's end of the link: what the host sent is inbound. Time
// begins with 1970. Commands are comments at the frame that comes after them,
// and what decided is one at the frame that deviates, or at the last.
func (r Result) WritePcapng(w io.Writer) error {
	type packet struct {
		Event
		comments []string
	}
	var packets []packet
	var pending []string
	for i, ev := range r.Trace {
		if i == r.Deviating {
			pending = append(pending, r.reason())
		}
		if ev.What == Ordered || ev.What == Noted {
			pending = append(pending, fmt.Sprintf("%v %s %s", ev.At.Round(time.Millisecond), arrows[ev.What], ev.Text))
			continue
		}
		packets = append(packets, packet{ev, pending})
		pending = nil
	}
	if r.Deviating < 0 && r.Verdict != Pass {
		pending = append(pending, r.reason())
	}
	if n := len(packets); n > 0 {
		for _, c := range pending {
			packets[n-1].comments = append(packets[n-1].comments, "then: "+c)
		}
	}
	out := pcap.NewWriter(w, r.Target, [6]byte{})
	for _, p := range packets {
		direction := pcap.Outbound
		if p.What == Sent {
			direction = pcap.Inbound
		}
		out.Packet(time.Unix(0, int64(p.At)), direction, p.Frame, p.comments...)
	}
	return out.Err()
}

// reason is what decided in one text.
func (r Result) reason() string {
	s := string(r.Verdict)
	if r.Section != "" {
		s += ": " + r.Section
	}
	if r.Expected != "" {
		s += "\nexpected  " + r.Expected
	}
	return strings.TrimSuffix(s+"\nobserved  "+r.Observed, "\nobserved  ")
}
