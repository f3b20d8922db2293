package main

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/tapstack/tapstack/internal/netnstest"
)

// Several hosts are judged one after the other, in one report.
func TestConform_SeveralTargets(t *testing.T) {
	netnstest.Require(t)
	code, stdout, stderr := command(t, "conform", "run", "--target", "core,exec", "--exec", "exec ../../conformance/hosts/kernel.sh", "--link", "veth",
		"--case", "DAD-01", "--profile", "rfc4862", "-v")
	if code != 0 || stderr != "" || strings.Count(stdout, "pass           DAD-01") != 2 || !strings.Contains(stdout, "2 pass against core, exec (Linux ") {
		t.Errorf("exit code %d, stderr %q, stdout %s", code, stderr, stdout)
	}
	code, _, stderr = command(t, "conform", "run", "--target", "exec", "--exec", "echo no licence >&2; exit 3", "--case", "DAD-01")
	if code != 1 || !strings.Contains(stderr, "has ended (exit status 3); its stderr ends: no licence\n") || !isLine(stderr) {
		t.Errorf("exit code %d, stderr %q", code, stderr)
	}
}

// Without privileges, conform says so once, before it plays any case.
func TestConform_WithoutPrivileges(t *testing.T) {
	p := newPlace(t)
	for flags, want := range map[string]string{
		"--target core,linux":       "--target linux: a network namespace cannot be made, which takes root: operation not permitted",
		"--target exec --exec true": `--exec "true": a network namespace cannot be made, which takes root: operation not permitted`,
		"--target tap":              "--target tap: a network namespace cannot be made, which takes root: operation not permitted",
	} {
		self, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		cmd := p.ns.Command("unshare", append([]string{"-U", self, "conform", "run"}, strings.Fields(flags)...)...)
		cmd.Env = append(os.Environ(), mainVariable+"=1")
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		if err := cmd.Run(); cmd.ProcessState.ExitCode() != 1 || stderr.String() != "tapstack: "+want+"\n" {
			t.Errorf("%s: %v, stderr %q, want %s", flags, err, &stderr, want)
		}
	}
}
