package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tapstack/tapstack/internal/control"
)

func newAddr() *cobra.Command {
	t := new(target)
	show := showCommand(t, "Show the addresses", `  tapstack addr show
  tapstack addr show -j --dev tap0`,
		func(cmd *cobra.Command, c *control.Client) ([]control.Address, error) {
			return c.Addresses(cmd.Context(), t.dev)
		},
		func(w io.Writer, a control.Address) {
			fmt.Fprintf(w, "%s/%d\tdev %s\t%s\t%s\tpreferred %s\tvalid %s\n", a.Address, a.PrefixLen, a.Interface, a.State, a.Origin,
				lifetimeText(a.PreferredLifetime), lifetimeText(a.ValidLifetime))
		})
	failures := showCommand(t, "Show which addresses were duplicates, and whose", `  tapstack addr failures`,
		func(cmd *cobra.Command, c *control.Client) ([]control.Duplicate, error) {
			return c.Duplicates(cmd.Context(), t.dev)
		},
		func(w io.Writer, d control.Duplicate) {
			fmt.Fprintf(w, "%s\t%s\tdev %s\tin use by %s\t%s\n", d.Time.Local().Format(time.DateTime), d.Address, d.Interface, d.LinkAddress, d.Evidence)
		})
	failures.Use, failures.Aliases = "failures", nil
	cmd := noun("addr", "Show and change addresses", `Show and change the addresses of the host. A duplicate is never among them: see
"tapstack addr failures".`, `  tapstack addr
  tapstack addr add 2001:db8::5/64
  tapstack addr del 2001:db8::5`, show, newAddrAdd(t), newAddrDel(t), newAddrAccept(t), failures)
	cmd.Aliases = []string{"address"}
	addTargetFlags(cmd, t)
	return cmd
}

func lifetimeText(seconds *uint32) string {
	if seconds == nil {
		return "forever"
	}
	return strconv.FormatUint(uint64(*seconds), 10) + "s"
}

// lifetime is a flag: seconds, a duration of whole seconds, or "forever".
type lifetime struct{ seconds *uint32 }

func (l *lifetime) String() string { return lifetimeText(l.seconds) }
func (l *lifetime) Type() string   { return "D" }

func (l *lifetime) Set(s string) error {
	if s == "forever" {
		l.seconds = nil
		return nil
	}
	if n, err := strconv.ParseUint(s, 10, 32); err == nil {
		s = strconv.FormatUint(n, 10) + "s"
	}
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 || d%time.Second != 0 || d/time.Second >= 1<<32-1 {
		return fmt.Errorf("%q is not a number of seconds, a duration of whole seconds like 1h30m, or forever", s)
	}
	n := uint32(d / time.Second)
	l.seconds = &n
	return nil
}

// addrAdd is one `addr add`.
type addrAdd struct {
	*target
	file          string
	dad           string
	timeout       time.Duration
	noWait        bool
	preferred     lifetime
	valid         lifetime
	noPrefixRoute bool
	anycast       bool
}

func newAddrAdd(t *target) *cobra.Command {
	a := &addrAdd{target: t}
	cmd := &cobra.Command{
		Use:   "add {PREFIX | -f FILE}",
		Short: "Add an address and wait until DAD has ended",
		Long: `Add an address and wait until Duplicate Address Detection has ended: about a
second, on a link that has just come up two. Until then nothing can use the address.

Without a length the address is a /128. With one below 128 it also states that the
prefix is on-link, as long as the address is assigned.

Exit code 3 says that another node has the address; nothing is left of it then. An
interrupted or timed out command takes the address away again.`,
		Example: `  tapstack addr add 2001:db8::5/64
  tapstack addr add 2001:db8::6/64 --timeout 3s
  tapstack addr add fd00::7 --valid 1h --preferred 30m
  tapstack addr add -f prefixes.txt         # one a line, all at once
  seq -f 2001:db8::%g/64 1 9 | tapstack addr add -f -`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if a.file != "" {
				return a.addFile(cmd, args)
			}
			return a.addOne(cmd, args)
		},
	}
	f := cmd.Flags()
	f.StringVarP(&a.file, "file", "f", "", "add what `FILE` lists, one PREFIX a line, # begins a comment; - is standard input")
	f.StringVar(&a.dad, "dad", "normal", "`MODE` of the test: normal, optimistic (usable meanwhile, RFC 4429) or off")
	f.DurationVar(&a.timeout, "timeout", 0, "give up after `D` and take the address away again; 0 waits for ever")
	f.BoolVar(&a.noWait, "no-wait", false, "return at once; the result is an event of \"tapstack monitor\"")
	f.Var(&a.preferred, "preferred", "preferred lifetime `D`: seconds, a duration or forever; 0 makes the address deprecated (default: that of --valid)")
	f.Lookup("preferred").DefValue = "" // its text says it
	f.Var(&a.valid, "valid", "valid lifetime `D`: seconds, a duration or forever")
	f.BoolVar(&a.noPrefixRoute, "noprefixroute", false, "do not state that the prefix is on-link")
	f.BoolVar(&a.anycast, "anycast", false, "an anycast address: no DAD, never a source")
	cmd.RegisterFlagCompletionFunc("dad", cobra.FixedCompletions([]string{"normal", "optimistic", "off"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

// request translates one PREFIX.
func (a *addrAdd) request(s string) (control.NewAddress, error) {
	p, _, err := a.unicast("address", s)
	if err != nil {
		return control.NewAddress{}, err
	}
	bits := p.Bits()
	return control.NewAddress{
		Interface: a.dev, Address: p.Addr(), PrefixLen: &bits, DAD: a.dad,
		Timeout: a.timeout.Seconds(), NoWait: a.noWait, NoPrefixRoute: a.noPrefixRoute, Anycast: a.anycast,
		PreferredLifetime: a.preferred.seconds, ValidLifetime: a.valid.seconds,
	}, nil
}

func (a *addrAdd) check(cmd *cobra.Command) error {
	switch a.dad {
	case "normal", "optimistic", "off":
	default:
		return usagef("--dad %q is none of normal, optimistic and off", a.dad)
	}
	if a.timeout < 0 {
		return usagef("--timeout %v is negative", a.timeout)
	}
	if v := a.valid.seconds; v != nil {
		if *v == 0 {
			return usagef("--valid 0: the address would be gone at once")
		}
		if p := a.preferred.seconds; p != nil && *p > *v || p == nil && cmd.Flags().Changed("preferred") {
			return usagef("--preferred is longer than --valid")
		}
	}
	return nil
}

func (a *addrAdd) addOne(cmd *cobra.Command, args []string) error {
	rest, _, err := a.words(cmd, args, 1, 1)
	if err != nil {
		return err
	}
	if err := a.check(cmd); err != nil {
		return err
	}
	req, err := a.request(rest[0])
	if err != nil {
		return err
	}
	req.Interface = a.dev
	c, err := a.client()
	if err != nil {
		return err
	}
	if !a.noWait {
		stop := a.watch(cmd, c, []control.NewAddress{req}, nil)
		defer stop()
	}
	return c.AddAddress(cmd.Context(), req)
}

func (a *addrAdd) addFile(cmd *cobra.Command, args []string) error {
	if _, _, err := a.words(cmd, args, 0, 0); err != nil {
		return err
	}
	if err := a.check(cmd); err != nil {
		return err
	}
	reqs, err := a.readFile(cmd.InOrStdin())
	if err != nil {
		return err
	}
	c, err := a.client()
	if err != nil {
		return err
	}
	stop := func() {}
	if !a.noWait {
		stop = a.watch(cmd, c, reqs, terminal(cmd.ErrOrStderr()))
	}
	failures, err := c.AddAddresses(cmd.Context(), reqs)
	stop()
	if err != nil {
		return err
	}
	code := 0
	for _, f := range failures {
		fmt.Fprintln(cmd.ErrOrStderr(), "tapstack:", f.Message)
		if code == 0 || f.Exit == control.ExitDuplicate {
			code = f.Exit
		}
	}
	if code != 0 {
		return exitError{code: code}
	}
	return nil
}

// readFile reads one PREFIX a line.
func (a *addrAdd) readFile(stdin io.Reader) ([]control.NewAddress, error) {
	in := stdin
	if a.file != "-" {
		f, err := os.Open(a.file)
		if err != nil {
			return nil, exitError{control.ExitFailed, err.Error()}
		}
		defer f.Close()
		in = f
	}
	reqs := []control.NewAddress{}
	lines := bufio.NewScanner(in)
	for n := 1; lines.Scan(); n++ {
		line, _, _ := strings.Cut(lines.Text(), "#")
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		req, err := a.request(line)
		if err != nil {
			return nil, usagef("%s:%d: %v", a.file, n, err)
		}
		reqs = append(reqs, req)
	}
	if err := lines.Err(); err != nil {
		return nil, exitError{control.ExitFailed, fmt.Sprintf("%s: %v", a.file, err)}
	}
	for i := range reqs {
		reqs[i].Interface = a.dev // a zone in a later line counts for all
	}
	return reqs, nil
}

// watch follows events while addresses are added. It says once for each
// address that the link loops probes back, in which case DAD goes on without
// end (RFC 7527, section 4.1), and shows on progress, if not nil, how many are
// done. The function that it returns ends it.
func (a *addrAdd) watch(cmd *cobra.Command, c *control.Client, reqs []control.NewAddress, progress io.Writer) (stop func()) {
	waiting := make(map[netip.Addr]bool)
	for _, r := range reqs {
		waiting[r.Address] = true
	}
	looped := make(map[netip.Addr]bool)
	ctx, cancel := context.WithCancel(cmd.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		// The stream is a help: the result comes without it.
		_ = c.Events(ctx, nil, func(line []byte) error {
			var e struct {
				Type    string     `json:"type"`
				Address netip.Addr `json:"address"`
			}
			if err := json.Unmarshal(line, &e); err != nil || !waiting[e.Address] {
				return nil
			}
			switch e.Type {
			case "dad_looped":
				if !looped[e.Address] {
					looped[e.Address] = true
					fmt.Fprintf(cmd.ErrOrStderr(), "tapstack: %s: the link loops probes back, so DAD goes on; \"tapstack addr accept %s\" ends it\n", e.Address, e.Address)
				}
			case "address_assigned", "address_duplicate", "address_removed":
				delete(waiting, e.Address)
				if progress != nil {
					fmt.Fprintf(progress, "\r%d of %d done", len(reqs)-len(waiting), len(reqs))
				}
			}
			return nil
		})
	}()
	return func() {
		cancel()
		<-ended
		if progress != nil {
			fmt.Fprint(progress, "\r\x1b[K")
		}
	}
}

// terminal is w if that is a terminal, else nil.
func terminal(w io.Writer) io.Writer {
	if f, ok := w.(*os.File); ok {
		if info, err := f.Stat(); err == nil && info.Mode()&os.ModeCharDevice != 0 {
			return f
		}
	}
	return nil
}

func newAddrDel(t *target) *cobra.Command {
	return &cobra.Command{
		Use:     "del ADDR[/LEN]",
		Aliases: []string{"delete"},
		Short:   "Remove an address",
		Long: `Remove an address in whatever state it is. Its TCP connections are reset; routes
and groups that something else holds too stay.`,
		Example: `  tapstack addr del 2001:db8::5`,
		RunE: func(cmd *cobra.Command, args []string) error {
			c, ref, err := t.addressRef(cmd, args)
			if err != nil {
				return err
			}
			return c.DeleteAddress(cmd.Context(), ref)
		},
	}
}

func newAddrAccept(t *target) *cobra.Command {
	return &cobra.Command{
		Use:   "accept ADDR",
		Short: "Assign an address although the link loops probes back",
		Long: `On a link that loops frames back, DAD of an address never ends (RFC 7527,
section 4.1). This ends it: the address is assigned.`,
		Example: `  tapstack addr accept 2001:db8::5`,
		RunE: func(cmd *cobra.Command, args []string) error {
			c, ref, err := t.addressRef(cmd, args)
			if err != nil {
				return err
			}
			return c.AcceptAddress(cmd.Context(), ref)
		},
	}
}

// addressRef parses the one argument ADDR[/LEN].
func (t *target) addressRef(cmd *cobra.Command, args []string) (*control.Client, control.AddressRef, error) {
	var ref control.AddressRef
	rest, _, err := t.words(cmd, args, 1, 1)
	if err != nil {
		return nil, ref, err
	}
	p, hasLen, err := t.prefix("address", rest[0])
	if err != nil {
		return nil, ref, err
	}
	ref = control.AddressRef{Interface: t.dev, Address: p.Addr()}
	if bits := p.Bits(); hasLen {
		ref.PrefixLen = &bits
	}
	c, err := t.client()
	return c, ref, err
}
