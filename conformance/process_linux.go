package conformance

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// process is a program that runs in a namespace, with what it says.
type process struct {
	namespace namespace
	cmd       *exec.Cmd
	stdin     *os.File
	lines     chan said // of stdout
	stderr    tail
	silent    chan struct{} // closed when stderr has ended
	ours      []*os.File    // our ends of its stdout and stderr
	stopping  chan struct{} // closed when nobody is interested in lines any more
	ended     chan struct{} // closed when it has ended
}

// start starts a program inside, in a process group of its own: an interrupt
// from the keyboard is for the tester, who ends its programs. If the tester is
// killed, they are too.
func (n namespace) start(args ...string) (*process, error) {
	p := &process{
		namespace: n, cmd: exec.Command(args[0], args[1:]...),
		lines: make(chan said, 1), silent: make(chan struct{}), stopping: make(chan struct{}), ended: make(chan struct{}),
	}
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	theirs, err := p.pipes()
	if err == nil {
		err = n.do(p.cmd.Start)
	}
	for _, f := range theirs {
		f.Close()
	}
	if err != nil {
		return nil, errors.Join(err, p.closeOurs())
	}
	go readLines(p.ours[0], p.lines, p.stopping)
	go func() {
		io.Copy(&p.stderr, p.ours[1])
		close(p.silent)
	}()
	go func() {
		p.cmd.Wait() // how it ended is in ProcessState
		close(p.ended)
	}()
	return p, nil
}

// pipes makes the pipes of stdin, stdout and stderr, and returns the ends that
// are the program's.
func (p *process) pipes() (theirs []*os.File, err error) {
	for range 3 {
		r, w, err := os.Pipe()
		if err != nil {
			return theirs, err
		}
		if len(theirs) == 0 {
			p.stdin, theirs = w, append(theirs, r)
		} else {
			p.ours, theirs = append(p.ours, r), append(theirs, w)
		}
	}
	p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = theirs[0], theirs[1], theirs[2]
	return theirs, nil
}

func (p *process) closeOurs() error {
	var errs []error
	if p.stdin != nil {
		errs = append(errs, p.stdin.Close())
	}
	for _, f := range p.ours {
		errs = append(errs, f.Close())
	}
	return errors.Join(errs...)
}

// death is how it ended, once it has.
func (p *process) death() string {
	select {
	case <-p.silent:
	case <-time.After(100 * time.Millisecond): // somebody else has its stderr
	}
	return "has ended (" + p.cmd.ProcessState.String() + ")"
}

// mercy is how long a program may take to end after it was told, each time.
const mercy = time.Second

// stop ends the program, first by the end of its stdin, and everything else
// that it has started in its namespace.
func (p *process) stop() error {
	p.stdin.Close()
	close(p.stopping)
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		select {
		case <-p.ended:
		case <-time.After(mercy):
			syscall.Kill(-p.cmd.Process.Pid, signal) // if it has not ended just now
		}
	}
	<-p.ended
	err := p.namespace.clear()
	for _, f := range p.ours { // so that their readers end
		f.Close()
	}
	return err
}

// clear kills every process of the namespace.
func (n namespace) clear() error {
	for range 100 { // new ones may come meanwhile
		pids, err := n.processes()
		if err != nil || len(pids) == 0 {
			return err
		}
		for _, pid := range pids {
			syscall.Kill(pid, syscall.SIGKILL) // if it has not ended just now
		}
		time.Sleep(5 * time.Millisecond)
	}
	return errors.New("the program of the host has started others that do not end")
}

// processes are those that run in the namespace.
func (n namespace) processes() (pids []int, err error) {
	var own unix.Stat_t
	if err := unix.Fstat(int(n.inside.Fd()), &own); err != nil {
		return nil, os.NewSyscallError("fstat", err)
	}
	dir, err := os.Open("/proc")
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	for _, name := range names {
		pid, bad := strconv.Atoi(name)
		var its unix.Stat_t
		if bad != nil || unix.Stat(fmt.Sprintf("/proc/%d/ns/net", pid), &its) != nil {
			continue // it is no process, or has ended
		}
		if its.Ino == own.Ino && its.Dev == own.Dev && pid != os.Getpid() {
			pids = append(pids, pid)
		}
	}
	return pids, err
}

// tail keeps the end of what is written to it.
type tail struct {
	mu   sync.Mutex
	text []byte
}

// tailSize is how much of stderr is told.
const tailSize = 400

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, b...)
	if over := len(t.text) - tailSize; over > 0 {
		t.text = slices.Delete(t.text, 0, over)
	}
	return len(b), nil
}

// String is the end in one line.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	lines := strings.FieldsFunc(strings.ToValidUTF8(string(t.text), "?"), func(r rune) bool { return r == '\n' || r == '\r' })
	return strings.Join(lines, " | ")
}
