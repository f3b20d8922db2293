package conformance

import (
	"context"
	"strconv"
	"testing"
	"time"
)

// checkable reports whether a capture of a case shows one host: in some, a
// node of the tester has the host's link-layer address, or its frames come
// back, or a knob is set that no capture shows.
func checkable(c *Case, r Result, mac string) bool {
	for _, k := range c.Knobs {
		if k.Name == "loopback" {
			return false
		}
	}
	for _, ev := range r.Trace {
		if ev.What == Received && dissect(ev.Frame).one("ethsrc") == mac {
			return false
		}
	}
	return true
}

// checkConfig is what is known of the host of a case.
func checkConfig(t *testing.T, c *Case, profile string) (cfg CheckConfig) {
	cfg.Profile, cfg.DupAddrDetectTransmits = profile, 1
	for _, k := range c.Knobs {
		switch k.Name {
		case "enhanced_dad", "mld_version", "rs_schedule":
			cfg.Profile = "" // it is another one
		case "dad_transmits":
			cfg.DupAddrDetectTransmits, _ = strconv.Atoi(k.Value)
		case "retrans_timer":
			d, err := time.ParseDuration(k.Value)
			if err != nil {
				t.Fatal(err)
			}
			cfg.RetransTimer = d
		}
	}
	return cfg
}

// judgeTrace gives the frames of a trace to a Check and returns what it says
// of the host.
func judgeTrace(cfg CheckConfig, r Result) (host HostReport) {
	check := NewCheck(cfg)
	for _, ev := range r.Trace {
		if ev.What == Sent || ev.What == Received {
			check.Saw(ev.At, ev.Frame, true)
		}
	}
	for _, h := range check.Hosts() {
		if h.LinkAddr == HostLinkAddr.String() {
			return h
		}
	}
	return host
}

// A host that does what the RFCs say is never accused, whatever it is told,
// whatever others do to it, and however chance has it: the Core passes in every
// case of the suite, though the check knows nothing of its commands.
func TestCheckAccusesNoCore(t *testing.T) {
	judged, frames := 0, 0
	for _, profile := range ProfileNames {
		for _, c := range scenarios(t) {
			if !c.isFor(profile) {
				continue
			}
			for _, chance := range []Chance{Earliest, Latest, Random} {
				r := playCase(context.Background(), c, CoreDriver{}, profile, chance)
				if r.Verdict == NotApplicable || !checkable(c, r, HostLinkAddr.String()) {
					continue
				}
				judged++
				for _, withProfile := range []string{"", profile} {
					cfg := checkConfig(t, c, withProfile)
					host := judgeTrace(cfg, r)
					frames += host.Frames
					for _, d := range host.Departures {
						t.Errorf("%s %s %s (%q): %v", c.ID, profile, chance, withProfile, d)
					}
				}
			}
		}
	}
	t.Logf("%d captures with %d frames of the host", judged, frames)
	if judged < 1000 {
		t.Errorf("only %d captures were judged", judged)
	}
}
