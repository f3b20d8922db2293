package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/tapstack/tapstack/conformance"
)

func TestConform_RunTellsThatAllPassed(t *testing.T) {
	code, stdout, stderr := command(t, "conform", "run", "--case", "DAD-0[189]*", "--profile", "rfc4862")
	if code != 0 || stderr != "" || !strings.HasPrefix(stdout, "4 pass against core in ") {
		t.Errorf("exit code %d, stderr %q, stdout %q", code, stderr, stdout)
	}
	code, stdout, _ = command(t, "conform", "run", "--case", "DAD-09", "--profile", "rfc4862", "-j")
	var results []conformance.Result
	if err := json.Unmarshal([]byte(stdout), &results); err != nil || code != 0 || len(results) != 1 || results[0].Verdict != conformance.Pass {
		t.Errorf("-j: exit code %d, %v, %q", code, err, stdout)
	}
}

func TestConform_TargetsAreChecked(t *testing.T) {
	for flags, want := range map[string]string{
		"--target moon":                           `--target "moon" is none of core, stack, `,
		"--target core,core":                      "--target names core twice",
		"--target exec":                           "--target exec: which program? Name it with --exec 'CMD ARGS'",
		"--exec true":                             "--exec is for --target exec",
		"--target core --link veth":               "--link is for --target exec",
		"--target exec --exec true --link bridge": `--link "bridge" is neither tap nor veth`,
		"--target core --profile rfc1":            `--profile "rfc1": the target core has rfc2462, rfc4862, current`,
		"--target core --target core":             "--target names core twice",
	} {
		code, _, stderr := command(t, append([]string{"conform", "run"}, strings.Fields(flags)...)...)
		if code != 2 || !strings.Contains(stderr, want) || !isLine(stderr) {
			t.Errorf("%s: exit code %d, %q, want %s", flags, code, stderr, want)
		}
	}
}

// A verdict other than pass is in the exit code, without a word on stderr: what
// there is to say has been said.
func TestConform_FailureIsInTheExitCode(t *testing.T) {
	for verdict, want := range map[conformance.Verdict]int{
		conformance.Pass: 0, conformance.NotApplicable: 0, conformance.Fail: 1, conformance.Inconclusive: 1,
	} {
		cmd := newConformRun()
		var out strings.Builder
		cmd.SetOut(&out)
		err := new(conformRun).report(cmd, []conformance.Result{{Case: "DAD-09", Verdict: verdict, Deviating: -1}}, 0)
		code := 0
		if err != nil {
			code = exitCode(err)
		}
		if code != want || err != nil && err.Error() != "" {
			t.Errorf("%s: exit code %d, error %v, want %d and no text", verdict, code, err, want)
		}
		if told := strings.Contains(out.String(), "DAD-09"); told != (want == 1) {
			t.Errorf("%s: the case is told of: %v\n%s", verdict, told, &out)
		}
	}
}

func TestConform_ListAndExplain(t *testing.T) {
	code, stdout, _ := command(t, "conform", "list", "--case", "DAD-09", "-j")
	var listed []listedCase
	if err := json.Unmarshal([]byte(stdout), &listed); err != nil || code != 0 || len(listed) != 1 || listed[0].ID != "DAD-09" || listed[0].Group != "dad" {
		t.Errorf("list: exit code %d, %v, %q", code, err, stdout)
	}
	code, stdout, _ = command(t, "conform", "explain", "dad-09")
	for _, part := range []string{"spec RFC 4862, section 5.4.3", "    probing\n", "given expect ns src=:: target=HOST within 1s\n", "nothing within 5s but mld leave\n"} {
		if code != 0 || !strings.Contains(stdout, part) {
			t.Errorf("explain: exit code %d, no %q in\n%s", code, part, stdout)
		}
	}
}
