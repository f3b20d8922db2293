package state

import (
	"bytes"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tapstack/tapstack/nd"
)

func prefix(n int) netip.Prefix {
	return netip.MustParsePrefix(fmt.Sprintf("2001:db8:%x::/64", n))
}

func open(t *testing.T, dir string) *Store {
	t.Helper()
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// newDir is a state directory that is not there yet.
func newDir(t *testing.T) string { return filepath.Join(t.TempDir(), "lib", "tapstack") }

// modes lists what is in a directory.
func modes(t *testing.T, dir string) (all []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, e.Name()+" "+info.Mode().String())
	}
	return all
}

// Spec: RFC 7217, section 5, SHOULD, IID-R05
func TestIID_R05_SecretIsMadeOnceAndKept(t *testing.T) {
	dir := newDir(t)
	first := open(t, dir).Secret()
	if len(first) != 32 || bytes.Equal(first, make([]byte, 32)) {
		t.Errorf("secret %x", first)
	}
	if again := open(t, dir).Secret(); !bytes.Equal(again, first) {
		t.Error("the second Open has another secret")
	}
	if other := open(t, newDir(t)).Secret(); bytes.Equal(other, first) {
		t.Error("two directories have the same secret")
	}
	if runtime.GOOS == "windows" {
		return
	}
	if diff := cmp.Diff([]string{"secret -rw-------"}, modes(t, dir)); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("directory %v, %v", info.Mode(), err)
	}
}

// What a caller does with the secret does not change that of the next.
func TestSecretIsACopy(t *testing.T) {
	s := open(t, newDir(t))
	clear(s.Secret())
	if bytes.Equal(s.Secret(), make([]byte, 32)) {
		t.Error("the caller has the Store's own secret")
	}
}

// Processes that start at the same moment have the same secret.
func TestSecret_OpenersThatRace(t *testing.T) {
	for range 20 {
		dir := newDir(t)
		secrets := make([][]byte, 8)
		var wg sync.WaitGroup
		for k := range secrets {
			wg.Go(func() {
				s, err := Open(dir)
				if err != nil {
					t.Error(err)
					return
				}
				secrets[k] = s.Secret()
			})
		}
		wg.Wait()
		for _, b := range secrets {
			if !bytes.Equal(b, secrets[0]) {
				t.Fatal("there are two secrets")
			}
		}
	}
}

// Even without a lock the secret of a process that was quicker stays.
func TestSecret_IsNotReplacedByASlowerProcess(t *testing.T) {
	dir := newDir(t)
	first := open(t, dir).Secret()
	s := &Store{dir: dir}
	if err := s.makeSecret(); err != nil {
		t.Fatal(err)
	}
	if again := open(t, dir).Secret(); !bytes.Equal(again, first) {
		t.Error("the secret was replaced")
	}
}

// Spec: RFC 7217, section 6, MAY, IID-R10
func TestIID_R10_CountersAreKept(t *testing.T) {
	dir := newDir(t)
	s := open(t, dir)
	if c := s.Counters("tap0"); c != nil {
		t.Errorf("counters of a new directory: %v", c)
	}
	for _, save := range []struct {
		iface   string
		counter nd.DADCounter
	}{
		{"tap0", nd.DADCounter{Prefix: prefix(1), Counter: 1}},
		{"tap1", nd.DADCounter{Prefix: prefix(1), Counter: 7}},
		{"tap0", nd.DADCounter{Prefix: prefix(2), Counter: 1}},
		{"tap0", nd.DADCounter{Prefix: prefix(1), Counter: 2}},
	} {
		if err := s.SaveCounter(save.iface, save.counter); err != nil {
			t.Fatal(err)
		}
	}
	again := open(t, dir)
	for iface, want := range map[string][]nd.DADCounter{
		"tap0": {{Prefix: prefix(2), Counter: 1}, {Prefix: prefix(1), Counter: 2}},
		"tap1": {{Prefix: prefix(1), Counter: 7}},
		"tap2": nil,
	} {
		if diff := cmp.Diff(want, again.Counters(iface), cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); diff != "" {
			t.Errorf("%s (-want +got):\n%s", iface, diff)
		}
	}
	want := `[{"interface":"tap1","prefix":"2001:db8:1::/64","counter":7},` +
		`{"interface":"tap0","prefix":"2001:db8:2::/64","counter":1},{"interface":"tap0","prefix":"2001:db8:1::/64","counter":2}]` + "\n"
	if b, err := os.ReadFile(filepath.Join(dir, countersFile)); err != nil || string(b) != want {
		t.Errorf("%s, %v, want %s", b, err, want)
	}
}

// Processes that share the directory do not lose each other's counters.
func TestCounters_SaversThatRace(t *testing.T) {
	dir := newDir(t)
	var wg sync.WaitGroup
	for k := range 4 {
		s := open(t, dir)
		wg.Go(func() {
			for n := range 10 {
				if err := s.SaveCounter(fmt.Sprintf("tap%d", k), nd.DADCounter{Prefix: prefix(n), Counter: 1}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	s := open(t, dir)
	for k := range 4 {
		if n := len(s.Counters(fmt.Sprintf("tap%d", k))); n != 10 {
			t.Errorf("tap%d has %d counters, want 10", k, n)
		}
	}
}

func TestCounters_AreBounded(t *testing.T) {
	var all []counter
	for n := range 2 * maxPerInterface {
		all = with(all, counter{"tap0", prefix(n), 1})
	}
	all = with(all, counter{"tap1", prefix(0), 1})
	all = with(all, counter{"tap0", prefix(2*maxPerInterface - 1), 2}) // known already: nothing has to go
	if len(all) != maxPerInterface+1 || all[0].Prefix != prefix(maxPerInterface) || all[len(all)-1].Counter != 2 {
		t.Errorf("%d counters, the first for %v, the last %v", len(all), all[0].Prefix, all[len(all)-1])
	}
	for n := range 2 * maxCounters {
		all = with(all, counter{fmt.Sprintf("eth%d", n), prefix(0), 1})
	}
	if len(all) != maxCounters || all[0].Interface != fmt.Sprintf("eth%d", maxCounters) {
		t.Errorf("%d counters, the first of %s", len(all), all[0].Interface)
	}
}

// The largest file that SaveCounter can write can be read again.
func TestCounters_LargestFile(t *testing.T) {
	dir := newDir(t)
	s := open(t, dir)
	var all []string
	for n := range maxCounters {
		// \u0001 in JSON takes more room than anything else.
		name := strings.Repeat(`\u0001`, maxName-8) + fmt.Sprintf("%08d", n)
		all = append(all, `{"interface":"`+name+`","prefix":"2001:db8:1111:2222:3333:4444:5555:6666/128","counter":4294967295}`)
	}
	if err := os.WriteFile(filepath.Join(dir, countersFile), []byte("["+strings.Join(all, ",")+"]"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.SaveCounter("tap0", nd.DADCounter{Prefix: prefix(1), Counter: 1}); err != nil {
		t.Fatal(err)
	}
	if c := open(t, dir).Counters("tap0"); len(c) != 1 {
		t.Errorf("counters %v", c)
	}
}

func TestCounters_BadArguments(t *testing.T) {
	dir := newDir(t)
	s := open(t, dir)
	good := nd.DADCounter{Prefix: prefix(1), Counter: 1}
	for iface, c := range map[string]nd.DADCounter{
		"": good, "\xff": good, strings.Repeat("x", maxName+1): good,
		"tap0": {Counter: 1}, "tap1": {Prefix: netip.MustParsePrefix("192.0.2.0/24")}, "tap2": {Prefix: netip.MustParsePrefix("2001:db8::1/64")},
	} {
		if err := s.SaveCounter(iface, c); err == nil {
			t.Errorf("SaveCounter(%q, %v) succeeds", iface, c)
		}
	}
	if files := modes(t, dir); len(files) != 1 {
		t.Errorf("files %v, want the secret alone", files)
	}
}

// A process that is killed between writing and renaming leaves the old file,
// and a temporary one that the next to write removes.
func TestLeftoversOfAKilledProcess(t *testing.T) {
	dir := newDir(t)
	s := open(t, dir)
	if err := s.SaveCounter("tap0", nd.DADCounter{Prefix: prefix(1), Counter: 1}); err != nil {
		t.Fatal(err)
	}
	leftover := filepath.Join(dir, strings.Replace(temporaryPattern, "*", "123", 1))
	if err := os.WriteFile(leftover, []byte(`[{"interface":"tap0"`), 0o600); err != nil {
		t.Fatal(err)
	}
	again := open(t, dir)
	if c := again.Counters("tap0"); len(c) != 1 || !bytes.Equal(again.Secret(), s.Secret()) {
		t.Errorf("counters %v", c)
	}
	if err := again.SaveCounter("tap0", nd.DADCounter{Prefix: prefix(1), Counter: 2}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"counters.json -rw-------", "secret -rw-------"}, modes(t, dir)); diff != "" && runtime.GOOS != "windows" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
}

// What is not as it should be is an error of one line that names the file, and
// stays as it is.
func TestDamage(t *testing.T) {
	whole := `[{"interface":"tap0","prefix":"2001:db8:1::/64","counter":1}]`
	element := strings.Trim(whole, "[]")
	cases := map[string][]string{
		secretFile: {"", "x", strings.Repeat("x", 31), strings.Repeat("x", 33), strings.Repeat("\x00", 32), strings.Repeat("x", 1<<20)},
		countersFile: {
			"", "null", "{}", "7", whole[:20], whole[:len(whole)-1], whole + whole, whole + "x", "[" + element + "," + element + "]", "[" + element + ",{}]",
			strings.Replace(whole, "tap0", "", 1), strings.Replace(whole, "counter", "count", 1), strings.Replace(whole, "1}", "-1}", 1), strings.Replace(whole, "1}", "4294967296}", 1),
			strings.Replace(whole, "/64", "/129", 1), strings.Replace(whole, "1::/64", "1::1/64", 1), strings.Replace(whole, "2001:db8:1::/64", "192.0.2.0/24", 1), strings.Replace(whole, "tap0", "tap\xff", 1),
			strings.Repeat("\x00", 100), whole + strings.Repeat(" ", maxCountersSize),
			"[" + strings.TrimSuffix(strings.Repeat(element+",", maxCounters+1), ",") + "]",
		},
	}
	for name, all := range cases {
		for _, text := range all {
			dir := newDir(t)
			s := open(t, dir)
			path := filepath.Join(dir, name)
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := Open(dir)
			if name == countersFile {
				if err == nil {
					t.Errorf("%.60q in %s is taken", text, name)
					continue
				}
				if err := s.SaveCounter("tap0", nd.DADCounter{Prefix: prefix(1), Counter: 1}); err == nil {
					t.Errorf("SaveCounter replaces %.60q", text)
				}
			}
			if err == nil || !strings.HasPrefix(err.Error(), path+" ") || !strings.Contains(err.Error(), "remove it") || strings.Contains(err.Error(), "\n") {
				t.Errorf("%.60q in %s: %v", text, name, err)
			}
			if b, err := os.ReadFile(path); err != nil || string(b) != text {
				t.Errorf("%.60q in %s was changed: %v", text, name, err)
			}
		}
	}
}

func FuzzParseCounters(f *testing.F) {
	f.Add([]byte(`[{"interface":"tap0","prefix":"2001:db8:1::/64","counter":1}]`))
	f.Add([]byte(`[]`))
	f.Fuzz(func(t *testing.T, b []byte) {
		all, err := parseCounters(b)
		if err == nil && len(all) > maxCounters {
			t.Errorf("%d counters", len(all))
		}
		for _, c := range all {
			if err := c.check(); err != nil {
				t.Error(err)
			}
		}
	})
}
