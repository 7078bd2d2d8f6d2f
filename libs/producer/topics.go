package producer

import (
	"maps"
	"slices"
	"sync"
	"sync/atomic"
)

// topics are those that the producer has sent to.
type topics struct {
	last atomic.Pointer[topic]

	mu struct {
		sync.Mutex
		byName  map[string]*topic
		lookups map[string]*lookup
		// retired are gone and may still have batches on their way.
		retired []*topic
		closed  bool
	}
	// names is a copy of mu.byName that is never changed, to be read without
	// the lock.
	names atomic.Pointer[map[string]*topic]
}

func (s *topics) find(name string) *topic { return (*s.names.Load())[name] }

// publishLocked makes a change of byName visible.
func (s *topics) publishLocked() {
	names := maps.Clone(s.mu.byName)
	s.names.Store(&names)
}

// add ends a search that found its topic. If nobody waits for it any more,
// another search may be under way, and its topic is the one that counts: there
// is never more than one for a log.
func (s *topics) add(t *topic, l *lookup) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.closed || s.mu.lookups[t.name] != l {
		return ErrClosed
	}
	delete(s.mu.lookups, t.name)
	s.mu.byName[t.name] = t
	s.publishLocked()
	return nil
}

func (s *topics) drop(name string, l *lookup) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.lookups[name] == l {
		delete(s.mu.lookups, name)
	}
}

func (s *topics) remark(l *lookup, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l.last = err
}

// retire takes a topic that is gone out of the way of new records.
func (p *Producer) retire(t *topic) {
	s := &p.topics
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last.CompareAndSwap(t, nil)
	if s.mu.byName[t.name] == t {
		delete(s.mu.byName, t.name)
		s.publishLocked()
	}
	s.mu.retired = append(s.mu.retired, t)
}

// all returns every topic that may have batches on their way. With closing set
// there will be no more.
func (s *topics) all(closing bool) []*topic {
	s.mu.Lock()
	all := slices.AppendSeq(slices.Clone(s.mu.retired), maps.Values(s.mu.byName))
	s.mu.closed = s.mu.closed || closing
	s.mu.Unlock()
	return all
}

// prune drops the retired topics that are idle, which they stay.
func (s *topics) prune() {
	s.mu.Lock()
	retired := slices.Clone(s.mu.retired)
	s.mu.Unlock()
	idle := map[*topic]bool{}
	for _, t := range retired {
		if idle[t] = t.idle(); idle[t] {
			t.detach()
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.retired = slices.DeleteFunc(s.mu.retired, func(t *topic) bool { return idle[t] })
}
