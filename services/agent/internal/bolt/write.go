package bolt

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"

	"go.etcd.io/bbolt"

	"github.com/streamhouse/streamhouse/services/agent/internal/meta"
)

// write is one row to create (old is 0), swap or delete (value is nil). It
// holds nothing of the caller's row, so that the caller may leave.
type write struct {
	kind  meta.Kind
	key   []byte
	old   uint64 // the version that the stored row must have; 0: no row
	value []byte
	done  chan error
}

func (w *write) verb() string {
	switch {
	case w.value == nil:
		return "delete"
	case w.old == 0:
		return "create"
	default:
		return "swap"
	}
}

// submit hands a write to the committer and waits for its outcome. When ctx
// ends after the committer took it, the outcome is unknown.
func (s *Store) submit(ctx context.Context, w *write) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	w.done = make(chan error, 1)
	select {
	case s.writes <- w:
	case <-ctx.Done():
		return ctx.Err()
	case <-s.quit:
		return errClosed
	}
	select {
	case err := <-w.done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// maxGroup bounds a transaction's memory and its time.
const maxGroup = 256

// run is the committer: it puts all the writes that wait into one transaction,
// so that they share its two syncs. A lone write is committed at once: nothing
// here waits for company. (bbolt's own Batch does, up to 10 ms, and runs a
// function again when another one of the batch has failed.)
func (s *Store) run() {
	for {
		select {
		case first := <-s.writes:
			s.commit(s.gather(first))
		case <-s.quit:
			return
		}
	}
}

func (s *Store) gather(first *write) []*write {
	// The callers that the last commit answered have their next writes ready
	// in a moment. Letting them run first fills the groups of 16 writers (a
	// third more writes per second) and costs a lone one nothing.
	runtime.Gosched()
	group := []*write{first}
	for len(group) < maxGroup {
		select {
		case w := <-s.writes:
			group = append(group, w)
		default:
			return group
		}
	}
	return group
}

// errUnchanged rolls a transaction back in which every write was refused: it
// needs no sync.
var errUnchanged = errors.New("nothing to commit")

// commit answers the writes when they are durable. A write that was refused
// because of an earlier one of the group waits too: it has seen what is not
// committed before.
func (s *Store) commit(group []*write) {
	refusals, err := s.update(group)
	for i, w := range group {
		if err != nil {
			w.done <- fmt.Errorf("commit: %w", err)
		} else {
			w.done <- refusals[i]
		}
	}
}

func (s *Store) update(group []*write) (refusals []error, err error) {
	if _, failed, _ := s.synced.look(); failed {
		return nil, errUnsynced
	}
	refusals = make([]error, len(group))
	var id int
	err = s.db.Update(func(tx *bbolt.Tx) error {
		id = tx.ID()
		changed := false
		for i, w := range group {
			refusals[i] = w.apply(tx)
			changed = changed || refusals[i] == nil
		}
		if !changed {
			return errUnchanged
		}
		return nil
	})
	return refusals, s.settle(id, err)
}

// settle tells readers what became of the transaction id, and returns the
// error to answer with.
func (s *Store) settle(id int, err error) error {
	switch {
	case err == nil:
		s.synced.advance(id)
	case errors.Is(err, errUnchanged):
		return nil
	case s.visible(id):
		s.synced.fail(id)
	}
	return err
}

// visible tells whether readers see a transaction whose commit has failed: it
// was written, and then its sync failed. All other failures leave no trace.
func (s *Store) visible(id int) bool {
	last, err := newest(s.db)
	return err != nil || last >= id
}

// apply changes the transaction, or returns why not and leaves it as it was.
func (w *write) apply(tx *bbolt.Tx) error {
	bucket := tx.Bucket([]byte(w.kind))
	stored := bucket.Get(w.key)
	switch {
	case w.old == 0 && stored != nil:
		return meta.ErrExists
	case w.old != 0 && stored == nil:
		return meta.ErrConflict
	case w.old != 0:
		if err := checkVersion(stored, w.old); err != nil {
			return err
		}
	}
	if w.value == nil {
		return bucket.Delete(w.key)
	}
	if w.kind == meta.Journal {
		// Rows are appended behind their session's last: a page that is split
		// in the middle would stay half empty for good.
		bucket.FillPercent = 0.9
	}
	return bucket.Put(w.key, w.value)
}

func checkVersion(stored []byte, want uint64) error {
	var head meta.Header
	if err := json.Unmarshal(stored, &head); err != nil {
		return fmt.Errorf("decode the stored row: %w", err)
	}
	if head.Version != want {
		return fmt.Errorf("version %d is not the stored one, %d: %w", want, head.Version, meta.ErrConflict)
	}
	return nil
}
