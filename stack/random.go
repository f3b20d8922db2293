package stack

import (
	crand "crypto/rand"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/tapstack/tapstack/nd"
)

// random is an nd.Random over ChaCha8, seeded by the operating system: its
// nonces cannot be foreseen.
type random struct {
	mu  sync.Mutex
	src *rand.ChaCha8
	r   *rand.Rand
}

func newRandom() *random {
	var seed [32]byte
	crand.Read(seed[:]) // never fails since Go 1.24: it ends the process instead
	src := rand.NewChaCha8(seed)
	return &random{src: src, r: rand.New(src)}
}

func (r *random) Between(lo, hi time.Duration) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	return lo + time.Duration(r.r.Int64N(int64(hi-lo)+1))
}

func (r *random) Nonce() nd.Nonce {
	var b [6]byte
	r.mu.Lock()
	defer r.mu.Unlock()
	r.src.Read(b[:])
	return nd.Nonce(b[:])
}
