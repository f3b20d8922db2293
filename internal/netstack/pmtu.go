package netstack

import (
	"container/list"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tapstack/tapstack/internal/addrmap"
)

const (
	// defaultPathMTUs is how many estimates are kept at most.
	defaultPathMTUs = 4096
	// defaultPathMTULifetime is how long an estimate stays; minPathMTULifetime
	// is how long it stays at least. RFC 8201, section 4: "An attempt to
	// detect an increase (by sending a packet larger than the current
	// estimate) must not be done less than 5 minutes after a Packet Too Big
	// message has been received for the given path. The recommended setting
	// for this timer is twice its minimum value (10 minutes)."
	defaultPathMTULifetime = 10 * time.Minute
	minPathMTULifetime     = 5 * time.Minute
)

// PathMTU is the estimate for the path to a destination, where that is less
// than the MTU of the link.
type PathMTU struct {
	Dst   netip.Addr
	MTU   int
	Until time.Time // when a larger packet is tried again
}

// pathMTUs are the estimates by destination (RFC 8201, section 5.2). The
// destination stands for the path, as that RFC proposes.
type pathMTUs struct {
	max      int
	lifetime time.Duration
	now      func() time.Time
	start    time.Time
	evicted  *atomic.Uint64

	// What the data path reads: how many estimates there are, and for each
	// destination a word of the estimate and when it ends.
	count atomic.Int32
	table *addrmap.Map // written under mu

	mu      sync.Mutex
	entries map[[16]byte]*list.Element
	order   *list.List // of *pathEntry, that which was lowered longest ago first
}

type pathEntry struct {
	dst   [16]byte
	mtu   int
	until time.Duration // since start
}

// mtuBits is the part of a word that is the estimate; above it is the end, in
// milliseconds since start.
const mtuBits = 20

func (e *pathEntry) word() uint64 { return uint64(e.until.Milliseconds())<<mtuBits | uint64(e.mtu) }

// configure checks what the user says of path MTUs.
func (t *pathMTUs) configure(cfg *Config, evicted *atomic.Uint64) error {
	if cfg.MaxPathMTUs == 0 {
		cfg.MaxPathMTUs = defaultPathMTUs
	}
	if cfg.PathMTULifetime == 0 {
		cfg.PathMTULifetime = defaultPathMTULifetime
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.MaxPathMTUs < 1 {
		return fmt.Errorf("netstack: MaxPathMTUs %d is less than 1", cfg.MaxPathMTUs)
	}
	if cfg.PathMTULifetime < minPathMTULifetime {
		return fmt.Errorf("netstack: PathMTULifetime %v is less than %v (RFC 8201, section 4)", cfg.PathMTULifetime, minPathMTULifetime)
	}
	t.max, t.lifetime, t.now, t.start, t.evicted = cfg.MaxPathMTUs, cfg.PathMTULifetime, cfg.Now, cfg.Now(), evicted
	t.table, t.entries, t.order = addrmap.New(), make(map[[16]byte]*list.Element), list.New()
	return nil
}

// elapsed is the time since start.
func (t *pathMTUs) elapsed() time.Duration { return max(0, t.now().Sub(t.start)) }

// estimate returns the estimate for dst, if there is one. It takes no lock,
// unless it finds one that has ended.
func (t *pathMTUs) estimate(dst [16]byte) (mtu int, ok bool) {
	if t.count.Load() == 0 {
		return 0, false
	}
	e := t.table.Find(dst)
	if e == nil {
		return 0, false
	}
	word := e.Load()
	if word == 0 {
		return 0, false
	}
	if t.elapsed().Milliseconds() < int64(word>>mtuBits) {
		return int(word & (1<<mtuBits - 1)), true
	}
	t.expire(dst)
	return 0, false
}

// lower notes that a valid Packet Too Big came which says that the path to dst
// carries mtu octets, no more than was thought.
func (t *pathMTUs) lower(dst [16]byte, mtu int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.elapsed()
	t.purge(now)
	old := t.current(dst, now)
	if old != nil && old.Value.(*pathEntry).mtu <= mtu {
		// It says nothing new, but a larger packet must not be tried soon.
		e := old.Value.(*pathEntry)
		e.until = max(e.until, now+minPathMTULifetime)
		t.table.Set(dst, e.word())
		return
	}
	if old != nil {
		t.remove(old)
	} else if len(t.entries) == t.max {
		t.remove(t.order.Front())
		t.evicted.Add(1)
	}
	e := &pathEntry{dst: dst, mtu: mtu, until: now + t.lifetime}
	t.entries[dst] = t.order.PushBack(e)
	t.table.Set(dst, e.word())
	t.count.Add(1)
}

func (t *pathMTUs) remove(at *list.Element) {
	e := t.order.Remove(at).(*pathEntry)
	delete(t.entries, e.dst)
	t.table.Delete(e.dst)
	t.count.Add(-1)
}

// expire forgets the estimate for dst, if it has ended, and others that have.
func (t *pathMTUs) expire(dst [16]byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.elapsed()
	t.purge(now)
	t.current(dst, now)
}

// current returns the entry of dst, or nil. One that has ended is forgotten.
func (t *pathMTUs) current(dst [16]byte, now time.Duration) *list.Element {
	at := t.entries[dst]
	if at != nil && at.Value.(*pathEntry).until <= now {
		t.remove(at)
		return nil
	}
	return at
}

// purge forgets estimates that have ended, save those behind one that has not
// because it was confirmed.
func (t *pathMTUs) purge(now time.Duration) {
	for at := t.order.Front(); at != nil && at.Value.(*pathEntry).until <= now; at = t.order.Front() {
		t.remove(at)
	}
}

// keepBelow forgets the estimates that are not less than mtu.
func (t *pathMTUs) keepBelow(mtu int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for at := t.order.Front(); at != nil; {
		next := at.Next()
		if at.Value.(*pathEntry).mtu >= mtu {
			t.remove(at)
		}
		at = next
	}
}

// PathMTU returns the largest packet for the path to dst, in octets, and
// whether it is an estimate; else it is the MTU of the link.
func (h *Host) PathMTU(dst netip.Addr) (mtu int, estimated bool) {
	if mtu, estimated = h.paths.estimate(dst.WithZone("").As16()); estimated {
		return mtu, true
	}
	return int(h.mtu.Load()), false
}

// PathMTUs lists the estimates, ordered by destination.
func (h *Host) PathMTUs() []PathMTU {
	t := &h.paths
	t.mu.Lock()
	now := t.elapsed()
	list := make([]PathMTU, 0, len(t.entries))
	for at := t.order.Front(); at != nil; at = at.Next() {
		if e := at.Value.(*pathEntry); e.until > now {
			list = append(list, PathMTU{Dst: h.zoned(netip.AddrFrom16(e.dst)), MTU: e.mtu, Until: t.start.Add(e.until)})
		}
	}
	t.mu.Unlock()
	slices.SortFunc(list, func(a, b PathMTU) int { return a.Dst.Compare(b.Dst) })
	return list
}

// FlushPathMTUs forgets all estimates. TCP connections that were told of one
// keep to it.
func (h *Host) FlushPathMTUs() { h.paths.keepBelow(0) }
