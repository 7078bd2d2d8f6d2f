package bolt

import (
	"context"
	"errors"
	"sync"
)

// errUnsynced is returned by everything after a commit that stands in the file
// while its sync has failed: nobody can tell whether the disk has it.
var errUnsynced = errors.New("a commit could not be synced to the disk: mend the disk and start again")

// synced knows up to which transaction the file is durable. bbolt shows a
// transaction to readers before it has synced it; a row that was read so could
// be passed on, as the proof of a commit, and be gone after a power failure.
// So a reader that saw the newest transaction waits here for its sync.
type synced struct {
	mu struct {
		sync.Mutex
		upTo   int           // transaction id
		failed bool          // a later one is visible, and stays unsynced
		moved  chan struct{} // closed when upTo or failed changes
	}
}

func newSynced(upTo int) *synced {
	s := &synced{}
	s.mu.upTo = upTo
	s.mu.moved = make(chan struct{})
	return s
}

// wait returns when the transaction id and those before it are durable.
func (s *synced) wait(ctx context.Context, id int) error {
	for {
		upTo, failed, moved := s.look()
		if id <= upTo {
			return nil
		}
		if failed {
			return errUnsynced
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (s *synced) look() (upTo int, failed bool, moved chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.upTo, s.mu.failed, s.mu.moved
}

// advance says that the transaction id is durable.
func (s *synced) advance(id int) { s.move(id, false) }

// fail says that the transaction id is visible and will never be known to be
// durable.
func (s *synced) fail(id int) { s.move(id-1, true) }

func (s *synced) move(upTo int, failed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.upTo, s.mu.failed = upTo, failed
	close(s.mu.moved) // which never blocks
	s.mu.moved = make(chan struct{})
}
