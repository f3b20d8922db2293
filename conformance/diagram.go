package conformance

import (
	"fmt"
	"strings"

	"github.com/tapstack/tapstack/internal/diagram"
	"github.com/tapstack/tapstack/nd"
)

// shortNames are what stands on the arrow of a message.
var shortNames = map[string]string{
	"ns": "NS", "na": "NA", "rs": "RS", "ra": "RA", "redirect": "redirect", "report": "MLDv2 report", "report1": "MLDv1 report",
	"done": "MLDv1 done", "query": "MLD query", "toobig": "too big", "parameter-problem": "bad parameter", "udp": "UDP", "tcp": "TCP",
}

// maxLifelines is how many nodes have a lifeline of their own; further ones
// share the last.
const maxLifelines = 8

// sequence makes a diagram of a trace.
type sequence struct {
	diagram.Diagram
	line map[nd.LinkAddr]int
}

// diagram is what happened in a case, with what decided marked.
func (r Result) diagram() diagram.Diagram {
	s := &sequence{line: map[nd.LinkAddr]int{}}
	s.Title = fmt.Sprintf("%s %s: %s", r.Case, r.Title, r.Verdict)
	s.Desc = fmt.Sprintf("What was on the link between %s, profile %s, and the nodes of the tester.", r.Target, r.Profile)
	s.Lines = []diagram.Line{{Name: "HOST"}}
	for i, ev := range r.Trace {
		row := s.row(ev)
		if i == r.Deviating {
			row.Wrong, row.Why = true, r.reason()
		}
		s.Rows = append(s.Rows, row)
	}
	if w := r.Window; w != nil {
		s.Window = &diagram.Window{From: w.From, Until: w.Until}
	}
	if r.Deviating >= 0 || r.Verdict == Pass || r.Verdict == NotApplicable {
		return s.Diagram
	}
	row := diagram.Row{At: r.Took, Kind: diagram.Note, Wrong: true, Text: "not as expected", Why: r.reason()}
	if r.Window != nil {
		row.At, row.Kind, row.To, row.Short, row.Text = max(r.Window.Until, 0), diagram.Missing, diagram.Everyone, "missing", "this is where it is missing"
	}
	s.Rows = append(s.Rows, row)
	return s.Diagram
}

// row is what happened in a row.
func (s *sequence) row(ev Event) diagram.Row {
	row := diagram.Row{At: ev.At, Text: ev.Text}
	if ev.What == Ordered || ev.What == Noted {
		row.Kind, row.Text = diagram.Note, arrows[ev.What]+" "+ev.Text
		return row
	}
	if len(ev.Frame) >= ethernetLen {
		dst, src := nd.LinkAddr(ev.Frame[:6]), nd.LinkAddr(ev.Frame[6:12])
		if ev.What == Sent {
			if s.line[src] == 0 {
				s.line[src], s.Lines[0].Detail = 0, src.String()
			}
		} else {
			row.From = s.lifeline(src)
		}
		switch {
		case dst[0]&1 != 0:
			row.To = diagram.Everyone
		case ev.What == Sent:
			row.To = s.lifeline(dst)
		}
		// It would be an arrow from a node to itself.
		if ev.What == Received && row.To == row.From {
			row.To = diagram.Everyone
		}
	}
	p := dissect(ev.Frame)
	row.Short = p.kind
	if name, ok := shortNames[p.kind]; ok {
		row.Short = name
	}
	if p.kind == "ns" && p.one("src") == "::" {
		row.Short = "DAD probe"
	}
	if parts := strings.SplitN(ev.Text, "  ", 3); len(parts) == 3 {
		row.Text, row.Detail = parts[2], parts[1]
	}
	return row
}

// lifeline is the one of the node with an Ethernet address.
func (s *sequence) lifeline(a nd.LinkAddr) int {
	if k, ok := s.line[a]; ok {
		return k
	}
	if len(s.Lines) == maxLifelines {
		s.Lines[maxLifelines-1] = diagram.Line{Name: "others"}
		return maxLifelines - 1
	}
	l := diagram.Line{Name: "a node", Detail: a.String()}
	for n := '1'; n <= '9'; n++ {
		for _, name := range []string{"TN", "TR"} {
			if node, _ := nodeByName(name + string(n)); node.linkAddr == a {
				l.Name = node.name
			}
		}
	}
	s.Lines = append(s.Lines, l)
	s.line[a] = len(s.Lines) - 1
	return s.line[a]
}
