package tap_test

import (
	"bytes"
	"fmt"
	"log"

	"github.com/tapstack/tapstack/nd"
	"github.com/tapstack/tapstack/stack"
	"github.com/tapstack/tapstack/tap"
)

// Two hosts on a switch, and a record of what one of them sends and receives.
func Example() {
	a, b := nd.LinkAddr{0x02, 5: 0x0a}, nd.LinkAddr{0x02, 5: 0x0b}
	s := tap.NewSwitch(tap.SwitchConfig{})
	defer s.Close()

	var file bytes.Buffer
	left, right := tap.Tee(s.Port(a), &file), s.Port(b)

	frame := append(append(b[:], a[:]...), 0x88, 0xb5, 'h', 'i')
	if _, err := left.Write([]stack.Frame{{Data: [][]byte{frame}}}); err != nil {
		log.Fatal(err)
	}

	frames := []stack.Frame{{Data: [][]byte{make([]byte, 14+right.MTU())}}}
	if _, err := right.Read(frames); err != nil {
		log.Fatal(err)
	}
	got := frames[0].Data[0][:frames[0].Len]
	fmt.Printf("%s from %v; %d octets of pcapng\n", got[14:], nd.LinkAddr(got[6:12]), file.Len())
	// Output: hi from 02:00:00:00:00:0a; 156 octets of pcapng
}
