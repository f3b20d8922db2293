package stack

import "github.com/tapstack/tapstack/nd"

// Identity is what the interface identifiers of an interface are made of where
// the profile asks for stable ones (RFC 7217). The zero value gives identifiers
// that last as long as the Interface.
type Identity struct {
	// Secret has 16 octets or more and serves nothing else. nil: one is drawn
	// when the interface is attached.
	Secret []byte
	// NetIface stays the same over restarts and differs from that of every
	// other interface with this Secret; empty: the interface's name.
	NetIface string
	// NetworkID may tell networks apart; it may be empty.
	NetworkID string
	// Counters are the DAD counters that SaveCounter was given in earlier
	// lives of the interface.
	Counters []nd.DADCounter
	// SaveCounter, if not nil, is called when a duplicate made a DAD counter
	// grow, so that it can be kept in stable storage (RFC 7217, section 6).
	// The interface waits for it: it must not call back.
	SaveCounter func(nd.DADCounter)
}

// minSecret is the least length of a secret in octets (RFC 7217, section 5).
const minSecret = 16

// withDefaults draws what is missing.
func (id Identity) withDefaults(r nd.Random) Identity {
	if id.NetIface == "" {
		id.NetIface = "interface"
	}
	if id.Secret == nil {
		for len(id.Secret) < minSecret {
			id.Secret = append(id.Secret, r.Nonce()...)
		}
	}
	return id
}

func (id Identity) validate() error {
	if id.Secret != nil && len(id.Secret) < minSecret {
		return &InvalidArgumentError{"secret of the identity", "has less than 16 octets (RFC 7217, section 5)"}
	}
	return nil
}
