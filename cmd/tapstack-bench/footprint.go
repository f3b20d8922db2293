package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
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
	// They become idle while the rest is measured.
	watched := b.startProcesses(exe, "CPU while idle", "memory while idle")
	b.showing(exe, filepath.Join(dir, "socket"))
	b.starting(exe)
	b.idling(watched)
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

// processes are `tapstack run` on a TAP, and beside it gVisor on one in a
// process that does nothing else. n tells those that run at once apart.
func processes(exe string, n int) map[string]node.ProcessArgs {
	return map[string]node.ProcessArgs{
		host.Tapstack: {Argv: []string{exe, "run", "--tap", fmt.Sprintf("tap1%d", n), "--control", fmt.Sprintf("%s%d", exe, n)}},
		host.GVisor:   {Host: host.GVisor, Device: fmt.Sprintf("tap2%d", n)},
	}
}

// starting is how long a process takes until it is ready.
func (b *bench) starting(exe string) {
	p := b.pair(host.Kernel) // for its namespace
	if p == nil {
		return
	}
	var contestants []contestant
	for _, name := range []string{host.Tapstack, host.GVisor} {
		contestants = append(contestants, contestant{name, one(func() (float64, error) {
			var started node.Started
			if err := p.Host.Call("StartProcess", processes(exe, 0)[name], &started); err != nil {
				return 0, err
			}
			return started.Ready.Seconds() * 1000, p.Host.Call("StopProcess", started.ID, nil)
		})})
	}
	b.compare("footprint", []Figure{{Name: "start to ready", Unit: "ms", bounds: []bound{atMost(20)}}}, b.rounds, contestants...)
}

// watched is a process that is becoming idle.
type watched struct {
	name string
	node *node.Process
	id   int
	idle time.Time
	err  error
}

// startProcesses starts those that idling measures, if one of its figures is
// wanted.
func (b *bench) startProcesses(exe string, figures ...string) (ws []watched) {
	p := b.pair(host.Kernel)
	if p == nil || !slices.ContainsFunc(figures, b.wants) {
		return nil
	}
	for _, name := range []string{host.Tapstack, host.GVisor} {
		var started node.Started
		err := p.Host.Call("StartProcess", processes(exe, 1)[name], &started)
		ws = append(ws, watched{name, p.Host, started.ID, time.Now().Add(b.settle), err})
	}
	return ws
}

// idleLimit is what counts as no CPU, in percent of one.
const idleLimit = 0.1

// idling is what processes take that have nothing to do: their addresses are
// assigned and reported, their routers solicited.
func (b *bench) idling(ws []watched) {
	if len(ws) == 0 {
		return
	}
	figures := []Figure{
		{Name: "CPU while idle", Unit: "%", bounds: []bound{atMost(idleLimit)}},
		{Name: "memory while idle", Unit: "octets resident"},
	}
	var contestants []contestant
	for _, w := range ws {
		contestants = append(contestants, contestant{w.name, func() ([]float64, error) {
			if w.err != nil {
				return nil, w.err
			}
			time.Sleep(time.Until(w.idle))
			var r node.IdleReply
			err := w.node.Call("WatchProcess", node.IdleArgs{ID: w.id, For: b.idle}, &r)
			return []float64{r.CPU, r.RSS}, err
		}})
	}
	b.compare("footprint", figures, 1, contestants...)
	for _, w := range ws {
		if w.err == nil {
			w.node.Call("StopProcess", w.id, nil)
		}
	}
}
