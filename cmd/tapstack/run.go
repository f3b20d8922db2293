package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/tapstack/tapstack/internal/control"
	"github.com/tapstack/tapstack/internal/forward"
	"github.com/tapstack/tapstack/internal/services"
	"github.com/tapstack/tapstack/nd"
	"github.com/tapstack/tapstack/rib"
	"github.com/tapstack/tapstack/stack"
	"github.com/tapstack/tapstack/tap"
)

// runFlags are the flags of `run` as they are typed.
type runFlags struct {
	tap, mac, control, pcap, config          string
	backend, offload, profile, logFormat     string
	iid, stateDir                            string
	addrs, routes, knobs, services, forwards []string
	labels                                   []string
	fd, mtu, dadTransmits                    int
	up, down, keepGoing, noRA, verbose       bool
}

func newRun() *cobra.Command { return newRunCommand(new(runFlags)) }

func newRunCommand(f *runFlags) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "run --tap NAME",
		Short: "Be an IPv6 host on a TAP, until interrupted",
		Long: `Attach to the TAP NAME, which is created if there is none, and be an IPv6 host on it
until SIGINT or SIGTERM. Then what was made is removed and what was found is left.

Once the interface is attached and the control socket answers, one line "ready" is
printed and systemd is told. Addresses of --addr are still in DAD then. One that turns
out to be a duplicate ends the command with exit code 3, unless --keep-going is given.

Interface identifiers that are stable (--iid stable, RFC 7217) are made of a secret in
the state directory: /var/lib/tapstack for root, else tapstack in XDG_STATE_HOME or
~/.local/state. It is made at the first start and has to last: with another secret the
host has other addresses. Several processes may share the directory.

What --forward names is joined to the network of the system, TCP connection by TCP
connection, up to 1,024 at a time. A port of an address that is not assigned yet opens
when it is.

A file for --config has one flag a line, without its dashes: "addr 2001:db8::5/64" or
"addr = 2001:db8::5/64"; # begins a comment. The command line wins over the file.`,
		Example: `  sudo tapstack run --tap tap0
  sudo tapstack run --tap tap0 --addr 2001:db8::5/64 --route default,via fe80::1
  sudo tapstack run --tap tap0 --services echo,discard --pcap tap0.pcapng -v
  sudo tapstack run --tap tap0 --profile rfc2462 --set dad_transmits=3
  sudo tapstack run --tap tap0 --iid stable --state-dir /var/lib/tapstack
  sudo tapstack run --tap tap0 --addr 2001:db8::5/64 --forward tcp:[2001:db8::5]:80=127.0.0.1:8080
  tapstack run --set help
  sudo ip tuntap add dev tap0 mode tap user $USER && sudo ip link set tap0 up && tapstack run --tap tap0`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usagef("run: %q is one argument too many", args[0])
			}
			return f.run(cmd)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.tap, "tap", "", "the TAP `NAME`")
	flags.IntVar(&f.fd, "fd", -1, "take the TAP that is open as file descriptor `N`; --tap may be left out then")
	flags.StringVar(&f.mac, "mac", "", "our link-layer address `MAC` (default: made from NAME, always the same)")
	flags.IntVar(&f.mtu, "mtu", 0, "set the MTU to `N` octets (default: as it is)")
	flags.StringArrayVar(&f.addrs, "addr", nil, "add the address `PREFIX` (repeatable)")
	flags.StringArrayVar(&f.routes, "route", nil, "add the route `PREFIX[,via ADDR]` (repeatable)")
	flags.StringVar(&f.profile, "profile", "current", "behave as the RFCs of `NAME` ask: rfc2462, rfc4862 or current")
	flags.StringArrayVar(&f.labels, "addrlabel", nil, "give addresses in PREFIX a label in the choice of sources, `PREFIX=LABEL` (repeatable; RFC 6724, section 2.1)")
	flags.StringArrayVar(&f.knobs, "set", nil, "change one knob of the profile, `KNOB=VALUE` (repeatable); \"help\" lists them")
	flags.StringVar(&f.iid, "iid", "", "make interface identifiers of `KIND`: eui64, stable or random (default: as the profile has it)")
	flags.StringVar(&f.stateDir, "state-dir", "", "keep the secret and the counters of stable identifiers in `DIR`")
	flags.IntVar(&f.dadTransmits, "dad-transmits", 1, "send `N` probes for an address; 0 turns DAD off")
	flags.StringSliceVar(&f.services, "services", nil, "run the services of `LIST`, parted by commas: echo, discard, chargen (RFC 862, 863, 864)")
	flags.StringArrayVar(&f.forwards, "forward", nil, "join what arrives at a port to the network of the system, `tcp:[ADDR]:PORT=HOST:PORT` (repeatable; without ADDR at every address)")
	flags.StringVar(&f.control, "control", "", "control socket, a `PATH` (env TAPSTACK_CONTROL)")
	flags.StringVar(&f.pcap, "pcap", "", "record all frames in `FILE`, as pcapng")
	flags.StringVar(&f.backend, "backend", "auto", "drive the TAP by `NAME`: auto, linux or water")
	flags.StringVar(&f.offload, "offload", "on", "let TCP segments of up to 64 KiB cross the TAP: `on|off`")
	flags.StringVar(&f.config, "config", "", "read flags from `FILE`")
	flags.BoolVar(&f.up, "up", true, "bring the kernel's side of the TAP up")
	flags.BoolVar(&f.down, "down", false, "be silent until \"tapstack link set NAME up\"")
	flags.BoolVar(&f.keepGoing, "keep-going", false, "go on if an address of --addr is a duplicate")
	flags.BoolVar(&f.noRA, "no-ra", false, "solicit no routers and ignore their advertisements")
	flags.BoolVarP(&f.verbose, "verbose", "v", false, "log more")
	flags.StringVar(&f.logFormat, "log-format", "text", "log in `FORMAT`: text or json")
	for name, values := range map[string][]string{
		"profile": {"rfc2462", "rfc4862", "current"}, "iid": {"eui64", "stable", "random"}, "services": {"echo", "discard", "chargen"},
		"backend": {"auto", "linux", "water"}, "offload": {"on", "off"}, "log-format": {"text", "json"},
	} {
		cmd.RegisterFlagCompletionFunc(name, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp))
	}
	cmd.MarkFlagDirname("state-dir")
	return cmd
}

// settings are the flags of `run` as they are meant.
type settings struct {
	runFlags
	device   tap.Config
	iface    stack.InterfaceConfig
	routes   []stack.RouteConfig
	services []services.Service
	forwards []forward.Rule
}

func (f *runFlags) run(cmd *cobra.Command) error {
	for _, k := range f.knobs {
		if k == "help" {
			return listKnobs(cmd.OutOrStdout())
		}
	}
	if f.config != "" {
		if err := readConfig(cmd, f.config); err != nil {
			return err
		}
	}
	s, err := f.parse(cmd)
	if err != nil {
		return err
	}
	h, err := s.start(cmd)
	if err != nil {
		return err
	}
	err = h.serve(cmd)
	return errors.Join(err, h.stop())
}

func listKnobs(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, k := range stack.Knobs() {
		fmt.Fprintf(t, "%s=%s\t%s\t%s\n", k.Name, k.Values, k.RFC, k.Doc)
	}
	return t.Flush()
}

// parse checks everything that can be checked before anything is touched.
func (f *runFlags) parse(cmd *cobra.Command) (s *settings, err error) {
	s = &settings{runFlags: *f}
	if f.tap == "" && f.fd < 0 {
		return nil, usagef("which TAP? give --tap NAME")
	}
	s.device = tap.Config{Name: f.tap, MTU: f.mtu}
	if f.mac != "" {
		if s.device.LinkAddr, err = nd.ParseLinkAddr(f.mac); err != nil {
			return nil, usagef("--mac: %v", err)
		}
		if s.device.LinkAddr.IsZero() || s.device.LinkAddr.IsMulticast() {
			return nil, usagef("--mac: %s cannot be the address of a node", f.mac)
		}
	}
	if f.mtu != 0 && f.mtu < 1280 {
		return nil, usagef("--mtu %d: IPv6 needs 1280", f.mtu)
	}
	if err := s.device.Backend.UnmarshalText([]byte(f.backend)); err != nil {
		return nil, usagef("--backend: %v", err)
	}
	if s.device.NoOffload = f.offload == "off"; !s.device.NoOffload && f.offload != "on" {
		return nil, usagef("--offload %q is neither on nor off", f.offload)
	}
	if f.logFormat != "text" && f.logFormat != "json" {
		return nil, usagef("--log-format %q is neither text nor json", f.logFormat)
	}
	if len(f.services) > 0 {
		if s.services, err = services.Parse(strings.Join(f.services, ",")); err != nil {
			return nil, usagef("--services: %v", err)
		}
	}
	if cmd.Flags().Changed("state-dir") && f.stateDir == "" {
		return nil, usagef("--state-dir needs the name of a directory")
	}
	if s.forwards, err = f.forwardRules(); err != nil {
		return nil, err
	}
	if s.iface.Policy, err = f.policy(); err != nil {
		return nil, err
	}
	s.iface.NoRouters, s.iface.Down = f.noRA, f.down
	if s.iface.Profile, err = f.chosenProfile(cmd); err != nil {
		return nil, err
	}
	for _, a := range f.addrs {
		cfg, err := f.address(a)
		if err != nil {
			return nil, err
		}
		s.iface.Addresses = append(s.iface.Addresses, cfg)
	}
	for _, r := range f.routes {
		cfg, err := f.route(r)
		if err != nil {
			return nil, err
		}
		s.routes = append(s.routes, cfg)
	}
	return s, nil
}

// chosenProfile is --profile changed by --dad-transmits, --iid and --set, in
// this order.
func (f *runFlags) chosenProfile(cmd *cobra.Command) (stack.Profile, error) {
	p, err := stack.ProfileByName(f.profile)
	if err != nil {
		return p, usagef("--profile: %v", err)
	}
	knobs := f.knobs
	if cmd.Flags().Changed("dad-transmits") {
		knobs = append([]string{fmt.Sprintf("dad_transmits=%d", f.dadTransmits)}, knobs...)
	}
	if cmd.Flags().Changed("iid") {
		if err := p.Set("iid", f.iid); err != nil {
			return p, usagef("--iid: %v", err)
		}
	}
	for _, k := range knobs {
		name, value, ok := strings.Cut(k, "=")
		if !ok {
			return p, usagef("--set %q is not KNOB=VALUE; --set help lists the knobs", k)
		}
		if err := p.Set(name, value); err != nil {
			return p, usagef("--set %s: %v", k, err)
		}
	}
	return p, nil
}

// forwardRules parses --forward. What cannot be at one port together is known
// already if it is the same address.
func (f *runFlags) forwardRules() ([]forward.Rule, error) {
	var rules []forward.Rule
	for _, text := range f.forwards {
		r, err := forward.ParseRule(text)
		if err != nil {
			return nil, usagef("--forward: %v", err)
		}
		t := &target{dev: f.tap}
		if err := t.setDev(r.Listen.Addr().Zone()); err != nil {
			return nil, err
		}
		for _, other := range rules {
			if other.Listen == r.Listen {
				return nil, usagef("--forward: %v is given twice", r.Listen)
			}
		}
		rules = append(rules, r)
	}
	return rules, nil
}

// policy parses --addrlabel.
func (f *runFlags) policy() ([]rib.Policy, error) {
	var rows []rib.Policy
	for _, text := range f.labels {
		prefix, label, _ := strings.Cut(text, "=")
		p, err := netip.ParsePrefix(prefix)
		n, labelErr := strconv.ParseUint(label, 10, 8)
		if err != nil || labelErr != nil {
			return nil, usagef("--addrlabel %q is not PREFIX=LABEL with a LABEL from 0 to 255", text)
		}
		rows = append(rows, rib.Policy{Prefix: p, Label: uint8(n)})
	}
	if err := rib.ValidatePolicy(rows); err != nil {
		return nil, usagef("--addrlabel: %s", strings.TrimPrefix(err.Error(), "rib: "))
	}
	return rows, nil
}

func (f *runFlags) address(s string) (stack.AddressConfig, error) {
	t := &target{dev: f.tap}
	p, _, err := t.unicast("--addr", s)
	if err != nil {
		return stack.AddressConfig{}, err
	}
	cfg := stack.AddressConfig{Prefix: p}
	if p.Bits() < 128 {
		cfg.OnLink = p.Masked()
	}
	return cfg, nil
}

// route parses PREFIX[,via ADDR].
func (f *runFlags) route(s string) (stack.RouteConfig, error) {
	t := &target{dev: f.tap}
	text, via, hasVia := strings.Cut(s, ",")
	if text == "default" {
		text = "::/0"
	}
	p, _, err := t.prefix("--route", text)
	if err != nil {
		return stack.RouteConfig{}, err
	}
	if p != p.Masked() {
		return stack.RouteConfig{}, usagef("--route %s: it has bits beyond its length: is %s meant?", text, p.Masked())
	}
	cfg := stack.RouteConfig{Prefix: p}
	if hasVia {
		hop, ok := strings.CutPrefix(strings.TrimSpace(via), "via ")
		if !ok {
			return cfg, usagef("--route %q is not PREFIX[,via ADDR]", s)
		}
		if cfg.Via, err = t.addr("--route: via", strings.TrimSpace(hop)); err != nil {
			return cfg, err
		}
	}
	return cfg, nil
}

// host is a running tapstack: what start has made so far, and stop undoes.
type host struct {
	*settings
	name     string
	log      *slog.Logger
	listener *control.Listener
	record   *os.File
	stack    *stack.Stack
	iface    *stack.Interface
	services *services.Server
	forward  *forward.Server
	server   *control.Server

	linkFailed chan error
}

// start makes everything that the host consists of. If it fails, nothing is
// left.
func (s *settings) start(cmd *cobra.Command) (_ *host, err error) {
	h := &host{settings: s, log: s.logger(cmd.ErrOrStderr()), linkFailed: make(chan error, 1)}
	dev, err := s.open()
	if err != nil {
		return nil, exitError{control.ExitFailed, err.Error()}
	}
	h.name = dev.Name()
	link := stack.Link(dev)
	defer func() {
		if err != nil {
			err = errors.Join(err, h.stop(), link.Close())
		}
	}()
	if s.up {
		if err := dev.SetUp(); err != nil {
			return nil, err
		}
	}
	if h.listener, err = s.listen(h.name); err != nil {
		return nil, err
	}
	if s.pcap != "" {
		if h.record, err = os.Create(s.pcap); err != nil {
			return nil, fmt.Errorf("record frames: %w", err)
		}
		link = tap.Tee(link, h.record)
	}
	if s.iface.Identity, err = h.identity(); err != nil {
		return nil, err
	}
	if h.stack, err = stack.New(stack.Config{Logger: h.log}); err != nil {
		return nil, err
	}
	if h.iface, err = h.stack.Attach(h.name, watched{link, h.linkFailed}, s.iface); err != nil {
		return nil, err
	}
	for _, r := range s.routes {
		if err := h.iface.AddRoute(r); err != nil {
			return nil, err
		}
	}
	if h.services, err = services.Start(services.On(h.stack), s.services...); err != nil {
		return nil, fmt.Errorf("services: %w", err)
	}
	if h.forward, err = forward.Start(h.stack, h.log, s.forwards...); err != nil {
		return nil, fmt.Errorf("forward: %w", err)
	}
	h.server = control.NewServer(h.stack, version())
	return h, nil
}

func (s *settings) open() (*tap.Device, error) {
	if s.fd < 0 {
		return tap.Open(s.device)
	}
	dev, err := tap.OpenFD(s.fd, s.device)
	if err == nil && s.tap != "" && s.tap != dev.Name() {
		err = errors.Join(fmt.Errorf("file descriptor %d is the TAP %s, not %s", s.fd, dev.Name(), s.tap), dev.Close())
	}
	return dev, err
}

// listen makes the control socket of the TAP name.
func (s *settings) listen(name string) (*control.Listener, error) {
	path := s.control
	if path == "" {
		path = os.Getenv("TAPSTACK_CONTROL")
	}
	if path == "" {
		dir, err := control.Dir()
		if err != nil {
			return nil, usagef("%v: name a socket with --control", err)
		}
		path = control.SocketPath(dir, name)
	}
	return control.Listen(path)
}

func (s *settings) logger(w io.Writer) *slog.Logger {
	opts := &slog.HandlerOptions{Level: slog.LevelWarn}
	if s.verbose {
		opts.Level = slog.LevelDebug
	}
	if s.logFormat == "json" {
		return slog.New(slog.NewJSONHandler(w, opts))
	}
	return slog.New(slog.NewTextHandler(w, opts))
}

// serve answers until ctx ends or something fails.
func (h *host) serve(cmd *cobra.Command) error {
	ctx, cancel := context.WithCancel(cmd.Context())
	defer cancel()
	failed := make(chan error, 2)
	go func() { failed <- h.server.Serve(h.listener) }()
	if _, err := fmt.Fprintln(cmd.OutOrStdout(), "ready"); err != nil {
		return err
	}
	if err := notify("READY=1"); err != nil {
		h.log.Warn("systemd does not take the notification", "error", err)
	}
	go func() {
		if err := h.awaitAddresses(ctx, cmd.ErrOrStderr()); err != nil {
			failed <- err
		}
	}()
	select {
	case <-ctx.Done():
		return nil
	case err := <-h.linkFailed:
		return err
	case err := <-failed:
		return err
	}
}

// awaitAddresses reports which addresses of --addr could not be assigned.
// Unless --keep-going is given the first duplicate is its error.
func (h *host) awaitAddresses(ctx context.Context, stderr io.Writer) error {
	for _, a := range h.settings.iface.Addresses {
		err := h.iface.WaitAddress(ctx, a.Prefix.Addr())
		if err == nil || ctx.Err() != nil {
			continue
		}
		var op *stack.OpError
		if errors.As(err, &op) {
			op.Op = "add"
		}
		if !h.keepGoing {
			return err
		}
		fmt.Fprintln(stderr, "tapstack:", err)
	}
	return nil
}

// stop undoes start, the latest first.
func (h *host) stop() error {
	_ = notify("STOPPING=1") // systemd waits for the end of the process anyway
	var errs []error
	if h.server != nil {
		errs = append(errs, h.server.Close())
	}
	if h.forward != nil {
		errs = append(errs, h.forward.Close())
	}
	if h.services != nil {
		errs = append(errs, h.services.Close())
	}
	if h.stack != nil {
		errs = append(errs, h.stack.Close())
	}
	if h.record != nil {
		errs = append(errs, h.record.Close())
	}
	if h.listener != nil {
		if err := h.listener.Close(); !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// watched is a link that tells when it cannot be read any more: the TAP was
// deleted, say.
type watched struct {
	stack.Link
	failed chan<- error
}

func (w watched) Read(frames []stack.Frame) (int, error) {
	n, err := w.Link.Read(frames)
	if err != nil && !errors.Is(err, net.ErrClosed) {
		select {
		case w.failed <- err:
		default:
		}
	}
	return n, err
}
