package nd

import "time"

// solicitation is how far the interface is with soliciting routers.
type solicitation struct {
	sent  int           // since it began
	pause time.Duration // RFC 7559: before the next one
	heard bool          // an advertisement, whatever it said
	last  time.Time     // when the last one was sent, maybe before it began anew
}

// solicitTimer is a timer of solicitation.
type solicitTimer uint8

const (
	sendSolicit   solicitTimer = iota // the next solicitation is due
	awaitNoRouter                     // the wait after the last one is over
)

func (t solicitTimer) fire(r *Routers) {
	switch t {
	case sendSolicit:
		r.solicit()
	case awaitNoRouter:
		r.emit(NoRouters{})
	}
}

// beginSoliciting starts from the beginning (RFC 4861, section 6.3.7).
func (r *Routers) beginSoliciting(delayed bool) {
	r.stopSoliciting()
	r.solicits = solicitation{last: r.solicits.last}
	at := r.now
	if !delayed { // else "there is no need to delay again"
		at = at.Add(r.random.Between(0, r.cfg.MaxRtrSolicitationDelay))
	}
	// "each separated by at least RTR_SOLICITATION_INTERVAL seconds"
	next := r.solicits.last.Add(r.cfg.RtrSolicitationInterval)
	if !r.solicits.last.IsZero() && at.Before(next) {
		at = next
	}
	r.timers.Set(sendSolicit, at)
	r.fireDue(r.now)
}

func (r *Routers) stopSoliciting() {
	r.timers.Clear(sendSolicit)
	r.timers.Clear(awaitNoRouter)
}

func (r *Routers) solicit() {
	r.emit(Solicit{
		Src: r.source.Addr, Dst: AllRouters,
		Message: &RouterSolicit{SourceLinkAddr: r.source.SourceLinkAddr},
	})
	r.counters.Solicits++
	s := &r.solicits
	s.sent++
	s.last = r.now
	switch {
	case r.cfg.Backoff:
		r.timers.Set(sendSolicit, r.now.Add(r.nextPause()))
	case s.sent < r.cfg.MaxRtrSolicitations:
		r.timers.Set(sendSolicit, r.now.Add(r.cfg.RtrSolicitationInterval))
	}
	// "If a host sends MAX_RTR_SOLICITATIONS solicitations, and receives no
	// Router Advertisements after having waited MAX_RTR_SOLICITATION_DELAY
	// seconds after sending the last solicitation, the host concludes that
	// there are no routers". With RFC 7559 it says so as early, and goes on.
	if s.sent == r.cfg.MaxRtrSolicitations && !s.heard {
		r.timers.Set(awaitNoRouter, r.now.Add(r.cfg.MaxRtrSolicitationDelay))
	}
}

// maxPause is MRT of RFC 7559, section 2; IRT is RtrSolicitationInterval.
const maxPause = 3600 * time.Second

// nextPause draws RT of RFC 8415, section 15: each time about twice as long as
// before, with a random tenth more or less.
func (r *Routers) nextPause() time.Duration {
	s := &r.solicits
	if s.pause == 0 {
		s.pause = r.spread(r.cfg.RtrSolicitationInterval, 1)
	} else {
		s.pause = r.spread(s.pause, 2)
	}
	if s.pause > maxPause {
		s.pause = r.spread(maxPause, 1)
	}
	return s.pause
}

// spread draws times·d plus or minus a tenth of d.
func (r *Routers) spread(d, times time.Duration) time.Duration {
	return r.random.Between(times*d-d/10, times*d+d/10)
}

// heardAdvert ends soliciting, or the belief that there is no router. rt is
// nil if the router is not remembered.
func (r *Routers) heardAdvert(lifetime time.Duration, rt *router) {
	r.solicits.heard = true
	r.timers.Clear(awaitNoRouter)
	if r.solicits.sent == 0 || lifetime == 0 {
		// RFC 4861, section 6.3.7: "a host SHOULD send at least one
		// solicitation in the case where an advertisement is received prior to
		// having sent a solicitation". RFC 7559, section 2.1: one with
		// lifetime zero does not stop them.
		return
	}
	if r.cfg.Backoff && (rt == nil || rt.leases[defaultRoute] == nil) {
		// RFC 7559, section 2.1: stop when the advertisement "results in a
		// default route".
		return
	}
	r.timers.Clear(sendSolicit)
}
