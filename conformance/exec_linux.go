package conformance

import (
	"context"
	"errors"
	"time"

	"github.com/tapstack/tapstack/nd"
)

// introduce asks the program what it is.
func (d *ExecDriver) introduce(ctx context.Context) (h hello, err error) {
	devices := []string{"/dev/net/tun"}
	if d.config.Link != "tap" {
		devices = nil
	}
	if err := ready(devices...); err != nil {
		return h, err
	}
	n, err := newNamespace()
	if err != nil {
		return h, err
	}
	p, t, err := n.converse(ctx, d.config)
	if err != nil {
		return h, errors.Join(err, n.close())
	}
	h, err = t.hello()
	return h, errors.Join(err, p.stop(), n.close())
}

// converse starts a program inside and opens a conversation with it.
func (n namespace) converse(ctx context.Context, c ExecConfig) (*process, *talk, error) {
	p, err := n.start(c.Command...)
	if err != nil {
		return nil, nil, err
	}
	if ctx == nil {
		ctx = context.Background()
	}
	return p, &talk{ctx: ctx, stdin: p.stdin, lines: p.lines, ended: p.ended, death: p.death, stderr: p.stderr.String, hurry: c.hurry}, nil
}

// Open implements Driver.
func (d *ExecDriver) Open(s Setup) (Target, error) {
	link := d.config.Link
	t, err := openProcess(s, link, d.config, func(t *processTarget) (err error) {
		if _, err = t.talk.hello(); err == nil {
			t.linkAddr, err = t.talk.setup(interfaceNames[link], link, s)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return &execTarget{t}, nil
}

// processTarget is a program in a namespace, and the other end of its link.
type processTarget struct {
	*wire
	namespace namespace
	process   *process
	talk      *talk
	linkAddr  nd.LinkAddr
}

// openProcess starts a program beside a link in a namespace of its own. Time
// begins when setup has made a host of it.
func openProcess(s Setup, link string, c ExecConfig, setup func(*processTarget) error) (*processTarget, error) {
	n, err := newNamespace()
	if err != nil {
		return nil, err
	}
	port, err := n.host(link, s.LinkAddr)
	if err != nil {
		return nil, errors.Join(err, n.close())
	}
	t := &processTarget{namespace: n, linkAddr: s.LinkAddr}
	if t.process, t.talk, err = n.converse(s.Context, c); err != nil {
		return nil, errors.Join(err, port.Close(), n.close())
	}
	if err := setup(t); err != nil {
		return nil, errors.Join(err, t.process.stop(), port.Close(), n.close())
	}
	t.wire = newWire(port)
	return t, nil
}

// LinkAddr implements Target.
func (t *processTarget) LinkAddr() nd.LinkAddr { return t.linkAddr }

// Next implements Target. A program that has ended fails it at once.
func (t *processTarget) Next(until time.Duration) (Frame, bool, error) {
	f, ok, err := t.wire.Next(until)
	if !ok && err == nil {
		err = t.talk.alive()
	}
	return f, ok, err
}

// Close implements Target. A program that had ended by itself is an error.
func (t *processTarget) Close() error {
	return errors.Join(t.talk.alive(), t.process.stop(), t.wire.close(), t.namespace.close())
}

// execTarget is one that speaks the line protocol.
type execTarget struct{ *processTarget }

// Do implements Target.
func (t *execTarget) Do(c Command) error { return t.talk.command(c) }

// View implements Target.
func (t *execTarget) View() (View, error) { return t.talk.view() }
