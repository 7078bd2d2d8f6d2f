package reader

import (
	"sort"
	"sync"
)

// recent keeps the newest segments as they were written, in the buffers that
// they were gathered in: who reads the tail of a log costs no request.
type recent struct {
	limit int64

	mu     sync.Mutex
	byKey  map[string]*object
	queue  []*object // oldest first
	memory int64
}

// object is one segment in pieces.
type object struct {
	key     string
	parts   [][]byte
	starts  []int64 // where each part begins in the object
	memory  int64
	release func()
	users   int  // readers at work
	evicted bool // release when the last of them is done
}

func newRecent(limit int64) *recent {
	return &recent{limit: limit, byKey: map[string]*object{}}
}

func (r *recent) add(key string, parts [][]byte, memory int64, release func()) {
	o := &object{key: key, parts: parts, memory: memory, release: release}
	at := int64(0)
	for _, p := range parts {
		o.starts = append(o.starts, at)
		at += int64(len(p))
	}
	r.mu.Lock()
	r.byKey[key] = o
	r.queue = append(r.queue, o)
	r.memory += memory
	released := r.evictLocked(r.limit)
	r.mu.Unlock()
	for _, o := range released {
		o.release()
	}
}

// evictLocked drops the oldest segments until at most limit bytes are held,
// and returns those that nobody reads.
func (r *recent) evictLocked(limit int64) []*object {
	var free []*object
	n := 0
	for ; r.memory > limit && n < len(r.queue); n++ {
		o := r.queue[n]
		delete(r.byKey, o.key)
		r.memory -= o.memory
		o.evicted = true
		if o.users == 0 {
			free = append(free, o)
		}
	}
	clear(r.queue[:n])
	r.queue = r.queue[n:]
	return free
}

func (r *recent) has(key string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.byKey[key] != nil
}

// read copies a range of a segment, or returns nil when it is not here.
func (r *recent) read(key string, at, size int64) []byte {
	r.mu.Lock()
	o := r.byKey[key]
	if o != nil {
		o.users++
	}
	r.mu.Unlock()
	if o == nil {
		return nil
	}
	out := o.copyRange(at, size)
	r.mu.Lock()
	o.users--
	last := o.users == 0 && o.evicted
	r.mu.Unlock()
	if last {
		o.release()
	}
	return out
}

func (o *object) copyRange(at, size int64) []byte {
	out := make([]byte, 0, size)
	i := sort.Search(len(o.starts), func(i int) bool { return o.starts[i] > at }) - 1
	for ; int64(len(out)) < size && i < len(o.parts); i++ {
		part := o.parts[i][max(0, at-o.starts[i]):]
		out = append(out, part[:min(int64(len(part)), size-int64(len(out)))]...)
	}
	return out
}
