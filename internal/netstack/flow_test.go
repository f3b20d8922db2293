package netstack

import "testing"

// TestConnCache: a segment finds its connection, and none that has ended.
func TestConnCache(t *testing.T) {
	p := newPair(t)
	client, server := p.connect(t, addrA, addrB)
	exchange(t, client, server)
	var sent []byte
	for _, f := range p.ab.logged() {
		sent = f.packet()
	}
	flow := p.a.flowOfKey(&client.key)
	for range 2 {
		if got := p.a.conns.sender(p.a, sent, flow); got != client {
			t.Errorf("sender %p, want %p", got, client)
		}
		if got := p.b.conns.receiver(p.b, sent); got != server {
			t.Errorf("receiver %p, want %p", got, server)
		}
	}
	p.a.AbortConnections(addrA)
	slot := &p.a.conns[flow%connSlots]
	if slot.Load() != nil {
		t.Error("it is kept")
	}
	slot.Store(client) // by somebody who found it just before
	if got := p.a.conns.sender(p.a, sent, flow); got != nil {
		t.Error("a connection that has ended is found")
	}
}
