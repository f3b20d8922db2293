package dad

import (
	"net/netip"
	"testing"
	"time"

	"github.com/tapstack/tapstack/nd"
)

// Spec: RFC 4862, section 5.4, MUST, DAD-R01
func TestDAD_R01_AssignsOnlyAfterTheTest(t *testing.T) {
	check(t, `
	0s      start fe80::1
	        > join ff02::1:ff00:1 for fe80::1
	        > probe fe80::1 to ff02::1:ff00:1 nonce=01
	999ms   quiet
	1s      timer
	        > assign fe80::1
	1h      quiet
	`)
}

// Spec: RFC 4862, section 5.1, MUST, DAD-R02
func TestDAD_R02_TransmitsAreConfigurable(t *testing.T) {
	check(t, `
	config transmits=3 no-nonce
	0s      start fe80::1
	        > join ff02::1:ff00:1 for fe80::1
	        > probe fe80::1 to ff02::1:ff00:1
	1s      timer
	        > probe fe80::1 to ff02::1:ff00:1
	2s      timer
	        > probe fe80::1 to ff02::1:ff00:1
	3s      timer
	        > assign fe80::1
	1h      quiet
	`)
}

// Spec: RFC 4862, section 5.1, MUST, DAD-R03
func TestDAD_R03_NoTransmitsAssignsAtOnce(t *testing.T) {
	check(t, `
	config transmits=none
	0s      start fe80::1 first
	        > join ff02::1:ff00:1 for fe80::1
	        > assign fe80::1
	1h      quiet
	1h      stop fe80::1
	        > leave ff02::1:ff00:1 for fe80::1
	`)
}

// Spec: RFC 4862, section 5.4, MUST NOT, DAD-R04
func TestDAD_R04_AnycastIsNotTested(t *testing.T) {
	check(t, `
	0s      start 2001:db8:: anycast first multicast-ra
	        > join ff02::1:ff00:0 for 2001:db8::
	        > assign 2001:db8::
	1h      quiet
	`)
}

// Spec: RFC 4862, section 5.4, MUST NOT, DAD-R06
func TestDAD_R06_AddressesOfOneIdentifierAreTestedEach(t *testing.T) {
	check(t, `
	0s      start fe80::1
	        > join ff02::1:ff00:1 for fe80::1
	        > probe fe80::1 to ff02::1:ff00:1 nonce=01
	1s      timer
	        > assign fe80::1
	5s      start 2001:db8::1
	        > join ff02::1:ff00:1 for 2001:db8::1
	        > probe 2001:db8::1 to ff02::1:ff00:1 nonce=02
	6s      timer
	        > assign 2001:db8::1
	6s      start 2001:db8:1::1
	        > join ff02::1:ff00:1 for 2001:db8:1::1
	        > probe 2001:db8:1::1 to ff02::1:ff00:1 nonce=03
	6.5s    na 2001:db8:1::1
	        > leave ff02::1:ff00:1 for 2001:db8:1::1
	        > reject 2001:db8:1::1 by 02:00:00:00:00:09 (neighbor advertisement)
	1h      quiet
	`)
}

// Spec: RFC 4862, section 5, must, DAD-R08
func TestDAD_R08_InterfacesAreIndependent(t *testing.T) {
	one, two := New(Config{}, new(script)), New(Config{}, new(script))
	one.Step(epoch, Start{Addr: tableAddr})
	two.Step(epoch, Start{Addr: tableAddr})
	one.Step(epoch, advert(nd.AllNodes, tableAddr, other))
	two.Advance(epoch.Add(time.Second))
	if one.State(tableAddr) != Absent || two.State(tableAddr) != Assigned {
		t.Errorf("states %d and %d, want absent and assigned", one.State(tableAddr), two.State(tableAddr))
	}
}

// The all-nodes group is the interface's own, joined as long as it is up.
//
// Spec: RFC 4862, section 5.4.2, MUST, DAD-R13
func TestDAD_R13_JoinsBeforeTheFirstProbe(t *testing.T) {
	check(t, `
	delay 700ms
	0s      start fe80::1 first
	        > listen ff02::1:ff00:1 for fe80::1
	700ms   timer
	        > join ff02::1:ff00:1 for fe80::1
	        > probe fe80::1 to ff02::1:ff00:1 nonce=01
	1s      start fe80::2
	        > join ff02::1:ff00:2 for fe80::2
	        > probe fe80::2 to ff02::1:ff00:2 nonce=02
	1s      start fe80::3 optimistic
	        > join ff02::1:ff00:3 for fe80::3
	        > assign fe80::3 optimistic
	        > probe fe80::3 to ff02::1:ff00:3 nonce=03
	`)
}

// Spec: RFC 4862, section 5.4.2, must, DAD-R14
func TestDAD_R14_ProbesAreRetransTimerApart(t *testing.T) {
	check(t, `
	config transmits=2 retrans=250ms
	0s      start fe80::1
	        > join ff02::1:ff00:1 for fe80::1
	        > probe fe80::1 to ff02::1:ff00:1 nonce=01
	250ms   timer
	        > probe fe80::1 to ff02::1:ff00:1 nonce=02
	500ms   timer
	        > assign fe80::1
	1h      quiet
	`)
}

// The rest of the message has no choice in it: it is the caller's.
//
// Spec: RFC 4862, section 5.4.2, must, DAD-R15
func TestDAD_R15_ProbesGoToTheSolicitedNodeGroup(t *testing.T) {
	check(t, `
	0s      start 2001:db8::1234:5678:9abc
	        > join ff02::1:ff78:9abc for 2001:db8::1234:5678:9abc
	        > probe 2001:db8::1234:5678:9abc to ff02::1:ff78:9abc nonce=01
	`)
}

// Spec: RFC 4862, section 5.4, must, DAD-R16
func TestDAD_R16_SucceedsRetransTimerAfterTheLastProbe(t *testing.T) {
	check(t, `
	config transmits=2
	delay 1s
	0s      start fe80::1 first
	        > listen ff02::1:ff00:1 for fe80::1
	1s      timer
	        > join ff02::1:ff00:1 for fe80::1
	        > probe fe80::1 to ff02::1:ff00:1 nonce=01
	2s      timer
	        > probe fe80::1 to ff02::1:ff00:1 nonce=02
	2.999999999s quiet
	3s      timer
	        > assign fe80::1
	3s      quiet
	`)
}

// Spec: RFC 2462, section 5.4.2, should, DAD-R17
func TestDAD_R17_RFC2462DelaysTheProbeOnly(t *testing.T) {
	check(t, `
	config rfc2462
	delay 300ms
	0s      start fe80::1 first
	        > join ff02::1:ff00:1 for fe80::1
	300ms   timer
	        > probe fe80::1 to ff02::1:ff00:1
	1.3s    timer
	        > assign fe80::1
	1h      quiet
	`)
}

// Spec: RFC 4862, section 5.4.2, SHOULD, DAD-R18
func TestDAD_R18_RFC4862DelaysTheJoin(t *testing.T) {
	check(t, `
	delay 300ms
	0s      start fe80::1 first
	        > listen ff02::1:ff00:1 for fe80::1
	300ms   timer
	        > join ff02::1:ff00:1 for fe80::1
	        > probe fe80::1 to ff02::1:ff00:1 nonce=01
	1.3s    timer
	        > assign fe80::1
	1h      quiet
	`)
}

// A delay that is drawn as zero is one all the same.
//
// Spec: RFC 4862, section 5.4.2, SHOULD, DAD-R18
func TestDAD_R18_DelayOfZero(t *testing.T) {
	check(t, `
	delay 0s
	0s      start fe80::1 first
	        > listen ff02::1:ff00:1 for fe80::1
	0s      timer
	        > join ff02::1:ff00:1 for fe80::1
	        > probe fe80::1 to ff02::1:ff00:1 nonce=01
	0s      quiet
	1s      timer
	        > assign fe80::1
	1s      quiet
	`)
}

// asked records what a machine asks for.
type asked struct {
	script
	lo, hi time.Duration
}

func (a *asked) Between(lo, hi time.Duration) time.Duration {
	a.lo, a.hi = lo, hi
	return hi
}

// Spec: RFC 4862, section 5.4.2, SHOULD, DAD-R18
// Spec: RFC 2462, section 5.4.2, should, DAD-R17
func TestDAD_R18_DelayIsUpToMaxRtrSolicitationDelay(t *testing.T) {
	for _, cfg := range []Config{{}, {DelayProbeOnly: true}} {
		a := asked{lo: -1, hi: -1}
		New(cfg, &a).Step(epoch, Start{Addr: tableAddr, First: true})
		if a.lo != 0 || a.hi != time.Second {
			t.Errorf("the delay is drawn from [%v, %v], want [0s, 1s]", a.lo, a.hi)
		}
	}
}

// Spec: RFC 4862, section 5.4.2, SHOULD, DAD-R19
func TestDAD_R19_DelaysAddressesFromMulticastRA(t *testing.T) {
	check(t, `
	delay 900ms
	5s      start 2001:db8::1 multicast-ra
	        > listen ff02::1:ff00:1 for 2001:db8::1
	5.9s    timer
	        > join ff02::1:ff00:1 for 2001:db8::1
	        > probe 2001:db8::1 to ff02::1:ff00:1 nonce=01
	6.9s    timer
	        > assign 2001:db8::1
	6.9s    quiet
	`)
	check(t, `
	config rfc2462
	5s      start 2001:db8::1 multicast-ra
	        > join ff02::1:ff00:1 for 2001:db8::1
	        > probe 2001:db8::1 to ff02::1:ff00:1
	`)
}

// Spec: RFC 4862, section 5.4.2, MUST, DAD-R20
func TestDAD_R20_ListensDuringTheDelay(t *testing.T) {
	check(t, `
	delay 900ms
	0s      start fe80::1 first
	        > listen ff02::1:ff00:1 for fe80::1
	500ms   na fe80::1 tll=02:00:00:00:00:07
	        > leave ff02::1:ff00:1 for fe80::1
	        > reject fe80::1 by 02:00:00:00:00:07 (neighbor advertisement) from 02:00:00:00:00:09
	1h      quiet
	`)
	check(t, `
	config rfc2462
	delay 900ms
	0s      start fe80::1 first
	        > join ff02::1:ff00:1 for fe80::1
	500ms   ns fe80::1
	        > leave ff02::1:ff00:1 for fe80::1
	        > reject fe80::1 by 02:00:00:00:00:09 (neighbor solicitation)
	1h      quiet
	`)
}

// Transmits is that of the configuration; RetransTimer that of the moment.
//
// Spec: RFC 4861, section 7.2.1, DER, DAD-R23
func TestDAD_R23_RetransTimerIsSampledWhenATimerIsSet(t *testing.T) {
	check(t, `
	config transmits=3
	0s      start fe80::1
	        > join ff02::1:ff00:1 for fe80::1
	        > probe fe80::1 to ff02::1:ff00:1 nonce=01
	500ms   retrans-timer 3s
	1s      timer
	        > probe fe80::1 to ff02::1:ff00:1 nonce=02
	2s      retrans-timer 100ms
	4s      timer
	        > probe fe80::1 to ff02::1:ff00:1 nonce=03
	4.05s   retrans-timer 0s
	4.1s    timer
	        > assign fe80::1
	5s      start fe80::2
	        > join ff02::1:ff00:2 for fe80::2
	        > probe fe80::2 to ff02::1:ff00:2 nonce=04
	5.1s    timer
	        > probe fe80::2 to ff02::1:ff00:2 nonce=05
	5.1s    quiet
	`)
}

// Spec: RFC 4862, section 5.4, should, DAD-R25
func TestDAD_R25_DropsWhatIsSentToTheTentativeAddress(t *testing.T) {
	check(t, `
	0s      start fe80::1
	        > join ff02::1:ff00:1 for fe80::1
	        > probe fe80::1 to ff02::1:ff00:1 nonce=01
	200ms   na fe80::1 dst=fe80::1 solicited override
	1s      timer
	        > assign fe80::1
	1s      quiet
	`)
	check(t, `
	config rfc2462
	0s      start fe80::1
	        > join ff02::1:ff00:1 for fe80::1
	        > probe fe80::1 to ff02::1:ff00:1
	200ms   na fe80::1 dst=fe80::1 solicited override
	        > leave ff02::1:ff00:1 for fe80::1
	        > reject fe80::1 by 02:00:00:00:00:09 (neighbor advertisement)
	`)
}

// An optimistic address receives packets.
//
// Spec: RFC 4862, section 5.4, should, DAD-R25
func TestDAD_R25_OptimisticAddressIsSentTo(t *testing.T) {
	check(t, `
	0s      start 2001:db8::1 optimistic
	        > join ff02::1:ff00:1 for 2001:db8::1
	        > assign 2001:db8::1 optimistic
	        > probe 2001:db8::1 to ff02::1:ff00:1 nonce=01
	200ms   na 2001:db8::1 dst=2001:db8::1 solicited
	        > leave ff02::1:ff00:1 for 2001:db8::1
	        > reject 2001:db8::1 by 02:00:00:00:00:09 (neighbor advertisement)
	`)
}

// Spec: RFC 4862, section 5.4.3, MUST NOT, DAD-R27
// Spec: RFC 4862, section 5.4.3, should, DAD-R28
func TestDAD_R28_IgnoresAddressResolution(t *testing.T) {
	check(t, `
	delay 500ms
	0s      start fe80::1 first
	        > listen ff02::1:ff00:1 for fe80::1
	100ms   ns fe80::1 src=fe80::9
	500ms   timer
	        > join ff02::1:ff00:1 for fe80::1
	        > probe fe80::1 to ff02::1:ff00:1 nonce=01
	600ms   ns fe80::1 src=fe80::9
	700ms   ns fe80::1 src=fe80::9 dst=fe80::1
	1.5s    timer
	        > assign fe80::1
	1.5s    quiet
	`)
}

// Spec: RFC 4862, section 5.4.3, must, DAD-R29
func TestDAD_R29_ProbeOfAnotherNodeIsADuplicate(t *testing.T) {
	for _, config := range []string{"", "no-nonce", "rfc2462", "no-nonce loopback=unknown linkaddr=02:00:00:00:00:01"} {
		nonce := " nonce=01"
		if config != "" {
			nonce = ""
		}
		check(t, `
	config `+config+`
	0s      start fe80::1
	        > join ff02::1:ff00:1 for fe80::1
	        > probe fe80::1 to ff02::1:ff00:1`+nonce+`
	999ms   ns fe80::1 nonce=77
	        > leave ff02::1:ff00:1 for fe80::1
	        > reject fe80::1 by 02:00:00:00:00:09 (neighbor solicitation)
	1h      quiet
	`)
	}
}

// Spec: RFC 4862, section 5.4.3, must, DAD-R29
func TestDAD_R29_OwnProbeIsNoDuplicate(t *testing.T) {
	check(t, `
	config no-nonce loopback=echoes
	0s      start fe80::1
	        > join ff02::1:ff00:1 for fe80::1
	        > probe fe80::1 to ff02::1:ff00:1
	1ms     ns fe80::1
	1s      timer
	        > assign fe80::1
	1s      quiet
	`)
}

// Spec: RFC 4862, section 5.4.3, must, DAD-R30
func TestDAD_R30_SolicitationBeforeTheFirstProbe(t *testing.T) {
	for _, config := range []string{"", "no-nonce", "no-nonce loopback=echoes",
		"no-nonce loopback=unknown linkaddr=02:00:00:00:00:09"} {
		check(t, `
	config `+config+`
	delay 1s
	0s      start fe80::1 first
	        > listen ff02::1:ff00:1 for fe80::1
	999ms   ns fe80::1 nonce=01
	        > leave ff02::1:ff00:1 for fe80::1
	        > reject fe80::1 by 02:00:00:00:00:09 (neighbor solicitation)
	1h      quiet
	`)
	}
}

// Spec: RFC 4862, section 5.4.3, must, DAD-R31
func TestDAD_R31_MoreSolicitationsThanTheLinkEchoes(t *testing.T) {
	check(t, `
	config no-nonce loopback=echoes transmits=3
	0s      start fe80::1
	        > join ff02::1:ff00:1 for fe80::1
	        > probe fe80::1 to ff02::1:ff00:1
	1ms     ns fe80::1
	1s      timer
	        > probe fe80::1 to ff02::1:ff00:1
	1.001s  ns fe80::1
	1.5s    ns fe80::1
	        > leave ff02::1:ff00:1 for fe80::1
	        > reject fe80::1 by 02:00:00:00:00:09 (neighbor solicitation)
	1h      quiet
	`)
}

// An echo that comes late, or not at all, is no evidence.
//
// Spec: RFC 4862, section 5.4.3, must, DAD-R31
func TestDAD_R31_FewerSolicitationsThanTheLinkEchoes(t *testing.T) {
	check(t, `
	config no-nonce loopback=echoes transmits=3
	0s      start fe80::1
	        > join ff02::1:ff00:1 for fe80::1
	        > probe fe80::1 to ff02::1:ff00:1
	1s      timer
	        > probe fe80::1 to ff02::1:ff00:1
	1.001s  ns fe80::1
	1.002s  ns fe80::1
	2s      timer
	        > probe fe80::1 to ff02::1:ff00:1
	3s      timer
	        > assign fe80::1
	3s      quiet
	`)
}

// Spec: RFC 4862, section 5.4.3, must, DAD-R31
func TestDAD_R31_LinkWithoutLoopback(t *testing.T) {
	check(t, `
	config no-nonce transmits=5
	0s      start fe80::1
	        > join ff02::1:ff00:1 for fe80::1
	        > probe fe80::1 to ff02::1:ff00:1
	1s      timer
	        > probe fe80::1 to ff02::1:ff00:1
	1s      ns fe80::1
	        > leave ff02::1:ff00:1 for fe80::1
	        > reject fe80::1 by 02:00:00:00:00:09 (neighbor solicitation)
	`)
}

// Where loopback is not known, a frame of another source is no echo.
//
// Spec: RFC 4862, appendix A, must, DAD-R32
func TestDAD_R32_LoopbackUnknown(t *testing.T) {
	check(t, `
	config no-nonce loopback=unknown linkaddr=02:00:00:00:00:01 transmits=2
	0s      start fe80::1
	        > join ff02::1:ff00:1 for fe80::1
	        > probe fe80::1 to ff02::1:ff00:1
	1ms     ns fe80::1 from=02:00:00:00:00:01
	1s      timer
	        > probe fe80::1 to ff02::1:ff00:1
	1.5s    ns fe80::1 from=02:00:00:00:00:09
	        > leave ff02::1:ff00:1 for fe80::1
	        > reject fe80::1 by 02:00:00:00:00:09 (neighbor solicitation)
	`)
}

// After a change of the link-layer address only frames with the new one can be
// echoes.
func TestLoopbackUnknownAfterAnotherLinkAddr(t *testing.T) {
	check(t, `
	config no-nonce loopback=unknown linkaddr=02:00:00:00:00:01 transmits=2
	0s      start fe80::1
	        > join ff02::1:ff00:1 for fe80::1
	        > probe fe80::1 to ff02::1:ff00:1
	1ms     link-addr 02:00:00:00:00:02
	2ms     ns fe80::1 from=02:00:00:00:00:02
	3ms     ns fe80::1 from=02:00:00:00:00:01
	        > leave ff02::1:ff00:1 for fe80::1
	        > reject fe80::1 by 02:00:00:00:00:01 (neighbor solicitation)
	`)
}

// Spec: RFC 4862, appendix A, must, DAD-R33
func TestDAD_R33_OwnLinkAddrIsNoReasonToDrop(t *testing.T) {
	for _, event := range []string{"ns fe80::1 from=02:00:00:00:00:01 nonce=77", "na fe80::1 from=02:00:00:00:00:01"} {
		for _, config := range []string{"", "no-nonce"} {
			nonce, kind := " nonce=01", "solicitation"
			if config != "" {
				nonce = ""
			}
			if event[:2] == "na" {
				kind = "advertisement"
			}
			check(t, `
	config linkaddr=02:00:00:00:00:01 `+config+`
	0s      start fe80::1
	        > join ff02::1:ff00:1 for fe80::1
	        > probe fe80::1 to ff02::1:ff00:1`+nonce+`
	500ms   `+event+`
	        > leave ff02::1:ff00:1 for fe80::1
	        > reject fe80::1 by 02:00:00:00:00:01 (neighbor `+kind+`)
	`)
		}
	}
}

// Two nodes with one link-layer address and one identifier, on a link that
// echoes: their probes are the same octets.
//
// Spec: RFC 4862, appendix A, must, DAD-R34
func TestDAD_R34_IdenticalProbesAreCounted(t *testing.T) {
	for _, loopback := range []string{"echoes", "unknown"} {
		check(t, `
	config no-nonce linkaddr=02:00:00:00:00:01 loopback=`+loopback+`
	0s      start fe80::1
	        > join ff02::1:ff00:1 for fe80::1
	        > probe fe80::1 to ff02::1:ff00:1
	1ms     ns fe80::1 from=02:00:00:00:00:01
	2ms     ns fe80::1 from=02:00:00:00:00:01
	        > leave ff02::1:ff00:1 for fe80::1
	        > reject fe80::1 by 02:00:00:00:00:01 (neighbor solicitation)
	`)
	}
}

// Spec: RFC 4862, section 5.4.4, must, DAD-R35
func TestDAD_R35_AdvertisementForTheTentativeAddress(t *testing.T) {
	for _, fields := range []string{"", " router", " override", " router override", " dst=fe80::2 solicited",
		" dst=fe80::2 router solicited override", " src=fe80::9", " dst=ff02::1:ff00:1"} {
		check(t, `
	0s      start fe80::1
	        > join ff02::1:ff00:1 for fe80::1
	        > probe fe80::1 to ff02::1:ff00:1 nonce=01
	500ms   na fe80::1`+fields+`
	        > leave ff02::1:ff00:1 for fe80::1
	        > reject fe80::1 by 02:00:00:00:00:09 (neighbor advertisement)
	`)
		check(t, `
	0s      start fe80::1
	        > join ff02::1:ff00:1 for fe80::1
	        > probe fe80::1 to ff02::1:ff00:1 nonce=01
	500ms   na fe80::1 tll=02:00:00:00:00:07`+fields+`
	        > leave ff02::1:ff00:1 for fe80::1
	        > reject fe80::1 by 02:00:00:00:00:07 (neighbor advertisement) from 02:00:00:00:00:09
	`)
	}
}

// Spec: RFC 4862, section 5.4.4, DER, DAD-R36
func TestDAD_R36_AssignedAddressIsLeftToItsDefence(t *testing.T) {
	check(t, `
	0s      start fe80::1
	        > join ff02::1:ff00:1 for fe80::1
	        > probe fe80::1 to ff02::1:ff00:1 nonce=01
	1s      timer
	        > assign fe80::1
	2s      na fe80::1 override
	3s      ns fe80::1
	4s      ns fe80::1 src=fe80::9
	1h      stop fe80::1
	        > leave ff02::1:ff00:1 for fe80::1
	`)
}

// The machine is called long after the fact, but in the order of the facts.
//
// Spec: RFC 4862, section 5.4, DER, DAD-R38
func TestDAD_R38_OnlyTheTimeOfTheEvidenceCounts(t *testing.T) {
	check(t, `
	0s      start fe80::1
	        > join ff02::1:ff00:1 for fe80::1
	        > probe fe80::1 to ff02::1:ff00:1 nonce=01
	999.999999ms na fe80::1
	        > leave ff02::1:ff00:1 for fe80::1
	        > reject fe80::1 by 02:00:00:00:00:09 (neighbor advertisement)
	`)
	check(t, `
	0s      start fe80::1
	        > join ff02::1:ff00:1 for fe80::1
	        > probe fe80::1 to ff02::1:ff00:1 nonce=01
	1s      timer
	        > assign fe80::1
	1s      na fe80::1
	`)
}

// Spec: RFC 4862, section 5.4.5, MUST NOT, DAD-R39
func TestDAD_R39_DuplicateIsNeverAssigned(t *testing.T) {
	check(t, `
	config transmits=2
	0s      start fe80::1
	        > join ff02::1:ff00:1 for fe80::1
	        > probe fe80::1 to ff02::1:ff00:1 nonce=01
	1s      timer
	        > probe fe80::1 to ff02::1:ff00:1 nonce=02
	1.5s    na fe80::1
	        > leave ff02::1:ff00:1 for fe80::1
	        > reject fe80::1 by 02:00:00:00:00:09 (neighbor advertisement)
	1.6s    na fe80::1
	1.7s    ns fe80::1
	1.8s    accept fe80::1
	1000h   quiet
	`)
}

// What a log record needs is in the error.
//
// Spec: RFC 4862, section 5.4.5, SHOULD, DAD-R40
func TestDAD_R40_ErrorSaysWho(t *testing.T) {
	e := DuplicateError{Addr: tableAddr, LinkAddr: other, From: ownMAC, Evidence: FromAdvert}
	if got, want := e.Error(), "duplicate address: in use by 02:00:00:00:00:09 (neighbor advertisement)"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	e.Evidence = FromSolicit
	if got, want := e.Error(), "duplicate address: in use by 02:00:00:00:00:09 (neighbor solicitation)"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// Spec: RFC 4862, section 5.4.5, must, DAD-R45
func TestDAD_R45_FailureAffectsOneAddress(t *testing.T) {
	check(t, `
	0s      start fe80::1
	        > join ff02::1:ff00:1 for fe80::1
	        > probe fe80::1 to ff02::1:ff00:1 nonce=01
	0s      start 2001:db8::1
	        > join ff02::1:ff00:1 for 2001:db8::1
	        > probe 2001:db8::1 to ff02::1:ff00:1 nonce=02
	500ms   na 2001:db8::1
	        > leave ff02::1:ff00:1 for 2001:db8::1
	        > reject 2001:db8::1 by 02:00:00:00:00:09 (neighbor advertisement)
	1s      timer
	        > assign fe80::1
	1s      quiet
	`)
}

// Failure, cancelling and deletion leave the same nothing behind.
//
// Spec: derived, DER, DAD-R46
func TestDAD_R46_OneCleanUp(t *testing.T) {
	for _, state := range tableStates[1:] {
		for name, ev := range map[string]Event{
			"stop":        Stop{tableAddr},
			"evidence":    advert(nd.AllNodes, tableAddr, other),
			"send-failed": SendFailed{tableAddr},
		} {
			if name == "evidence" && state == "assigned" || name == "send-failed" && (state == "assigned" || state == "delayed") {
				continue // no end of the address: see the state tables
			}
			m, _ := enter(Config{}, state)
			actions := m.Step(epoch, ev)
			if leave := (Leave{tableAddr, tableGroup}); len(actions) == 0 || actions[0] != leave {
				t.Errorf("%s in state %s: %v, want first %v", name, state, actions, leave)
			}
			if at, armed := m.Deadline(); armed || m.Len() != 0 || m.State(tableAddr) != Absent {
				t.Errorf("%s in state %s: deadline %v, %d addresses, state %d", name, state, at, m.Len(), m.State(tableAddr))
			}
			if late := m.Step(epoch.Add(time.Hour), Accept{tableAddr}); len(late) > 0 {
				t.Errorf("%s in state %s: then %v", name, state, late)
			}
		}
	}
}

// Spec: RFC 4862, section 5.3, must, DAD-R47
func TestDAD_R47_TestsAgainAfterReinitialisation(t *testing.T) {
	check(t, `
	delay 400ms
	0s      start fe80::1
	        > join ff02::1:ff00:1 for fe80::1
	        > probe fe80::1 to ff02::1:ff00:1 nonce=01
	1s      timer
	        > assign fe80::1
	5s      stop fe80::1
	        > leave ff02::1:ff00:1 for fe80::1
	9s      start fe80::1 first
	        > listen ff02::1:ff00:1 for fe80::1
	9.4s    timer
	        > join ff02::1:ff00:1 for fe80::1
	        > probe fe80::1 to ff02::1:ff00:1 nonce=02
	10.4s   timer
	        > assign fe80::1
	10.4s   quiet
	`)
}

// Spec: RFC 4862, section 5.4.5, MUST NOT, KRE-2
func TestKRE_2_DuplicateVanishes(t *testing.T) {
	m := New(Config{}, new(script))
	m.Step(epoch, Start{Addr: tableAddr})
	m.Step(epoch, advert(nd.AllNodes, tableAddr, other))
	if _, armed := m.Deadline(); armed || m.Len() != 0 || m.State(tableAddr) != Absent {
		t.Errorf("armed %v, %d addresses, state %d", armed, m.Len(), m.State(tableAddr))
	}
}

// Spec: RFC 4861, section 7.2.1, MUST, KRE-4
func TestKRE_4_LeavesInTheSameStepBeforeTheVerdict(t *testing.T) {
	m := New(Config{}, new(script))
	m.Step(epoch, Start{Addr: tableAddr})
	actions := m.Step(epoch, solicit("::", tableAddr, "", other))
	want := formatActions([]Action{
		Leave{tableAddr, netip.MustParseAddr("ff02::1:ff00:1")},
		Reject{&DuplicateError{tableAddr, other, other, FromSolicit}},
	})
	if got := formatActions(actions); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

// Spec: derived, DER, KRE-7
func TestKRE_7_SecondStartIsIgnored(t *testing.T) {
	check(t, `
	config transmits=2
	0s      start fe80::1
	        > join ff02::1:ff00:1 for fe80::1
	        > probe fe80::1 to ff02::1:ff00:1 nonce=01
	300ms   start fe80::1
	400ms   start fe80::1 optimistic
	500ms   start fe80::1 off
	1s      timer
	        > probe fe80::1 to ff02::1:ff00:1 nonce=02
	2s      timer
	        > assign fe80::1
	3s      start fe80::1 first
	1h      quiet
	`)
}

// Spec: derived, DER, KRE-8
func TestKRE_8_LaterAddStartsFromNothing(t *testing.T) {
	check(t, `
	config transmits=2
	0s      start fe80::1
	        > join ff02::1:ff00:1 for fe80::1
	        > probe fe80::1 to ff02::1:ff00:1 nonce=01
	1s      timer
	        > probe fe80::1 to ff02::1:ff00:1 nonce=02
	1.5s    na fe80::1
	        > leave ff02::1:ff00:1 for fe80::1
	        > reject fe80::1 by 02:00:00:00:00:09 (neighbor advertisement)
	2s      start fe80::1
	        > join ff02::1:ff00:1 for fe80::1
	        > probe fe80::1 to ff02::1:ff00:1 nonce=03
	3s      timer
	        > probe fe80::1 to ff02::1:ff00:1 nonce=04
	4s      timer
	        > assign fe80::1
	4s      quiet
	`)
	// Counts and nonces of the first test mean nothing in the second.
	check(t, `
	config no-nonce loopback=echoes
	0s      start fe80::1
	        > join ff02::1:ff00:1 for fe80::1
	        > probe fe80::1 to ff02::1:ff00:1
	1ms     ns fe80::1
	2ms     stop fe80::1
	        > leave ff02::1:ff00:1 for fe80::1
	3ms     start fe80::1
	        > join ff02::1:ff00:1 for fe80::1
	        > probe fe80::1 to ff02::1:ff00:1
	4ms     ns fe80::1
	5ms     ns fe80::1
	        > leave ff02::1:ff00:1 for fe80::1
	        > reject fe80::1 by 02:00:00:00:00:09 (neighbor solicitation)
	`)
	check(t, `
	0s      start fe80::1
	        > join ff02::1:ff00:1 for fe80::1
	        > probe fe80::1 to ff02::1:ff00:1 nonce=01
	1ms     ns fe80::1 nonce=01
	2ms     stop fe80::1
	        > leave ff02::1:ff00:1 for fe80::1
	3ms     start fe80::1
	        > join ff02::1:ff00:1 for fe80::1
	        > probe fe80::1 to ff02::1:ff00:1 nonce=02
	4ms     accept fe80::1
	5ms     ns fe80::1 nonce=01
	        > leave ff02::1:ff00:1 for fe80::1
	        > reject fe80::1 by 02:00:00:00:00:09 (neighbor solicitation)
	`)
}
