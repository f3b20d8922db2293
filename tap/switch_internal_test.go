package tap

import (
	"testing"

	"github.com/tapstack/tapstack/nd"
)

// A Write that overlaps with Close may reach the switch after the port is
// gone. Its source must not be learned: nobody would forget it.
func TestSwitch_LateFrameOfAClosedPort(t *testing.T) {
	s := NewSwitch(SwitchConfig{})
	defer s.Close()
	source := nd.LinkAddr{0x02, 0, 0, 0, 0, 0x0a}
	end := s.Port(source)
	p := s.ports[0]
	end.Close()
	s.forward(p, [][]byte{append(append(nd.BroadcastLinkAddr[:], source[:]...), 0x88, 0xb5)})
	if len(s.learned) != 0 {
		t.Errorf("learned %v from a port that is gone", s.learned)
	}
}
