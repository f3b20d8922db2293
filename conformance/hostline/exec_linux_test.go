package hostline_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/tapstack/tapstack/conformance"
	"github.com/tapstack/tapstack/conformance/hostline"
	"github.com/tapstack/tapstack/internal/netnstest"
	"github.com/tapstack/tapstack/nd"
)

// programVariable has the test binary be a program that is a host.
const programVariable = "TAPSTACK_TEST_HOSTLINE"

func TestMain(m *testing.M) {
	if os.Getenv(programVariable) == "" {
		os.Exit(m.Run())
	}
	if err := hostline.Serve(os.Stdin, os.Stdout, new(noted)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// What the tester asks and Serve answers are the same protocol: all of it
// arrives as it was meant.
func TestServe_IsWhatTheTesterSpeaks(t *testing.T) {
	netnstest.Require(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	d, err := conformance.NewExecDriver(context.Background(), conformance.ExecConfig{Command: []string{"env", programVariable + "=1", self}})
	if err != nil {
		t.Fatal(err)
	}
	hello := new(noted).Hello()
	if diff := cmp.Diff(hello, hostline.Hello{Name: d.Program(), Can: d.Can(), Profiles: d.Profiles()}, cmpopts.AcyclicTransformer("words", strings.Fields)); diff != "" {
		t.Errorf("hello (-want +got):\n%s", diff)
	}
	setup := conformance.Setup{Profile: "rfc4862", LinkAddr: conformance.HostLinkAddr, Chance: conformance.Random}
	target, err := d.Open(setup)
	if err != nil {
		t.Fatal(err)
	}
	defer target.Close()
	if got, want := target.LinkAddr(), (nd.LinkAddr{2, 0, 0, 0, 0, 7}); got != want {
		t.Errorf("the host's address is %v, want %v", got, want)
	}
	command := func(text string) conformance.Command {
		c, err := conformance.ParseCommand(text)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	if err := target.Do(command("up")); err != nil {
		t.Error(err)
	}
	if err := target.Do(command("down")); err == nil || err.Error() != "this host stays up" {
		t.Errorf("down: %v", err)
	}
	want, _ := new(noted).View()
	got, err := target.View()
	if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{})); diff != "" || err != nil {
		t.Errorf("tables: %v (-want +got):\n%s", err, diff)
	}
	setup.Knobs = []conformance.Setting{{Name: "iid", Value: "stable"}}
	if _, err := d.Open(setup); !errors.Is(err, conformance.ErrNotApplicable) || err.Error() != "setup: no knob iid" {
		t.Errorf("a knob that it does not have: %v", err)
	}
}
