package stack_test

import (
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"github.com/google/gopacket/layers"

	"github.com/tapstack/tapstack/stack"
)

// exchange is one flow to an echo server: messages with numbers, each answered
// before the next is sent.
type exchange struct {
	name    string
	c       net.Conn
	wait    time.Duration // for an answer, until the message is lost
	sent    int
	lost    int
	longest time.Duration // between answers
}

// run goes on until stop is closed.
func (x *exchange) run(stop <-chan struct{}) error {
	answered := time.Now()
	b := make([]byte, 100)
	for {
		select {
		case <-stop:
			return nil
		case <-time.After(10 * time.Millisecond): // a load of little more than nothing
		}
		x.sent++
		message := fmt.Sprintf("%s %8d", x.name, x.sent)
		if _, err := io.WriteString(x.c, message); err != nil {
			return fmt.Errorf("%s: sending message %d: %w", x.name, x.sent, err)
		}
		x.c.SetReadDeadline(time.Now().Add(x.wait))
		for {
			n, err := x.c.Read(b)
			if isTimeout(err) {
				x.lost++
				break
			}
			if err != nil {
				return fmt.Errorf("%s: the answer to message %d: %w", x.name, x.sent, err)
			}
			if string(b[:n]) == message {
				x.longest = max(x.longest, time.Since(answered))
				answered = time.Now()
				break
			}
		}
	}
}

// Of two default routers, the one in use dies without a word: its port hears
// nothing and says nothing. Neighbor Unreachability Detection finds out, within
// at most one and a half ReachableTime, DELAY_FIRST_PROBE_TIME and three
// RetransTimers, and what is under way goes on through the other router.
//
// Spec: RFC 4861, section 7.3.3, must, NUD-R05
// Spec: RFC 4861, section 6.3.6, SHOULD, DRS-R01
func TestFlowsOutliveTheirRouter(t *testing.T) {
	t.Parallel()
	for name, profile := range map[string]stack.Profile{"rfc4862": patientAs(stack.RFC4862()), "current": patientProfile()} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			flowsOutliveTheirRouter(t, profile)
		})
	}
}

func flowsOutliveTheirRouter(t *testing.T, profile stack.Profile) {
	// Router 3 is the way back, which has no part in this.
	r := newRouted(t, stack.InterfaceConfig{Profile: profile}, 3)
	const (
		reachableTime, retransTimer = 1500 * time.Millisecond, 300 * time.Millisecond
		detection                   = reachableTime*3/2 + 5*time.Second + 3*retransTimer
		slack                       = 3 * time.Second // for a slow machine
	)
	for k, preference := range []string{"high", "medium"} {
		startRadvd(t, r.routers[k], fmt.Sprintf(`
	AdvDefaultLifetime 1800;
	AdvDefaultPreference %s;
	AdvReachableTime %d;
	AdvRetransTimer %d;
	prefix 2001:db8:a::/64 { AdvAutonomous off; };
`, preference, reachableTime.Milliseconds(), retransTimer.Milliseconds()))
	}
	waitFor(t, "both routers", func() bool { return len(routesTo(r.i, "::/0")) == 2 })
	flows := []*exchange{
		{name: "UDP", c: r.dialEcho(t, "udp"), wait: 200 * time.Millisecond},
		{name: "TCP", c: r.dialEcho(t, "tcp"), wait: time.Minute},
	}
	stop, ended := make(chan struct{}), make(chan error, len(flows))
	for _, x := range flows {
		go func() { ended <- x.run(stop) }()
	}
	// via counts the packets of a protocol to each first hop.
	wire := capture(t, r.a.Namespace, "tap0")
	via := func(next layers.IPProtocol, since time.Time) map[string]int {
		packets := map[string]int{}
		for _, c := range wire.packets() {
			if c.eth.SrcMAC.String() == r.i.LinkAddr().String() && c.ip.NextHeader == next && c.at.After(since) {
				packets[c.eth.DstMAC.String()]++
			}
		}
		return packets
	}
	protocols := []layers.IPProtocol{layers.IPProtocolUDP, layers.IPProtocolTCP}
	for _, next := range protocols {
		waitFor(t, "the flow", func() bool { return len(via(next, time.Time{})) > 0 })
	}
	dead := 0
	if via(layers.IPProtocolUDP, time.Time{})[mac2] > 0 {
		dead = 1
	}
	r.a.SetPort(t, r.routers[dead], "eth0", false)
	died := time.Now()
	survivor := []string{mac2, mac1}[dead]
	for _, next := range protocols {
		waitFor(t, "the flow to go through the other router", func() bool { return via(next, died)[survivor] > 0 })
	}
	moved := time.Now()
	for _, next := range protocols {
		waitFor(t, "more of the flow", func() bool { return via(next, moved)[survivor] > 20 })
		if got := via(next, moved); len(got) != 1 {
			t.Errorf("protocol %v goes to %v, want %s alone", next, got, survivor)
		}
	}
	close(stop)
	for range flows {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	// TCP's next attempt is due at most as long after the last as that was
	// after the beginning: it doubles the time (RFC 6298, section 5.5).
	for k, bound := range []time.Duration{detection + slack, 2*detection + slack} {
		x := flows[k]
		t.Logf("%s: %d messages, %d lost, without an answer for %v at most", x.name, x.sent, x.lost, x.longest)
		if x.longest > bound {
			t.Errorf("%s was without an answer for %v, want at most %v", x.name, x.longest, bound)
		}
		if x.longest < 100*time.Millisecond {
			t.Errorf("%s noticed nothing", x.name)
		}
	}
}
