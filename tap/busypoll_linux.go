package tap

import "time"

// maxBusyPoll is how long a reader asks an empty device again and again before
// it sleeps: a little longer than a peer on the same machine takes to answer,
// of which waking a thread is most.
const maxBusyPoll = 100 * time.Microsecond

// pollsPerYield is how often the device is asked between two chances for other
// goroutines, whose work is likely to be what the next frame answers. More
// chances wake threads that find nothing to do. The first one is after
// pollsBeforeYield, some 3 µs: whom the reader has answered itself may send the
// next frame sooner.
const pollsPerYield, pollsBeforeYield = 64, 8

// busyPoll decides whether the reader of an empty device polls it or sleeps.
// It polls only while frames come close upon each other: a sleep shorter than
// maxBusyPoll begins that, and one that was longer ends it. So a device on
// which little happens is never polled.
type busyPoll struct {
	never bool
	pays  bool
	slept bool
	polls int
	since time.Time // when the device was found empty
}

// newBusyPoll returns what cfg wants on so many processors. One alone has others
// to run.
func newBusyPoll(cfg Config, processors int) busyPoll {
	return busyPoll{never: cfg.NoBusyPoll || processors < 2}
}

// empty says that the device was empty at now. It reports whether to ask it
// again at once, and whether to let others run before.
func (p *busyPoll) empty(now time.Time) (again, yield bool) {
	if p.since.IsZero() {
		p.since = now
	}
	if !p.pays || now.Sub(p.since) >= maxBusyPoll {
		p.slept = true
		return false, false
	}
	p.polls++
	return true, p.polls%pollsPerYield == pollsBeforeYield
}

// waited reports whether the device was empty before it was ready, so that
// ready is due.
func (p *busyPoll) waited() bool { return !p.since.IsZero() }

// ready says that the wait ended at now.
func (p *busyPoll) ready(now time.Time) {
	if p.slept {
		p.pays = !p.never && now.Sub(p.since) < maxBusyPoll
	}
	p.slept, p.polls, p.since = false, 0, time.Time{}
}
