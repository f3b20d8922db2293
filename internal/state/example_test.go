package state_test

import (
	"bytes"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"

	"github.com/tapstack/tapstack/internal/state"
	"github.com/tapstack/tapstack/nd"
)

func Example() {
	parent, err := os.MkdirTemp("", "state")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(parent)
	dir := filepath.Join(parent, "tapstack")

	before, err := state.Open(dir)
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := before.SaveCounter("tap0", nd.DADCounter{Prefix: netip.MustParsePrefix("fe80::/64"), Counter: 1}); err != nil {
		fmt.Println(err)
		return
	}
	after, err := state.Open(dir)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(bytes.Equal(before.Secret(), after.Secret()), after.Counters("tap0"))
	// Output: true [{fe80::/64 1}]
}
