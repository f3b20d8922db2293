package demo

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tapstack/tapstack/internal/netnstest"
)

// inside is set in the process that TestTAP starts in a namespace: the demo
// runs ip(8), so the whole process has to be there.
const inside = "TAPSTACK_TEST_DEMO"

func TestTAP(t *testing.T) {
	if os.Getenv(inside) != "" {
		if err := TAP(t.Context(), os.Stdout, nil); err != nil {
			t.Fatal(err)
		}
		return
	}
	netnstest.Require(t)
	t.Parallel()
	ns := netnstest.New(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := ns.Command(self, "-test.run=^TestTAP$")
	cmd.Env = append(os.Environ(), inside+"=1")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	got, _, _ := strings.Cut(sameInEveryRun(string(out)), "PASS\n")
	if diff := cmp.Diff(tapStory, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if links, err := exec.Command("ip", "netns", "exec", ns.Name(), "ip", "-br", "link").Output(); err != nil || strings.Contains(string(links), tapName) {
		t.Errorf("the TAP stays: %s, %v", links, err)
	}
}
