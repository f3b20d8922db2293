package dad

import "testing"

// Spec: RFC 4429, section 3.3, MAY, ODAD-R01
func TestODAD_R01_UsableAtOnce(t *testing.T) {
	check(t, `
	config transmits=2
	0s      start 2001:db8::1 optimistic
	        > join ff02::1:ff00:1 for 2001:db8::1
	        > assign 2001:db8::1 optimistic
	        > probe 2001:db8::1 to ff02::1:ff00:1 nonce=01
	1s      timer
	        > probe 2001:db8::1 to ff02::1:ff00:1 nonce=02
	2s      timer
	        > assign 2001:db8::1
	1h      quiet
	`)
}

// Spec: RFC 4429, section 3.3, MUST, ODAD-R04
func TestODAD_R04_JoinsAndDoesNotDelay(t *testing.T) {
	check(t, `
	0s      start 2001:db8::1 optimistic first multicast-ra
	        > join ff02::1:ff00:1 for 2001:db8::1
	        > assign 2001:db8::1 optimistic
	        > probe 2001:db8::1 to ff02::1:ff00:1 nonce=01
	`)
}

// A solicitation from a unicast address is answered by the address's defence.
//
// Spec: RFC 4429, section 3.3, MUST NOT, ODAD-R09
func TestODAD_R09_SolicitationFromUnspecified(t *testing.T) {
	check(t, `
	0s      start 2001:db8::1 optimistic
	        > join ff02::1:ff00:1 for 2001:db8::1
	        > assign 2001:db8::1 optimistic
	        > probe 2001:db8::1 to ff02::1:ff00:1 nonce=01
	300ms   ns 2001:db8::1 src=fe80::9
	400ms   ns 2001:db8::1 nonce=77
	        > leave ff02::1:ff00:1 for 2001:db8::1
	        > reject 2001:db8::1 by 02:00:00:00:00:09 (neighbor solicitation)
	1h      quiet
	`)
}

// Spec: RFC 4429, section 3.3, must, ODAD-R11
func TestODAD_R11_FailsLikeATentativeAddress(t *testing.T) {
	check(t, `
	0s      start 2001:db8::1 optimistic
	        > join ff02::1:ff00:1 for 2001:db8::1
	        > assign 2001:db8::1 optimistic
	        > probe 2001:db8::1 to ff02::1:ff00:1 nonce=01
	300ms   na 2001:db8::1 override tll=02:00:00:00:00:07
	        > leave ff02::1:ff00:1 for 2001:db8::1
	        > reject 2001:db8::1 by 02:00:00:00:00:07 (neighbor advertisement) from 02:00:00:00:00:09
	1h      quiet
	`)
}

// The address loses its mark with success, whatever its lifetimes then make it.
//
// Spec: RFC 4429, section 3.3, must, ODAD-R11
func TestODAD_R11_AssignedForGood(t *testing.T) {
	check(t, `
	0s      start 2001:db8::1 optimistic
	        > join ff02::1:ff00:1 for 2001:db8::1
	        > assign 2001:db8::1 optimistic
	        > probe 2001:db8::1 to ff02::1:ff00:1 nonce=01
	1s      timer
	        > assign 2001:db8::1
	2s      ns 2001:db8::1
	2s      na 2001:db8::1
	3s      stop 2001:db8::1
	        > leave ff02::1:ff00:1 for 2001:db8::1
	`)
}
