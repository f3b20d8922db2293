package netstack

import (
	"sync/atomic"
	"syscall"
)

// flowKey names what a socket has: a TCP connection, a connected or bound UDP
// socket, a ping socket (its identifier is the local port), or a listener.
// What is not set is a wildcard.
type flowKey struct {
	local, remote         [16]byte
	localPort, remotePort uint16
	proto                 uint8
}

// flowOwner is a socket.
type flowOwner interface {
	// fail tells of an error for the flow key: errno is what the user gets. A
	// hard error ends a dial. It does not call gVisor.
	fail(key flowKey, errno syscall.Errno, hard bool)
	// shut closes the socket because the host is closed.
	shut()
}

// flowTable finds the socket of a flow, and the TCP connections of an address
// without asking gVisor for all that it has.
type flowTable struct {
	owners map[flowKey]flowOwner
	conns  map[[16]byte]map[*TCPConn]struct{} // by local address
}

func makeFlowTable() flowTable {
	return flowTable{
		owners: make(map[flowKey]flowOwner),
		conns:  make(map[[16]byte]map[*TCPConn]struct{}),
	}
}

// find returns the owner of a flow, or nil: the connected socket, else the one
// that is bound to the address, else the one that is bound to the port.
func (t *flowTable) find(key flowKey) flowOwner {
	if o := t.owners[key]; o != nil {
		return o
	}
	if key.proto == protoTCP {
		return nil // a listener has no error of one of its peers
	}
	key.remote, key.remotePort = [16]byte{}, 0
	if o := t.owners[key]; o != nil {
		return o
	}
	key.local = [16]byte{}
	return t.owners[key]
}

func (t *flowTable) add(key flowKey, o flowOwner) {
	t.owners[key] = o
	if c, ok := o.(*TCPConn); ok {
		set := t.conns[key.local]
		if set == nil {
			set = make(map[*TCPConn]struct{})
			t.conns[key.local] = set
		}
		set[c] = struct{}{}
	}
}

// remove takes o out, if it is still there.
func (t *flowTable) remove(key flowKey, o flowOwner) {
	if t.owners[key] == o {
		delete(t.owners, key)
	}
	if c, ok := o.(*TCPConn); ok {
		set := t.conns[key.local]
		delete(set, c)
		if len(set) == 0 {
			delete(t.conns, key.local)
		}
	}
}

// connections returns the TCP connections of a local address.
func (t *flowTable) connections(local [16]byte) []*TCPConn {
	list := make([]*TCPConn, 0, len(t.conns[local]))
	for c := range t.conns[local] {
		list = append(list, c)
	}
	return list
}

// tcpKeys returns the flows of all TCP connections.
func (t *flowTable) tcpKeys() []flowKey {
	var list []flowKey
	for key, o := range t.owners {
		if _, ok := o.(*TCPConn); ok {
			list = append(list, key)
		}
	}
	return list
}

// all returns every socket.
func (t *flowTable) all() []flowOwner {
	list := make([]flowOwner, 0, len(t.owners))
	for _, o := range t.owners {
		list = append(list, o)
	}
	return list
}

// register enters a socket, so that it hears of errors and ends with the host.
// It reports whether the host is still open.
func (h *Host) register(key flowKey, o flowOwner) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return false
	}
	h.flows.add(key, o)
	return true
}

func (h *Host) unregister(key flowKey, o flowOwner) {
	h.mu.Lock()
	h.flows.remove(key, o)
	h.mu.Unlock()
	if c, ok := o.(*TCPConn); ok {
		h.conns.forget(h, c)
	}
}

// connSlots is the size of a connCache.
const connSlots = 1024

// connCache finds the connection of a segment without the lock of the flow
// table, mostly: each slot has the last one with a flow for it.
type connCache [connSlots]atomic.Pointer[TCPConn]

// sender returns the connection of a segment that leaves, or nil.
func (cache *connCache) sender(h *Host, headers []byte, flow uint32) *TCPConn {
	return cache.find(h, &flowKey{
		local: [16]byte(headers[8:24]), localPort: be.Uint16(headers[ipv6Size:]),
		remote: [16]byte(headers[24:40]), remotePort: be.Uint16(headers[ipv6Size+2:]),
		proto: protoTCP,
	}, flow)
}

// receiver returns the connection of a segment that came, or nil.
func (cache *connCache) receiver(h *Host, headers []byte) *TCPConn {
	key := flowKey{
		local: [16]byte(headers[24:40]), localPort: be.Uint16(headers[ipv6Size+2:]),
		remote: [16]byte(headers[8:24]), remotePort: be.Uint16(headers[ipv6Size:]),
		proto: protoTCP,
	}
	return cache.find(h, &key, h.flowOfKey(&key))
}

func (cache *connCache) find(h *Host, key *flowKey, flow uint32) *TCPConn {
	slot := &cache[flow%connSlots]
	if c := slot.Load(); c != nil && c.key == *key && !c.gone.Load() {
		return c
	}
	c, ok := h.flowOwner(*key, true).(*TCPConn)
	if !ok {
		return nil
	}
	slot.Store(c)
	if c.gone.Load() {
		slot.CompareAndSwap(c, nil)
	}
	return c
}

// forget takes out a connection that is not in the flow table any more.
func (cache *connCache) forget(h *Host, c *TCPConn) {
	c.gone.Store(true)
	cache[h.flowOfKey(&c.key)%connSlots].CompareAndSwap(c, nil)
}
