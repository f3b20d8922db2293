package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/tapstack/tapstack/internal/control"
)

func newConnect() *cobra.Command {
	t := new(target)
	var udp bool
	var src string
	cmd := &cobra.Command{
		Use:   "connect ADDR[%NAME] PORT",
		Short: "Join standard input and output to a TCP or UDP peer",
		Long: `Connect to a peer and send it what comes on standard input, while what it sends goes
to standard output. The end of standard input ends the stream to a TCP peer; the
command ends when the peer has ended its own.

With -u every read of standard input, of up to 16 KiB, is one datagram. UDP has no
end: the command goes on until it is interrupted, or the peer cannot be reached.`,
		Example: `  printf 'GET / HTTP/1.0\r\n\r\n' | tapstack connect 2001:db8::9 80
  tapstack connect fe80::1%tap0 22 </dev/null
  echo hello | timeout 2 tapstack connect -u -I 2001:db8::5 2001:db8::9 7`,
		RunE: func(cmd *cobra.Command, args []string) error {
			to := control.Connect{Network: "tcp"}
			if udp {
				to.Network = "udp"
			}
			rest, _, err := t.words(cmd, args, 2, 2)
			if err != nil {
				return err
			}
			if to.Address, err = t.peer(rest[0], udp); err != nil {
				return err
			}
			if to.Port, err = port(rest[1]); err != nil {
				return err
			}
			if src != "" {
				if to.Source, err = t.addr("source", src); err != nil {
					return err
				}
			}
			c, err := t.client()
			if err != nil {
				return err
			}
			to.Interface = t.dev
			return connect(cmd, c, to)
		},
	}
	cmd.Flags().BoolVarP(&udp, "udp", "u", false, "use UDP instead of TCP")
	cmd.Flags().StringVarP(&src, "source", "I", "", "connect from the assigned address `SRC`")
	addTargetFlags(cmd, t)
	return cmd
}

// peer parses an address that can be connected to.
func (t *target) peer(s string, udp bool) (netip.Addr, error) {
	a, err := t.addr("peer", s)
	switch {
	case err != nil:
	case a.IsUnspecified():
		err = usagef("peer %s: the unspecified address is no peer", s)
	case a.IsMulticast() && !udp:
		err = usagef("peer %s: a group has no TCP", s)
	}
	return a, err
}

// port parses a port number from 1.
func port(s string) (uint16, error) {
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil || n == 0 {
		return 0, usagef("port %q is not a number from 1 to 65535", s)
	}
	return uint16(n), nil
}

const (
	sendSize    = 16 << 10 // octets of a read of standard input
	receiveSize = 64 << 10 // no datagram is longer
)

// connect carries octets until the peer has ended its direction or ctx ends.
func connect(cmd *cobra.Command, client *control.Client, to control.Connect) error {
	ctx := cmd.Context()
	conn, err := client.Connect(ctx, to)
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	inputFailed := make(chan error, 1)
	go func() {
		if err := send(conn, cmd.InOrStdin()); err != nil {
			inputFailed <- err
			conn.Close() // which ends receiving
		}
	}()
	err = receive(cmd.OutOrStdout(), conn)
	var output outputError
	switch {
	case ctx.Err() != nil:
		return nil // interrupted
	case len(inputFailed) > 0:
		return <-inputFailed
	case errors.As(err, &output):
		return err
	}
	// The end of the peer's direction, or something worse: the process knows.
	_ = conn.CloseWrite()
	if result := conn.Result(ctx); result != nil && ctx.Err() == nil {
		return result
	}
	return nil
}

// send sends all of in, and its end. What goes wrong with the connection is seen
// by receive.
func send(conn *control.Connection, in io.Reader) error {
	buf := make([]byte, sendSize)
	for {
		n, err := in.Read(buf)
		if n > 0 {
			if _, err := conn.Write(buf[:n]); err != nil {
				return nil
			}
		}
		if err == io.EOF {
			_ = conn.CloseWrite()
			return nil
		}
		if err != nil {
			var file *fs.PathError
			if errors.As(err, &file) {
				err = file.Err // without the name of the file, which nobody gave
			}
			return exitError{control.ExitFailed, fmt.Sprintf("standard input: %v", err)}
		}
	}
}

// outputError is a failure of standard output.
type outputError struct{ error }

// receive writes what comes to out until it ends.
func receive(out io.Writer, conn *control.Connection) error {
	buf := make([]byte, receiveSize)
	for {
		n, err := conn.Read(buf)
		if n > 0 {
			if _, err := out.Write(buf[:n]); err != nil {
				return outputError{fmt.Errorf("standard output: %w", err)}
			}
		}
		if err != nil {
			return err
		}
	}
}
