package dad

import (
	"net/netip"
	"testing"
	"time"

	"github.com/tapstack/tapstack/nd"
)

// FuzzMachine reads a configuration and a series of events from octets and
// checks the rules of monitor after each.
func FuzzMachine(f *testing.F) {
	f.Add([]byte{0x01, 0x00, 0, 0, 0, 0})
	f.Add([]byte{0x01, 0x00, 0, 0, 0, 10, 3, 0, 1, 30, 6, 0, 0, 200, 1, 0, 0, 10})
	f.Add([]byte{0x12, 0x80, 0, 1, 3, 0, 3, 1, 0, 90, 3, 1, 0, 90, 4, 1, 0, 5})
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) < 2 {
			return
		}
		p := newMonitor(fuzzConfig(b[0]), &dice{seed: uint64(b[1])})
		now := epoch
		// A log this short has fewer probes than nonces are kept.
		for b = b[2:]; len(b) >= 4 && len(p.log.String()) < 4_000; b = b[4:] {
			now = now.Add(time.Duration(b[3]) * 17 * time.Millisecond)
			if _, err := p.step(now, fuzzEvent(p, b[0], propertyAddrs[int(b[1])%len(propertyAddrs)], b[2])); err != nil {
				t.Fatalf("%v\n%s", err, p.log.String())
			}
		}
	})
}

func fuzzConfig(b byte) Config {
	return Config{
		LinkAddr:               ownMAC,
		Loopback:               Loopback(b & 3 % 3),
		DupAddrDetectTransmits: int(b>>2&3) - 1,
		DelayProbeOnly:         b&0x10 != 0,
		NoMulticastRADelay:     b&0x20 != 0,
		AcceptUnicastDst:       b&0x40 != 0,
		NoNonce:                b&0x80 != 0,
	}
}

func fuzzEvent(p *monitor, op byte, addr netip.Addr, arg byte) Event {
	from := ownMAC
	if arg&1 != 0 {
		from = other
	}
	switch op % 9 {
	case 0:
		return Start{addr, Mode(arg % 3), arg&0x80 != 0, arg&0x10 != 0, arg&0x20 != 0}
	case 1:
		return Stop{addr}
	case 2:
		return Accept{addr}
	case 3, 4: // an echo of the probe that arg says
		if o := p.addrs[addr]; o != nil && len(o.nonces) > 0 {
			return solicit("::", addr, o.nonces[int(arg)%len(o.nonces)], from)
		}
		return solicit("::", addr, "", from)
	case 5:
		return solicit([]string{"::", "fe80::9"}[arg>>1&1], addr, nonce(uint64(arg>>2)), from)
	case 6:
		ev := advert([]netip.Addr{nd.AllNodes, addr, ownAddr}[arg>>1%3], addr, from)
		ev.Router, ev.Solicited, ev.Override = arg&0x10 != 0, arg&0x20 != 0, arg&0x40 != 0
		ev.TargetLinkAddr[5] = arg >> 3
		return ev
	case 7:
		return SendFailed{addr}
	}
	return SetRetransTimer{time.Duration(arg) * 10 * time.Millisecond}
}
