package node

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// StartProcess runs a command in this namespace until StopProcess, or until the
// Node ends.
func (n *Node) StartProcess(args ProcessArgs, reply *Started) error {
	if args.Host != "" {
		self, err := os.Executable()
		if err != nil {
			return err
		}
		args.Argv = []string{self, args.Device}
	}
	cmd := exec.Command(args.Argv[0], args.Argv[1:]...)
	cmd.Env = append(os.Environ(), variable+"="+args.Host)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: unix.SIGKILL}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	began := time.Now()
	if err := cmd.Start(); err != nil {
		return err
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "ready\n" {
		stop(cmd)
		return fmt.Errorf("%s said %q: %w", args.Argv[0], line, err)
	}
	reply.Ready = time.Since(began)
	n.processes = append(n.processes, cmd)
	reply.ID = len(n.processes) - 1
	return nil
}

// WatchProcess tells what a process takes while it has nothing to do.
func (n *Node) WatchProcess(args IdleArgs, reply *IdleReply) error {
	pid := n.processes[args.ID].Process.Pid
	before, err := cpuTime(pid)
	if err != nil {
		return err
	}
	time.Sleep(args.For)
	after, err := cpuTime(pid)
	if err != nil {
		return err
	}
	reply.CPU = 100 * float64(after-before) / float64(args.For)
	reply.RSS, err = resident(pid)
	return err
}

// StopProcess ends a process.
func (n *Node) StopProcess(id int, _ *struct{}) error {
	stop(n.processes[id])
	return nil
}

func stop(cmd *exec.Cmd) {
	cmd.Process.Signal(unix.SIGTERM)
	cmd.Wait() // a host that was killed says so
}

// cpuTime is what all threads of a process have used.
func cpuTime(pid int) (sum time.Duration, err error) {
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	for _, file := range files {
		text, err := os.ReadFile(file)
		if errors.Is(err, os.ErrNotExist) {
			continue // the thread has ended
		}
		if err != nil {
			return 0, err
		}
		used, _, _ := strings.Cut(string(text), " ")
		ns, err := strconv.ParseInt(used, 10, 64)
		if err != nil {
			return 0, err
		}
		sum += time.Duration(ns)
	}
	return sum, err
}

// resident is the memory of a process that is in use, in octets.
func resident(pid int) (float64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(text))
	if len(fields) < 2 {
		return 0, fmt.Errorf("/proc/%d/statm: %q", pid, text)
	}
	pages, err := strconv.ParseFloat(fields[1], 64)
	return pages * float64(os.Getpagesize()), err
}
