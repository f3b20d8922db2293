// Package state keeps what must survive a restart of the host in a directory:
// the secret from which stable interface identifiers are made, and the DAD
// counters of each interface (RFC 7217, sections 5 and 6).
//
//	s, err := state.Open("/var/lib/tapstack")
//	if err != nil {
//		return err
//	}
//	identity := stack.Identity{Secret: s.Secret(), Counters: s.Counters("tap0")}
//
// The directory holds two files, secret and counters.json. Several processes
// may share it. A file that is not as it should be is an error that says what
// to do and is never replaced: another secret would silently give the host
// other addresses.
//
// Where there is no flock(2), processes that start at the same moment with an
// empty directory are told apart by link(2) alone, and two that save counters
// at the same moment may lose one of them; modes and owners are not looked at.
package state
