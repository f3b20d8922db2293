package conformance

import (
	"errors"
	"io"
	"time"

	"github.com/tapstack/tapstack/internal/pcap"
)

// Capture is what the file of a capture says of its hosts.
type Capture struct {
	Frames int           `json:"frames"`
	Began  time.Time     `json:"began"` // the time of the first frame
	Took   time.Duration `json:"took_ns"`
	Hosts  []HostReport  `json:"hosts"`
	// Notes tells what was not looked at.
	Notes []string `json:"notes"`
}

// CheckCapture judges the hosts of a capture: a file of pcap or pcapng of an
// Ethernet. Times in what it returns are counted from the first frame.
//
// The error says in a line what is wrong with the file, and at which frame; or
// it is one of r. What was read before is judged all the same.
func CheckCapture(r io.Reader, cfg CheckConfig) (Capture, error) {
	c := Capture{Hosts: []HostReport{}}
	check := NewCheck(cfg)
	frames, err := pcap.NewReader(r)
	for err == nil {
		var f pcap.Frame
		if f, err = frames.Next(); err != nil {
			break
		}
		if c.Frames++; c.Frames == 1 {
			c.Began = f.At
		}
		at := f.At.Sub(c.Began)
		c.Took = max(c.Took, at)
		check.Saw(at, f.Data, len(f.Data) >= f.Length)
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	c.Hosts = check.Hosts()
	c.Notes = append([]string{}, check.Notes()...)
	return c, err
}
