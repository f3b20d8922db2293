package stack

import "sync"

// requests are the commands that wait for their Done.
type requests struct {
	mu      sync.Mutex
	next    RequestID
	pending map[RequestID]*batch // by the number of each of their commands >> batchBits
	ended   error
}

// batch is commands that were given together.
type batch struct {
	first    RequestID
	finished []bool
	left     int
	done     func(k int, err error)
}

// batchBits is for how many commands a batch has one entry in requests.pending,
// as a power of two.
const batchBits = 16

// add registers n commands with consecutive numbers, the first of which it
// returns; done(k, err) is called once for each.
func (r *requests) add(n int, done func(k int, err error)) RequestID {
	r.mu.Lock()
	defer r.mu.Unlock()
	// No command has the number 0, and no two batches share an entry.
	r.next = (r.next>>batchBits + 1) << batchBits
	b := &batch{first: r.next, finished: make([]bool, n), left: n, done: done}
	r.next += RequestID(n)
	if r.ended != nil {
		b.finishAll(r.ended)
		return b.first
	}
	if r.pending == nil {
		r.pending = make(map[RequestID]*batch)
	}
	for k := b.first >> batchBits; k<<batchBits < r.next; k++ {
		r.pending[k] = b
	}
	return b.first
}

func (r *requests) finish(id RequestID, err error) {
	r.mu.Lock()
	b := r.pending[id>>batchBits]
	if b == nil || id-b.first >= RequestID(len(b.finished)) || b.finished[id-b.first] {
		r.mu.Unlock()
		return
	}
	b.finished[id-b.first] = true
	if b.left--; b.left == 0 {
		r.drop(b)
	}
	r.mu.Unlock()
	b.done(int(id-b.first), err)
}

func (r *requests) drop(b *batch) {
	for k := b.first >> batchBits; r.pending[k] == b; k++ {
		delete(r.pending, k)
	}
	if len(r.pending) == 0 {
		r.pending = nil // there may have been very many
	}
}

func (r *requests) finishAll(err error) {
	r.mu.Lock()
	all := r.pending
	r.pending, r.ended = nil, err
	r.mu.Unlock()
	for _, b := range all {
		b.finishAll(err)
	}
}

func (b *batch) finishAll(err error) {
	for k, finished := range b.finished {
		if !finished {
			b.finished[k] = true
			b.done(k, err)
		}
	}
}
