//go:build !race

package conformance_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tapstack/tapstack/conformance"
	"github.com/tapstack/tapstack/conformance/hosts/known"
	"github.com/tapstack/tapstack/internal/netnstest"
)

// samples are a few short cases for each host that it passes, and a few that it
// fails; which is which is for the files of what is known.
var samples = map[string]string{
	"gvisor": "DAD-01 DAD-02 DAD-04a DAD-16 DAD-38 DAD-43 ICM-33 ICM-45 NUD-17 RA-12 VAL-05 DAD-14 DAD-19 NUD-28 RA-21 RA-45 RED-01",
	"lwip":   "DAD-01 DAD-02 DAD-16 DAD-38 DAD-43 NUD-17 RA-12 VAL-03 VAL-20 DAD-23 ICM-33 ICM-45 NUD-24 NUD-32 RA-21 VAL-05",
}

// The hosts of others do in these cases what is known of them: the way to them
// and back works, commands, tables, datagrams and echoes too.
func TestHosts(t *testing.T) {
	netnstest.Require(t, "sysctl", "cc")
	if testing.Short() {
		t.Skip("in real time")
	}
	// That of lwIP is built by its driver.
	bin := t.TempDir()
	if out, err := exec.Command("go", "build", "-o", bin, "./hosts/tapstack-host-gvisor").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Setenv("PATH", bin+string(filepath.ListSeparator)+os.Getenv("PATH"))
	for _, name := range conformance.HostNames {
		d, err := conformance.NewHostDriver(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := d.Close(); err != nil {
				t.Error(err)
			}
		})
		t.Run(name, func(t *testing.T) { asKnown(t, d, sample(t, samples[name])) })
	}
}

// asKnown plays cases, which are to fail if it is known that they do, and to
// pass otherwise.
func asKnown(t *testing.T, d *conformance.HostDriver, cases []*conformance.Case) {
	t.Helper()
	f, err := known.Read(d.Name())
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range (conformance.Runner{Driver: d}).Run(t.Context(), cases) {
		departs := f.Of(r.Case) != nil
		if r.Verdict == conformance.Pass && !departs || r.Verdict == conformance.Fail && departs {
			continue
		}
		var b strings.Builder
		if err := r.WriteText(&b); err != nil {
			t.Fatal(err)
		}
		t.Errorf("known to fail: %t\n%s", departs, b.String())
	}
}

// sample returns the cases with these identifiers.
func sample(t *testing.T, ids string) (cases []*conformance.Case) {
	t.Helper()
	all, err := conformance.Scenarios()
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range strings.Fields(ids) {
		some, err := conformance.Select(all, id)
		if err != nil || len(some) != 1 {
			t.Fatalf("%s: %d cases, %v", id, len(some), err)
		}
		cases = append(cases, some...)
	}
	return cases
}

// A host that is not installed is told by what to do.
func TestNewHostDriver_Missing(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	for _, name := range conformance.HostNames {
		_, err := conformance.NewHostDriver(t.Context(), name)
		var missing *conformance.MissingHostError
		if !errors.As(err, &missing) || missing.Host != name || !strings.Contains(err.Error(), " install ") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := conformance.NewHostDriver(t.Context(), "plan9"); err == nil || !strings.Contains(err.Error(), "gvisor, lwip") {
		t.Errorf("a host that there is not: %v", err)
	}
}
