package stack

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"runtime"
	"sync"
	"time"

	"github.com/tapstack/tapstack/internal/netstack"
	"github.com/tapstack/tapstack/nd"
)

const (
	// lateness is from when on the loop does not trust the stamps of frames
	// against a deadline that it has missed: the reader was probably held up
	// as well.
	lateness = 10 * time.Millisecond
	// readerPatience bounds how long a due timer waits for a reader that is
	// never idle.
	readerPatience = 200 * time.Millisecond
	// sendBatch is how many control frames are written together.
	sendBatch = 64
	// readerTurn is how many frames that wait the reader hands to the Core
	// before it goes on reading, and from how many on the loop gives it the
	// chance to.
	readerTurn = 256
	// stepBack is that chance: longer than a reader takes for what it reads at
	// once.
	stepBack = 100 * time.Microsecond
)

// loop owns the Core: everything that happens to it happens here, in a
// goroutine of its own. Only frames that the reader has just read it hands over
// itself, if it finds the loop at rest.
type loop struct {
	i *Interface
	// turn is held by who runs the Core, and guards what follows. The loop may
	// hold it for long, so the reader never waits for it.
	turn    sync.Mutex
	core    *Core
	timer   *time.Timer
	armed   time.Time // what timer is set to; zero: it is not
	waiting []stampedFrame
	sends   []*Send // waiting to be written together
	frames  [sendBatch]Frame
	pieces  [sendBatch][1][]byte // of frames
	refused []ProbeFailed
	awaited time.Time // the deadline before which the reader was waited for
}

func (l *loop) run() {
	defer close(l.i.loopDone)
	l.timer = time.NewTimer(time.Hour)
	defer l.timer.Stop()
	for {
		switch frames, calls := l.takeTurn(); {
		case frames > readerTurn:
			// What comes meanwhile would wait for the next turn, and so on as
			// long as they keep coming. The reader takes over.
			time.Sleep(stepBack)
		case calls > 1:
			// Who was answered may have another call: let them make it, so that
			// these are taken together again.
			runtime.Gosched()
		}
		select {
		case <-l.i.inbox.wake:
		case <-l.timer.C:
		case <-l.i.stop:
			l.turn.Lock() // for good
			l.finish()
			return
		}
	}
}

// takeTurn hands the Core all that waits, control frames first, and fires what
// is due. It returns how many frames and calls there were.
func (l *loop) takeTurn() (frames, calls int) {
	l.turn.Lock()
	defer l.turn.Unlock()
	now := time.Now()
	due, isDue := l.due(now)
	if isDue && !due.Equal(l.awaited) {
		l.awaitReader()
		l.awaited = due
	}
	waiting, outputs, commands := l.i.inbox.take(l.waiting[:0])
	frames = len(waiting)
	l.receive(waiting, now)
	if isDue {
		l.execute(l.core.AdvanceSome(now))
	}
	for _, ev := range outputs {
		l.execute(l.core.Step(now, ev))
	}
	calls = len(commands)
	for len(commands) > 0 {
		event, n := together(commands)
		c := commands[n-1]
		commands = commands[n:]
		if event != nil {
			l.execute(l.core.Step(now, event))
		}
		if c.look != nil {
			c.look(l.core)
		}
		if c.done != nil {
			close(c.done)
		}
	}
	l.arm()
	return frames, calls
}

// together returns the event of the first command, or one for several that
// follow each other and can be done as one, and how many these are. Callers that
// each remove an address are many at times.
func together(commands []command) (event CoreEvent, n int) {
	var requests []RemoveAddress
	for _, c := range commands {
		r, ok := c.event.(RemoveAddress)
		if !ok || c.look != nil || c.done != nil {
			break
		}
		requests = append(requests, r)
	}
	if len(requests) > 1 {
		return RemoveAddresses{requests}, len(requests)
	}
	return commands[0].event, 1
}

// receive hands the Core frames that have waited.
func (l *loop) receive(waiting []stampedFrame, now time.Time) {
	for _, f := range waiting {
		l.queue(l.core.receiveFrame(l.arrival(f.at, now), f.frame))
	}
	l.settle()
	l.i.inbox.recycle(waiting)
	if l.waiting = waiting; cap(waiting) > 2*readerTurn {
		l.waiting = nil
	}
}

// fromReader hands the Core frames that were read at now, behind those that
// wait, and reports whether it did. Answers leave together and on the reader's
// time, so that a flood cannot come faster than it is answered. If the loop is
// at work, or has to fire a timer first, the frames are for the inbox.
func (l *loop) fromReader(now time.Time, frames [][]byte) bool {
	if !l.turn.TryLock() {
		return false
	}
	defer l.turn.Unlock()
	if _, isDue := l.due(now); isDue {
		return false
	}
	if waiting, left := l.i.inbox.takeFrames(l.waiting[:0], readerTurn); len(waiting) > 0 {
		l.receive(waiting, now)
		if left {
			return false
		}
	}
	for _, frame := range frames {
		l.queue(l.core.receiveFrame(now, frame))
	}
	l.settle()
	if d, ok := l.core.Deadline(); ok && (l.armed.IsZero() || d.Before(l.armed)) {
		l.i.inbox.wakeLoop()
	}
	return true
}

// due returns the Core's deadline, and whether it has come.
func (l *loop) due(now time.Time) (at time.Time, isDue bool) {
	at, ok := l.core.Deadline()
	return at, ok && !at.After(now)
}

// arm sets the timer to the Core's deadline.
func (l *loop) arm() {
	d, ok := l.core.Deadline()
	if !ok {
		l.armed = time.Time{}
		l.timer.Stop()
		return
	}
	l.armed = d
	l.timer.Reset(time.Until(d))
}

// arrival is the time at which the Core is told that a frame came that was read
// at this time. If the loop has missed a deadline, the frame came in time as far
// as anybody can know: nobody has seen the effect of the timer yet. An
// advertisement that lay unread while the process was held up thus still finds
// its duplicate.
func (l *loop) arrival(at, now time.Time) time.Time {
	d, ok := l.core.Deadline()
	if ok && now.Sub(d) > lateness && !at.Before(d) {
		return d.Add(-1)
	}
	return at
}

// awaitReader waits until every frame that had arrived is in the inbox.
func (l *loop) awaitReader() {
	if l.i.link.Drained() {
		return
	}
	pause, until := 20*time.Microsecond, time.Now().Add(readerPatience)
	for !l.i.link.Drained() && time.Now().Before(until) && !l.i.readerEnded() {
		time.Sleep(pause)
		pause = min(2*pause, time.Millisecond)
	}
}

// execute carries out actions in order.
func (l *loop) execute(actions []CoreAction) {
	l.queue(actions)
	l.settle()
}

// queue carries out actions in order, save that control frames which follow
// each other wait to be written together, until settle.
func (l *loop) queue(actions []CoreAction) {
	for k, act := range actions {
		actions[k] = nil // it may be one of very many: let go of what is done
		if send, ok := act.(*Send); ok {
			l.queueFrame(send)
			continue
		}
		if !overtakes(act) {
			l.flush()
		}
		l.perform(act)
	}
	l.core.recycle(actions)
	if len(l.refused) > 0 {
		l.settle()
	}
}

// overtakes reports whether an action may be carried out before the frames that
// are queued: what a solicitation tells of its sender does not bear on the
// answers to others.
func overtakes(act CoreAction) bool {
	switch act := act.(type) {
	case SetNeighborView, DropNeighborView:
		return true
	case Notify:
		return act.Event.Type == NeighborChanged
	}
	return false
}

// settle writes the frames that are queued, and tells the Core of the probes
// that the link refused.
func (l *loop) settle() {
	l.flush()
	for len(l.refused) > 0 {
		refused := l.refused
		l.refused = nil
		for _, r := range refused {
			l.queue(l.core.Step(time.Now(), r))
		}
		l.flush()
	}
}

func (l *loop) queueFrame(s *Send) {
	n := len(l.sends)
	l.pieces[n][0] = s.Frame
	l.frames[n] = Frame{Data: l.pieces[n][:]}
	if l.sends = append(l.sends, s); len(l.sends) == sendBatch {
		l.flush()
	}
}

// flush writes the queued frames. A probe that the link refuses is a failed
// DAD; other messages are repeated by their own rules.
func (l *loop) flush() {
	for sent := 0; sent < len(l.sends); {
		n, err := l.i.link.Write(l.frames[sent:len(l.sends)])
		sent += n
		if err == nil {
			if n == 0 {
				err = errors.New("the link took nothing")
			} else {
				continue
			}
		}
		if sent == len(l.sends) {
			break
		}
		l.i.counters.controlSendErrors.Add(1)
		if probe := l.sends[sent].Probe; probe.IsValid() {
			l.refused = append(l.refused, ProbeFailed{probe, err})
		}
		sent++
	}
	for k, s := range l.sends {
		l.sends[k], l.pieces[k][0] = nil, nil
		l.core.recycleSend(s)
	}
	l.sends = l.sends[:0]
}

func (l *loop) perform(act CoreAction) {
	i := l.i
	switch act := act.(type) {
	case Enable:
		l.check("enable", i.host.AddAddress(act.Addr))
	case Disable:
		l.check("disable", i.host.RemoveAddress(act.Addr, false))
	case Abort:
		i.host.AbortConnections(act.Addr)
	case Publish:
		i.view.Store(act.Snapshot)
	case SetNeighborView:
		l.setNeighborView(act.Neighbor)
	case DropNeighborView:
		i.neighbors.remove(act.Addr.As16())
	case Release:
		for _, p := range act.Packets {
			i.send(p.(*netstack.Packet), act.LinkAddr)
			p.(*netstack.Packet).Release()
		}
	case Resend:
		for _, p := range act.Packets {
			i.resend(p.(*netstack.Packet))
		}
	case WatchProgress:
		i.host.WantProgress(act.Generation)
	case UseLinkAddr:
		i.linkAddr.Store(&act.LinkAddr)
	case Unreachable:
		for _, p := range act.Packets {
			i.host.Unreachable(p.(*netstack.Packet), codeAddressUnreachable)
			p.(*netstack.Packet).Release()
		}
	case Discard:
		for _, p := range act.Packets {
			p.(*netstack.Packet).Release()
		}
	case OpenGroup:
		i.groups.set(act.Group.As16(), act.Filter)
		l.check("join", i.host.JoinGroup(act.Group))
	case FilterGroup:
		i.groups.set(act.Group.As16(), act.Filter)
	case CloseGroup:
		i.groups.remove(act.Group.As16())
		l.check("leave", i.host.LeaveGroup(act.Group))
	case SetHopLimit:
		i.host.SetHopLimit(act.HopLimit)
	case SetPathMTU:
		l.check("set MTU", i.host.SetMTU(act.MTU))
	case SetUsable:
		i.usable.Store(act.Usable)
		if !act.Usable {
			i.host.FlushPathMTUs() // the next link may be another one
		}
	case SaveDADCounter:
		if i.saveCounter != nil {
			i.saveCounter(nd.DADCounter(act))
		}
	case Done:
		i.requests.finish(act.ID, act.Err)
	case Notify:
		l.notify(act.Event)
	}
}

// check reports what cannot happen while Core and sockets agree.
func (l *loop) check(op string, err error) {
	if err != nil {
		l.i.log.Error("sockets and address table disagree", "op", op, "error", err)
	}
}

func (l *loop) setNeighborView(n nd.Neighbor) {
	if n.State == nd.Incomplete {
		l.i.neighbors.remove(n.Addr.As16())
		return
	}
	l.i.neighbors.set(n.Addr.As16(), n.LinkAddr, n.State == nd.Stale || n.State == nd.Unreachable)
}

// debug logs what may be said of very many addresses. Where nobody listens, it
// allocates nothing.
func (l *loop) debug(message string, a netip.Addr, key, value string) {
	if l.i.log.Enabled(context.Background(), slog.LevelDebug) {
		l.i.log.Debug(message, "address", a, key, value)
	}
}

// notify publishes a fact, and logs what an operator wants to know.
func (l *loop) notify(ev Event) {
	i := l.i
	ev.Interface = i.name
	switch ev.Type {
	case AddressTentative:
		i.inbox.setOwn(ev.Address, true)
	case AddressAssigned:
		i.inbox.setOwn(ev.Address, ev.State == Optimistic.String())
		l.debug("address assigned", ev.Address, "state", ev.State)
	case AddressRemoved:
		i.inbox.forget(ev.Address)
		l.debug("address removed", ev.Address, "reason", ev.Reason)
	case AddressDuplicate:
		// RFC 4862, section 5.4.5: the node SHOULD log a system management
		// error.
		i.inbox.forget(ev.Address)
		i.log.Error("duplicate address", "address", ev.Address, "in_use_by", ev.LinkAddr, "evidence", ev.Reason)
	case AddressConflict:
		i.log.Warn("another node advertises an assigned address", "address", ev.Address, "link_address", ev.LinkAddr)
	case IPv6Disabled:
		i.log.Error("IPv6 disabled on the interface", "address", ev.Address, "reason", ev.Reason)
	case DADLooped:
		i.log.Warn("the link loops probes back; DAD goes on", "address", ev.Address)
	case LinkIsUp, LinkIsDown:
		i.log.Info(string(ev.Type))
	}
	l.publish(ev)
}

func (l *loop) publish(ev Event) { l.i.stack.events.publish(ev) }

// finish takes every address back in good order, so that peers get their
// resets and switches their leaves, then answers what still waits.
func (l *loop) finish() {
	l.execute(l.core.Step(time.Now(), Shutdown{}))
	outputs, commands := l.i.inbox.close()
	for _, ev := range outputs {
		if o, ok := ev.(Output); ok {
			o.Packet.(*netstack.Packet).Release()
		}
	}
	for _, c := range commands {
		if c.done != nil {
			close(c.done)
		}
	}
	l.i.requests.finishAll(ErrClosed)
}
