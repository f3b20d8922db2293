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
	"time"

	"golang.org/x/sys/unix"
)

// Process runs a command in this namespace and tells what it takes.
func (n *Node) Process(args ProcessArgs, reply *ProcessReply) (err error) {
	if args.Host != "" {
		self, err := os.Executable()
		if err != nil {
			return err
		}
		args.Argv = []string{self}
	}
	cmd := exec.Command(args.Argv[0], args.Argv[1:]...)
	cmd.Env = append(os.Environ(), variable+"="+args.Host)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	began := time.Now()
	if err := cmd.Start(); err != nil {
		return err
	}
	defer func() {
		cmd.Process.Signal(unix.SIGTERM)
		cmd.Wait() // a host that was killed says so
	}()
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "ready\n" {
		return fmt.Errorf("%s said %q: %w", args.Argv[0], line, err)
	}
	reply.Ready = time.Since(began)
	time.Sleep(args.Settle)
	before, err := cpuTime(cmd.Process.Pid)
	if err != nil {
		return err
	}
	time.Sleep(args.Idle)
	after, err := cpuTime(cmd.Process.Pid)
	if err != nil {
		return err
	}
	reply.CPU = 100 * float64(after-before) / float64(args.Idle)
	reply.RSS, err = resident(cmd.Process.Pid)
	return err
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
