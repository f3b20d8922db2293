package conformance

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tapstack/tapstack/internal/netnstest"
)

// program is a shell script that introduces itself and says ok to everything,
// but for what its cases have it do. MARK stands for a word that its children
// can be found by.
func program(cases string) string {
	return `while read -r word words; do
	case $word in
	` + cases + `
	hello) echo name test; echo can updown addresses views; echo profiles current; echo ok;;
	*) echo ok;;
	esac
done
`
}

var marks atomic.Int64

// impatient has answers waited for two and a half seconds.
const impatient = 2

// execDriver is a driver of a script. After the test nothing of the script may
// be left.
func execDriver(t *testing.T, script string, hurry int) (*ExecDriver, error) {
	t.Helper()
	netnstest.Require(t)
	mark := fmt.Sprintf("86399.%d%04d", os.Getpid(), marks.Add(1)) // seconds, for sleep
	t.Cleanup(func() {
		if left := commandLines(t, mark); len(left) > 0 {
			t.Errorf("these still run: %q", left)
		}
	})
	script = strings.ReplaceAll(script, "MARK", mark) + ": " + mark
	return NewExecDriver(context.Background(), ExecConfig{Command: []string{"sh", "-c", script}, hurry: hurry})
}

// commandLines are those of running processes that contain a word.
func commandLines(t *testing.T, word string) (found []string) {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if text, err := os.ReadFile(f); err == nil && strings.Contains(string(text), word) {
			found = append(found, strings.ReplaceAll(string(text), "\x00", " "))
		}
	}
	return found
}

// users says what still refers to a network namespace, by its inode: processes
// and open files of ours.
func users(t *testing.T, inode uint64) (found []string) {
	t.Helper()
	for _, pattern := range []string{"/proc/[0-9]*/task/*/ns/net", "/proc/self/fd/*"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			if link, err := os.Readlink(f); err == nil && link == fmt.Sprintf("net:[%d]", inode) {
				found = append(found, f)
			}
		}
	}
	return found
}

func inode(t *testing.T, n namespace) uint64 {
	t.Helper()
	var s unix.Stat_t
	if err := unix.Fstat(int(n.inside.Fd()), &s); err != nil {
		t.Fatal(err)
	}
	return s.Ino
}

// A program that cannot even be asked what it is says why.
func TestExec_HelloFails(t *testing.T) {
	for name, test := range map[string]struct{ script, want string }{
		"no such program":    {"exec tapstack-no-such-program", "has ended (exit status 127); its stderr ends: sh: 1: exec: tapstack-no-such-program: not found"},
		"it ends":            {"echo no licence >&2; exit 3", "has ended (exit status 3); its stderr ends: no licence"},
		"it is killed":       {"kill -9 $$", "has ended (signal: killed)"},
		"it does not answer": {"sleep MARK", "does not answer within 2.5s"},
		"it does not listen": {"exec <&-; sleep MARK", "does not answer within 2.5s"},
		"it closes stdout":   {"exec >&-; sleep MARK", "has closed its stdout"},
		"garbage":            {"echo Starting...; sleep MARK", `"Starting..."`},
		"an endless line":    {"tr '\\0' x </dev/zero; sleep MARK", "writes a line of more than 1024 octets"},
		"endless lines":      {"while :; do echo name x; done", "answers with more than 20000 lines"},
		"much on stderr":     {"yes trouble | head -c 1000000 >&2; exit 1", "trouble | trouble"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			began := time.Now()
			_, err := execDriver(t, test.script+"; ", impatient)
			var failed *HostError
			if !errors.As(err, &failed) || !strings.Contains(err.Error(), test.want) || !strings.HasPrefix(err.Error(), `asked "hello 1", `) {
				t.Errorf("error %v, want %s", err, test.want)
			}
			if took := time.Since(began); took > 30*time.Second {
				t.Errorf("that took %v", took)
			}
		})
	}
}

// execCase is a case that has a host up, adds an address and looks at the
// tables, whatever it sends.
const execCase = "up\n    add 2001:db8::5/64\n    no na within 300ms\n    has no address 2001:db8::6\n"

// A program that fails in the middle of a case makes it inconclusive, with
// what it said, and leaves nothing behind.
func TestExec_CaseFails(t *testing.T) {
	for name, test := range map[string]struct {
		cases string
		want  string // of what is observed; empty: it passes
	}{
		"nothing is wrong":       {"", ""},
		"it refuses":             {"add) echo refused no room;;", ""}, // which is noted
		"it ends":                {"add) echo out of memory >&2; exit 3;;", `asked "add 2001:db8::5/64", the program of the host has ended (exit status 3); its stderr ends: out of memory`},
		"it ends later":          {"add) echo ok; sleep 0.1; exit 3;;", "the program of the host has ended (exit status 3)"},
		"it hangs":               {"add) sleep MARK;;", `asked "add 2001:db8::5/64", the program of the host does not answer within 2.5s`},
		"it answers late":        {"add) sleep 4; echo ok;;", `asked "add 2001:db8::5/64", the program of the host does not answer within 2.5s`},
		"garbage":                {"add) echo done;;", `the program of the host says what is no answer to that: "done"`},
		"it says too much":       {"add) echo ok; echo also;;", `says something that it was not asked: "also"`},
		"it floods":              {"add) while :; do echo ok; done;;", `says something that it was not asked: "ok"`},
		"tables that are none":   {"views) echo address 1; echo ok;;", `asked "views", the program of the host shows an address that is none: "address 1"`},
		"setup is refused":       {"setup) echo refused tap0 is busy;;", "setup: tap0 is busy"},
		"setup ends":             {"setup) exit 1;;", `has ended (exit status 1)`},
		"it ignores the end":     {"add) echo ok; trap '' TERM; while :; do sleep 1; : MARK; done;;", `asked "views", the program of the host does not answer within 2.5s`},
		"it leaves children":     {"setup) sleep MARK & echo ok;;", ""},
		"its children are loose": {"setup) setsid sleep MARK >/dev/null 2>&1 </dev/null & echo ok;;", ""},
		"a child has its stdout": {"setup) setsid sleep MARK & echo ok;; add) exit 1;;", "has ended (exit status 1)"},
		"not applicable":         {"add) echo cannot there is no add;;", "there is no add"},
		"setup not applicable":   {"setup) echo cannot there is no chance=random;;", "setup: there is no chance=random"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			hurry := 0
			if strings.Contains(test.want, "does not answer") {
				hurry = impatient
			}
			d, err := execDriver(t, program(test.cases), hurry)
			if err != nil {
				t.Fatal(err)
			}
			c := parseCase(t, execCase)
			r := playCase(context.Background(), c, d, "current", Random)
			want := Inconclusive
			switch {
			case test.want == "":
				want = Pass
			case strings.Contains(name, "not applicable"):
				want = NotApplicable
			}
			if r.Verdict != want || !strings.Contains(r.Observed, test.want) {
				t.Errorf("%s: %s, want %s: %s", r.Verdict, r.Observed, want, test.want)
			}
		})
	}
}

// parseCase reads a case of these steps.
func parseCase(t *testing.T, steps string) *Case {
	t.Helper()
	cases, err := Parse("x.txt", "case X-01 A host\n    spec RFC 4862, section 5.4.3\n    "+steps, "")
	if err != nil {
		t.Fatal(err)
	}
	return cases[0]
}

// The end of a run, by Ctrl-C, is the end of what is waited for and of every
// program: of one that hangs too.
func TestExec_EndsWithItsRun(t *testing.T) {
	for name, cases := range map[string]string{
		"in the midst of a case": "",
		"in a command":           "add) sleep MARK;;",
		"in the setup":           "setup) sleep MARK;;",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, err := execDriver(t, program(cases), 0)
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(context.Background())
			time.AfterFunc(500*time.Millisecond, cancel)
			began := time.Now()
			results := Runner{Driver: d}.Run(ctx, []*Case{parseCase(t, strings.ReplaceAll(execCase, "300ms", "60s"))})
			if r := results[0]; r.Verdict != Inconclusive || !strings.Contains(r.Observed, "context canceled") {
				t.Errorf("%s: %s", r.Verdict, r.Observed)
			}
			if took := time.Since(began); took > 10*time.Second {
				t.Errorf("it ended after %v", took)
			}
		})
	}
}

// Nothing refers to the namespace of a host after it.
func TestExec_LeavesNoNamespace(t *testing.T) {
	for _, link := range []string{"tap", "veth"} {
		d, err := execDriver(t, program("setup) setsid sleep MARK & echo ok;;"), 0)
		if err != nil {
			t.Fatal(err)
		}
		d.config.Link = link
		target, err := d.Open(Setup{Profile: "current", LinkAddr: HostLinkAddr, Chance: Random})
		if err != nil {
			t.Fatal(err)
		}
		ino := inode(t, target.(*execTarget).namespace)
		if len(users(t, ino)) < 3 {
			t.Errorf("%s: the namespace has these users: %q", link, users(t, ino))
		}
		if err := target.Close(); err != nil {
			t.Error(err)
		}
		if left := users(t, ino); len(left) > 0 {
			t.Errorf("%s: the namespace is still used: %q", link, left)
		}
	}
}

// The program finds what the documentation promises.
func TestExec_Links(t *testing.T) {
	const look = `setup)
		iface=${words#iface=}; iface=${iface%% *}
		conf=/proc/sys/net/ipv6/conf/$iface/disable_ipv6
		echo refused $(cat $conf) $(ip -br link show dev $iface) of $(ip -br link | wc -l)
		;;`
	for link, want := range map[string]string{
		// IPv6 is off, and the interface up; but nobody is attached to it.
		"tap":  "setup: 1 tap0 DOWN 02:00:00:00:00:fe <NO-CARRIER,BROADCAST,MULTICAST,UP> of 2",
		"veth": "setup: 0 eth0@wire0 DOWN 02:00:00:00:00:01 <BROADCAST,MULTICAST> of 3",
	} {
		d, err := execDriver(t, program(look), 0)
		if err != nil {
			t.Fatal(err)
		}
		d.config.Link = link
		_, err = d.Open(Setup{Profile: "current", LinkAddr: HostLinkAddr, Chance: Random})
		if err == nil || err.Error() != want {
			t.Errorf("%s: %v, want %s", link, err, want)
		}
	}
}

func TestExec_ConfigIsChecked(t *testing.T) {
	for want, c := range map[string]ExecConfig{
		"which program is the host?":                {},
		`"bridge" is no link: there are tap and ve`: {Command: []string{"true"}, Link: "bridge"},
		"no such file or directory":                 {Command: []string{"/tapstack/no/such/program"}},
	} {
		netnstest.Require(t)
		if _, err := NewExecDriver(context.Background(), c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: error %v, want %s", c, err, want)
		}
	}
}
