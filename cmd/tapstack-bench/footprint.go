package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/tapstack/tapstack/cmd/tapstack-bench/internal/host"
	"github.com/tapstack/tapstack/cmd/tapstack-bench/internal/node"
	"github.com/tapstack/tapstack/internal/control"
)

const module = "github.com/tapstack/tapstack"

// footprint is what tapstack is, and what it costs while it has nothing to do.
// It needs the go command, inside the module.
func footprint(b *bench) {
	if !b.executable {
		return
	}
	dir, err := os.MkdirTemp("", "tapstack-bench")
	if err != nil {
		b.leaveOut("footprint: %v", err)
		return
	}
	defer os.RemoveAll(dir)
	exe := filepath.Join(dir, "tapstack")
	if _, err := output("go", "build", "-o", exe, module+"/cmd/tapstack"); err != nil {
		b.leaveOut("footprint: %v", err)
		return
	}
	b.proportions(exe)
	b.showing(exe, filepath.Join(dir, "socket"))
	b.process(exe)
}

func output(name string, args ...string) (string, error) {
	var stderr strings.Builder
	cmd := exec.Command(name, args...)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("%s: %w: %s", name, err, strings.TrimSpace(stderr.String()))
	}
	return string(out), err
}

// proportions are the size of the executable, and what a program that embeds
// the stack on a TAP depends on.
func (b *bench) proportions(exe string) {
	b.compare("footprint", []Figure{{Name: "executable", Unit: "octets"}}, 1, contestant{host.Tapstack, one(func() (float64, error) {
		info, err := os.Stat(exe)
		if err != nil {
			return 0, err
		}
		return float64(info.Size()), nil
	})})
	for unit, format := range map[string]string{"packages": "{{.ImportPath}}", "modules": "{{with .Module}}{{.Path}}{{end}}"} {
		f := Figure{Name: "dependencies of the library", Unit: unit + " beside the standard library"}
		b.compare("footprint", []Figure{f}, 1, contestant{host.Tapstack, one(func() (float64, error) {
			out, err := output("go", "list", "-deps", "-f", "{{if not .Standard}}"+format+"{{end}}", module+"/stack", module+"/tap")
			return float64(len(sortedSet(strings.Fields(out)))), err
		})})
	}
}

// showing is `tapstack addr show` of many addresses, as a process.
func (b *bench) showing(exe, socket string) {
	n := b.addresses[len(b.addresses)-1]
	f := Figure{Name: fmt.Sprintf("addr show of %d", n), Unit: "s", bounds: []bound{atMost(1)}}
	s, i, err := host.NewTesting()
	if err != nil {
		b.leaveOut("footprint: %s: %v", f.Name, err)
		return
	}
	defer s.Close()
	err = errors.Join(i.AddAddresses(context.Background(), configs(manyAddrs(n)))...)
	l, err2 := control.Listen(socket)
	if err := errors.Join(err, err2); err != nil {
		b.leaveOut("footprint: %s: %v", f.Name, err)
		return
	}
	server := control.NewServer(s, control.Version{})
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	b.compare("footprint", []Figure{f}, b.rounds, contestant{host.Tapstack, one(func() (float64, error) {
		began := time.Now()
		out, err := output(exe, "--control", socket, "addr", "show")
		took := time.Since(began)
		if lines := strings.Count(out, "\n"); err == nil && lines < n {
			err = fmt.Errorf("it shows %d lines", lines)
		}
		return took.Seconds(), err
	})})
	err = server.Close()
	if e := <-served; !errors.Is(e, http.ErrServerClosed) {
		err = errors.Join(err, e)
	}
	if err != nil {
		fmt.Fprintf(b.progress, "footprint: %v\n", err)
	}
}

// idleLimit is what counts as no CPU, in percent of one.
const idleLimit = 0.1

// process is `tapstack run` on a TAP from its start on, beside gVisor on one
// in a process that does nothing else.
func (b *bench) process(exe string) {
	p := b.pair(host.Kernel) // for its namespace
	if p == nil {
		return
	}
	figures := []Figure{
		{Name: "start to ready", Unit: "ms", bounds: []bound{atMost(20)}},
		{Name: "CPU while idle", Unit: "%", bounds: []bound{atMost(idleLimit)}},
		{Name: "memory while idle", Unit: "octets resident"},
	}
	measure := func(process node.ProcessArgs) func() ([]float64, error) {
		return func() ([]float64, error) {
			var r node.ProcessReply
			process.Settle, process.Idle = b.settle, b.idle
			err := p.Host.Call("Process", process, &r)
			return []float64{r.Ready.Seconds() * 1000, r.CPU, r.RSS}, err
		}
	}
	b.compare("footprint", figures, b.rounds,
		contestant{host.Tapstack, measure(node.ProcessArgs{Argv: []string{exe, "run", "--tap", "tap1", "--control", filepath.Dir(exe) + "/tap1"}})},
		contestant{host.GVisor, measure(node.ProcessArgs{Host: host.GVisor})})
}
