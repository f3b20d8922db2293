package nd

import (
	"testing"
	"time"
)

// The first temporary addresses of a bench. Each is preferred for 24 h less a
// DESYNC_FACTOR of 4.8 h, the middle of 0 to 9.6 h, and REGEN_ADVANCE is 5 s.
const (
	temporary1 = "2001:db8:1:0:3030:3030:3031:3030"
	temporary2 = "2001:db8:1:0:3030:3030:3033:3030"
	temporary3 = "2001:db8:1:0:3030:3030:3035:3030"
	temporary4 = "2001:db8:1:0:3030:3030:3037:3030"
	temporary5 = "2001:db8:1:0:3030:3030:3039:3030"

	tempPreferred = 24*time.Hour - 4*time.Hour - 48*time.Minute
)

// temporaryBench forms only temporary addresses: the stable one is claimed.
func temporaryBench(t testing.TB, cfg AutoconfConfig) *autoBench {
	cfg.Temporary = true
	b := newUpBench(t, cfg)
	b.do(AddressClaimed{addr(hardware)})
	return b
}

// Spec: RFC 8981, section 3.4, must, IID-R11
func TestIID_R11_LifetimesAreTheLowerOfTheTwo(t *testing.T) {
	b := temporaryBench(t, AutoconfConfig{})
	b.expect(b.do(prefix(subnet, Infinity, Infinity)), "add "+temporary1+"/64 temporary 19h12m0s/48h0m0s")
	b = temporaryBench(t, AutoconfConfig{})
	b.expect(b.do(prefix(subnet, time.Hour, 3*time.Hour)), "add "+temporary1+"/64 temporary 1h0m0s/3h0m0s")
	b = temporaryBench(t, AutoconfConfig{})
	b.expect(b.do(prefix(subnet, 5*time.Second, 3*time.Hour)))
	b.expect(b.do(prefix(subnet, 5*time.Second+1, 3*time.Hour)), "add "+temporary1+"/64 temporary 5.000000001s/3h0m0s")
	b = temporaryBench(t, AutoconfConfig{TempPreferredLifetime: 10 * time.Hour, TempValidLifetime: 20 * time.Hour})
	b.expect(b.do(prefix(subnet, Infinity, Infinity)), "add "+temporary1+"/64 temporary 8h0m0s/20h0m0s")
}

// "no temporary addresses should ever remain "valid" or "preferred" for a time
// longer than (TEMP_VALID_LIFETIME) or (TEMP_PREFERRED_LIFETIME -
// DESYNC_FACTOR)"
//
// Spec: RFC 8981, section 3.4, must, IID-R11
func TestIID_R11_RefreshDoesNotExceedTheMost(t *testing.T) {
	b := temporaryBench(t, AutoconfConfig{})
	b.do(prefix(subnet, 5*time.Hour, 10*time.Hour))
	b.after(time.Hour)
	b.expect(b.do(prefix(subnet, 10*time.Hour, 20*time.Hour)), "update "+temporary1+" 10h0m0s/20h0m0s")
	b.expect(b.do(prefix(subnet, 30*day, 30*day)), "update "+temporary1+" 18h12m0s/47h0m0s")
	b.expect(b.do(prefix(subnet, Infinity, Infinity)))
	// The two-hour rule holds for it too.
	b.expect(b.do(prefix(subnet, 0, 0)), "update "+temporary1+" 0s/2h0m0s", "deprecate "+temporary1)
}

// Spec: RFC 8981, section 3.8, must, IID-R12
func TestIID_R12_RegenAdvanceAndDesync(t *testing.T) {
	for _, test := range []struct {
		cfg           AutoconfConfig
		advance, most time.Duration
	}{
		{AutoconfConfig{}, 5 * time.Second, 9*time.Hour + 36*time.Minute},
		{AutoconfConfig{DupAddrDetectTransmits: 2, RetransTimer: 500 * time.Millisecond}, 5 * time.Second, 9*time.Hour + 36*time.Minute},
		{AutoconfConfig{DupAddrDetectTransmits: -1}, 2 * time.Second, 9*time.Hour + 36*time.Minute},
		{AutoconfConfig{TempPreferredLifetime: 8 * time.Second}, 5 * time.Second, 2 * time.Second},
	} {
		cfg := test.cfg.withDefaults()
		if cfg.regenAdvance() != test.advance || cfg.maxDesync() != test.most {
			t.Errorf("%+v: REGEN_ADVANCE %v, MAX_DESYNC_FACTOR %v", test.cfg, cfg.regenAdvance(), cfg.maxDesync())
		}
	}
	for _, cfg := range []AutoconfConfig{
		{TempPreferredLifetime: 5 * time.Second},
		{TempPreferredLifetime: day, TempValidLifetime: day},
	} {
		cfg.LinkAddr, cfg.Temporary = link(hostMAC), true
		if cfg.Validate() == nil {
			t.Errorf("%+v is valid", cfg)
		}
	}
}

// Spec: RFC 8981, section 3.4, MUST, IID-R13
// Spec: RFC 3756, section 4.1.3, DER, CACHE-R07
func TestIID_R13_DuplicatesHaveThreeRetries(t *testing.T) {
	b := temporaryBench(t, AutoconfConfig{})
	b.expect(b.do(prefix(subnet, Infinity, Infinity)), "add "+temporary1+"/64 temporary 19h12m0s/48h0m0s")
	b.expect(b.do(AddressDuplicate{addr(temporary1)}), "add "+temporary2+"/64 temporary 19h12m0s/48h0m0s")
	b.expect(b.do(AddressDuplicate{addr(temporary2)}), "add "+temporary3+"/64 temporary 19h12m0s/48h0m0s")
	b.expect(b.do(AddressDuplicate{addr(temporary3)}), "add "+temporary4+"/64 temporary 19h12m0s/48h0m0s")
	b.expect(b.do(AddressDuplicate{addr(temporary4)}), "exhausted 2001:db8:1::/64 temporary")
	b.expect(b.do(prefix(subnet, day, day)))
	b.expect(b.after(100 * day))
	b.expect(b.do(prefix(subnet, day, day))) // "for the duration of the host's attachment"
	// Another prefix is not concerned.
	if out := b.do(prefix("2001:db8:2::/64", day, day)); len(out) != 2 {
		t.Errorf("got %v, want a stable and a temporary address", out)
	}
}

// Spec: RFC 8981, section 3.4, MUST, IID-R13
func TestIID_R13_OnlyConsecutiveDuplicatesCount(t *testing.T) {
	b := temporaryBench(t, AutoconfConfig{})
	b.do(prefix(subnet, Infinity, Infinity))
	for range 3 {
		b.do(AddressDuplicate{b.last()})
	}
	b.expect(b.do(AddressAssigned{b.last()}))
	b.expect(b.after(tempPreferred-5*time.Second), "add "+temporary5+"/64 temporary 19h12m0s/48h0m0s")
	if out := b.do(AddressDuplicate{b.last()}); len(b.added) != 6 {
		t.Errorf("got %v, want another address", out)
	}
}

// Spec: RFC 8981, section 3.5, MUST, IID-R14
func TestIID_R14_ASuccessorIsFormedRegenAdvanceBefore(t *testing.T) {
	b := temporaryBench(t, AutoconfConfig{})
	b.do(prefix(subnet, Infinity, Infinity))
	b.expect(b.after(tempPreferred - 5*time.Second - 1))
	b.expect(b.after(1), "add "+temporary2+"/64 temporary 19h12m0s/48h0m0s")
	b.expect(b.after(5*time.Second), "deprecate "+temporary1)
	b.expect(b.after(2*day-tempPreferred),
		"add "+temporary3+"/64 temporary 19h12m0s/48h0m0s", "deprecate "+temporary2, "remove "+temporary1)
}

// Spec: RFC 8981, section 3.5, MUST NOT, IID-R14
func TestIID_R14_NoneIsFormedInResponseToDeprecation(t *testing.T) {
	b := temporaryBench(t, AutoconfConfig{})
	b.do(prefix(subnet, Infinity, Infinity))
	b.expect(b.do(prefix(subnet, 0, Infinity)), "update "+temporary1+" 0s/48h0m0s", "deprecate "+temporary1)
	b.expect(b.after(day))
	// The prefix is preferred again, and so is the address, which still may.
	b.do(prefix(subnet, Infinity, Infinity))
	b.expect(b.after(0))
	b = temporaryBench(t, AutoconfConfig{})
	b.do(prefix(subnet, Infinity, Infinity), prefix(subnet, 0, Infinity))
	b.after(time.Hour)
	b.expect(b.do(prefix(subnet, Infinity, Infinity)), "update "+temporary1+" 18h12m0s/47h0m0s")
	b.do(prefix(subnet, 0, Infinity))
	b.after(tempPreferred)
	b.expect(b.do(prefix(subnet, Infinity, Infinity)), "add "+temporary2+"/64 temporary 19h12m0s/48h0m0s")
}

// When the lifetime of the prefix ends the address, there is no successor until
// the prefix is preferred for longer.
func TestIID_R14_AShortPrefixHasNoSuccessor(t *testing.T) {
	b := temporaryBench(t, AutoconfConfig{})
	b.do(prefix(subnet, time.Hour, 3*time.Hour))
	b.expect(b.after(time.Hour), "deprecate "+temporary1)
	b.expect(b.do(prefix(subnet, time.Hour, 3*time.Hour)), "update "+temporary1+" 1h0m0s/3h0m0s")
}

// Spec: RFC 8981, section 3.7, MUST, IID-R15
func TestIID_R15_OnlyIfEnabledAndNeverByTheSecret(t *testing.T) {
	b := newUpBench(t, stableConfig)
	if b.do(prefix(subnet, day, day)); len(b.added) != 1 {
		t.Errorf("formed %v", b.added)
	}
	for _, secret := range []string{"0123456789abcdef", "fedcba9876543210"} {
		cfg := stableConfig
		cfg.Secret, cfg.Temporary = []byte(secret), true
		b := newUpBench(t, cfg)
		if b.do(prefix(subnet, day, day)); b.last() != addr(temporary1) {
			t.Errorf("the temporary address %v depends on the secret", b.last())
		}
	}
}

// "existing temporary addresses for the corresponding interface MUST be
// removed, and new temporary addresses MUST be generated for use on the new
// link" (RFC 8981, section 3.6)
func TestTemporaryAddressesDoNotFollowToAnotherLink(t *testing.T) {
	b := temporaryBench(t, AutoconfConfig{})
	b.do(prefix(subnet, day, day))
	b.expect(b.do(AutoconfDown{}), "remove "+temporary1)
	b.expect(b.do(AutoconfUp{}, prefix(subnet, day, day)), "add "+temporary2+"/64 temporary 19h12m0s/24h0m0s")
}

// A source that always gives the same identifier does not hang the machine.
func TestIdentifiersThatAreTakenAreTriedAFewTimes(t *testing.T) {
	b := temporaryBench(t, AutoconfConfig{})
	b.m.random = fixed("\x00\x00\x00\x00\x00\x00") // the subnet-router anycast address
	b.expect(b.do(prefix(subnet, day, day)), "exhausted 2001:db8:1::/64 temporary")
}

type fixed string

func (fixed) Between(lo, hi time.Duration) time.Duration { return hi }
func (f fixed) Nonce() Nonce                             { return Nonce(f) }
