package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/netip"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/tapstack/tapstack/internal/control"
)

// seconds is a flag: a duration, or a number of seconds as ping(8) takes it.
type seconds time.Duration

func (s *seconds) String() string { return time.Duration(*s).String() }
func (s *seconds) Type() string   { return "D" }

func (s *seconds) Set(text string) error {
	d, err := time.ParseDuration(text)
	if n, numErr := strconv.ParseFloat(text, 64); numErr == nil && math.Abs(n) < 1e9 {
		d, err = time.Duration(n*float64(time.Second)), nil
	}
	if err != nil || d < time.Millisecond {
		return fmt.Errorf("%q is not a number of seconds or a duration from 1ms", text)
	}
	*s = seconds(d)
	return nil
}

const (
	pingSize = 56 // octets of payload, as ping(8) has it
	pingWait = 5 * time.Second
)

// pinging is one `ping`.
type pinging struct {
	client   *control.Client
	dev      string
	src, dst netip.Addr
	count    int
	interval time.Duration

	sent int
	rtts []time.Duration
	out  io.Writer
}

func newPing() *cobra.Command {
	t := new(target)
	p := new(pinging)
	interval := seconds(time.Second)
	var src string
	cmd := &cobra.Command{
		Use:   "ping ADDR[%NAME]",
		Short: "Send Echo Requests",
		Long: `Send Echo Requests from the host, as ping(8) does, until it is interrupted or -c
are sent. The exit code is 0 if any reply came, 1 if none.`,
		Example: `  tapstack ping -c 3 2001:db8::1
  tapstack ping -i 0.2 -I 2001:db8::5 fe80::1%tap0`,
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			rest, _, err := t.words(cmd, args, 1, 1)
			if err != nil {
				return err
			}
			if p.dst, err = t.addr("destination", rest[0]); err != nil {
				return err
			}
			if src != "" {
				if p.src, err = t.addr("source", src); err != nil {
					return err
				}
			}
			if p.count < 0 || p.count == 0 && cmd.Flags().Changed("count") {
				return usagef("-c %d is not a number from 1", p.count)
			}
			if p.client, err = t.client(); err != nil {
				return err
			}
			p.dev, p.interval, p.out = t.dev, time.Duration(interval), cmd.OutOrStdout()
			return p.run(cmd.Context())
		},
	}
	cmd.Flags().IntVarP(&p.count, "count", "c", 0, "stop after `N` requests (default: go on until interrupted)")
	cmd.Flags().VarP(&interval, "interval", "i", "send a request every `D`, a duration or seconds")
	cmd.Flags().StringVarP(&src, "source", "I", "", "send from the assigned address `SRC`")
	addTargetFlags(cmd, t)
	return cmd
}

// echo is what became of one request.
type echo struct {
	seq  int
	pong control.Pong
	err  error
}

// run sends requests at the interval, whether replies come or not, and prints
// replies as they come.
func (p *pinging) run(ctx context.Context) error {
	fmt.Fprintf(p.out, "PING %s (%s) %d data bytes\n", p.dst, p.dst, pingSize)
	start := time.Now()
	echoes := make(chan echo)
	ticks := time.NewTicker(p.interval)
	defer ticks.Stop()
	waiting := 0
	send := func() {
		p.sent++
		waiting++
		go func(seq int) {
			pong, err := p.client.Ping(ctx, control.Ping{
				Interface: p.dev, Address: p.dst, Source: p.src, Sequence: uint16(seq), Size: pingSize, Timeout: pingWait.Seconds(),
			})
			echoes <- echo{seq, pong, err}
		}(p.sent)
	}
	var fatal error
	send()
	for waiting > 0 || ctx.Err() == nil && fatal == nil && !p.done() {
		select {
		case e := <-echoes:
			waiting--
			if err := p.report(e); err != nil {
				fatal = err
			}
		case <-ticks.C:
			if ctx.Err() == nil && fatal == nil && !p.done() {
				send()
			}
		case <-ctx.Done():
			// The requests that wait are called off; their echoes come at once.
			for ; waiting > 0; waiting-- {
				_ = p.report(<-echoes)
			}
		}
	}
	if fatal != nil {
		return fatal
	}
	p.summarize(time.Since(start))
	if len(p.rtts) == 0 {
		return exitError{control.ExitFailed, fmt.Sprintf("ping %s: no reply", p.dst)}
	}
	return nil
}

func (p *pinging) done() bool { return p.count > 0 && p.sent == p.count }

// report prints one line. Its error is one that every further request would
// meet too.
func (p *pinging) report(e echo) error {
	var refused *control.Error
	switch {
	case e.err == nil:
		rtt := time.Duration(e.pong.RTT * float64(time.Second))
		p.rtts = append(p.rtts, rtt)
		fmt.Fprintf(p.out, "%d bytes from %s: icmp_seq=%d ttl=%d time=%s ms\n", e.pong.Bytes+8, e.pong.From, e.seq, e.pong.HopLimit, millis(rtt))
	case !errors.As(e.err, &refused):
		if !errors.Is(e.err, context.Canceled) {
			return e.err
		}
	case refused.Exit != control.ExitFailed:
		return refused
	case refused.Kind == "timeout" || refused.Kind == "canceled":
	default:
		fmt.Fprintf(p.out, "icmp_seq=%d %s\n", e.seq, refused.Message)
	}
	return nil
}

func millis(d time.Duration) string {
	return strconv.FormatFloat(float64(d)/float64(time.Millisecond), 'f', 3, 64)
}

func (p *pinging) summarize(total time.Duration) {
	received := len(p.rtts)
	fmt.Fprintf(p.out, "\n--- %s ping statistics ---\n", p.dst)
	fmt.Fprintf(p.out, "%d packets transmitted, %d received, %d%% packet loss, time %dms\n", p.sent, received,
		100*(p.sent-received)/p.sent, total.Milliseconds())
	if received == 0 {
		return
	}
	least, most := p.rtts[0], p.rtts[0]
	var sum, squares float64
	for _, d := range p.rtts {
		least, most = min(least, d), max(most, d)
		sum += float64(d)
		squares += float64(d) * float64(d)
	}
	mean := sum / float64(received)
	deviation := math.Sqrt(max(0, squares/float64(received)-mean*mean))
	fmt.Fprintf(p.out, "rtt min/avg/max/mdev = %s/%s/%s/%s ms\n", millis(least), millis(time.Duration(mean)), millis(most), millis(time.Duration(deviation)))
}
