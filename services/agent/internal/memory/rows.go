package memory

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"slices"
	"sync"

	"github.com/streamhouse/streamhouse/services/agent/internal/meta"
	"github.com/streamhouse/streamhouse/services/agent/internal/mutation"
)

// Rows is a meta.Store. It is safe for concurrent use.
type Rows struct {
	mu struct {
		sync.RWMutex
		// Each slice is sorted by range. A row in it is never changed, only
		// replaced, so that readers copy rows without holding the lock.
		byHash map[place][]meta.Row
	}
}

type place struct {
	kind meta.Kind
	hash string
}

func placeOf(row meta.Row) place { return place{row.Kind(), row.Key().Hash} }

// NewRows returns a store without rows.
func NewRows() *Rows {
	r := &Rows{}
	r.mu.byHash = map[place][]meta.Row{}
	return r
}

// Create implements meta.Store.
func (r *Rows) Create(ctx context.Context, row meta.Row) error {
	return r.write(ctx, row, "create", func(at place, i int, found bool) error {
		if found {
			return meta.ErrExists
		}
		r.mu.byHash[at] = slices.Insert(r.mu.byHash[at], i, stamped(row, 1))
		return nil
	})
}

// Swap implements meta.Store.
func (r *Rows) Swap(ctx context.Context, row meta.Row) error {
	return r.write(ctx, row, "swap", func(at place, i int, found bool) error {
		version := row.Head().Version
		if found && at.kind == meta.Partitions && ignoresVersion(r.mu.byHash[at][i], row) {
			version = r.mu.byHash[at][i].Head().Version
		}
		if !found || r.mu.byHash[at][i].Head().Version != version {
			return meta.ErrConflict
		}
		r.mu.byHash[at][i] = stamped(row, version+1)
		return nil
	})
}

// ignoresVersion says whether a mutation lets a partition's row be replaced.
func ignoresVersion(stored, row meta.Row) bool {
	if mutation.Off(mutation.R11Version) {
		before, _ := stored.(*meta.Partition)
		after, _ := row.(*meta.Partition)
		return before.Owner == after.Owner && before.Epoch == after.Epoch
	}
	return mutation.Off(mutation.R11)
}

// Delete implements meta.Store.
func (r *Rows) Delete(ctx context.Context, row meta.Row) error {
	return r.write(ctx, row, "delete", func(at place, i int, found bool) error {
		if !found || r.mu.byHash[at][i].Head().Version != row.Head().Version {
			return meta.ErrConflict
		}
		r.mu.byHash[at] = slices.Delete(r.mu.byHash[at], i, i+1)
		if len(r.mu.byHash[at]) == 0 {
			delete(r.mu.byHash, at)
		}
		return nil
	})
}

// write calls change, under the lock, with where row stands or belongs.
func (r *Rows) write(ctx context.Context, row meta.Row, verb string, change func(at place, i int, found bool) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	at := placeOf(row)
	i, found := search(r.mu.byHash[at], row.Key().Range)
	if err := change(at, i, found); err != nil {
		return fmt.Errorf("%s %s row %v: %w", verb, row.Kind(), row.Key(), err)
	}
	return nil
}

// stamped gives row its header and returns the copy to store.
func stamped(row meta.Row, version uint64) meta.Row {
	row.Head().Version = version
	row.Head().Format = max(row.Head().Format, meta.Format)
	return meta.Clone(row)
}

func search(rows []meta.Row, at uint64) (i int, found bool) {
	return slices.BinarySearchFunc(rows, at, func(row meta.Row, at uint64) int {
		return cmp.Compare(row.Key().Range, at)
	})
}

// Get implements meta.Store.
func (r *Rows) Get(ctx context.Context, row meta.Row) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	stored, ok := r.find(row)
	if !ok {
		return fmt.Errorf("get %s row %v: %w", row.Kind(), row.Key(), meta.ErrNotFound)
	}
	if err := meta.CheckFormat(stored); err != nil {
		return err
	}
	meta.Assign(row, meta.Clone(stored))
	return nil
}

func (r *Rows) find(row meta.Row) (stored meta.Row, ok bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	rows := r.mu.byHash[placeOf(row)]
	i, ok := search(rows, row.Key().Range)
	if !ok {
		return nil, false
	}
	return rows[i], true
}

// Query implements meta.Store. It shows the rows that stood when it began.
func (r *Rows) Query(ctx context.Context, kind meta.Kind, hash string, from uint64) iter.Seq2[meta.Row, error] {
	return copies(ctx, kind, func() []meta.Row {
		r.mu.RLock()
		defer r.mu.RUnlock()
		rows := r.mu.byHash[place{kind, hash}]
		i, _ := search(rows, from)
		return slices.Clone(rows[i:])
	})
}

// Scan implements meta.Store. It shows the rows that stood when it began.
func (r *Rows) Scan(ctx context.Context, kind meta.Kind) iter.Seq2[meta.Row, error] {
	return copies(ctx, kind, func() []meta.Row {
		r.mu.RLock()
		defer r.mu.RUnlock()
		var all []meta.Row
		for at, rows := range r.mu.byHash {
			if at.kind == kind {
				all = append(all, rows...)
			}
		}
		return all
	})
}

// copies yields a copy of each row of a snapshot, which it takes when the loop
// begins.
func copies(ctx context.Context, kind meta.Kind, snapshot func() []meta.Row) iter.Seq2[meta.Row, error] {
	return func(yield func(meta.Row, error) bool) {
		if _, err := meta.New(kind); err != nil {
			yield(nil, err)
			return
		}
		for _, stored := range snapshot() {
			if ctx.Err() != nil {
				break
			}
			if err := meta.CheckFormat(stored); err != nil {
				yield(nil, err)
				return
			}
			if !yield(meta.Clone(stored), nil) {
				return
			}
		}
		if err := ctx.Err(); err != nil {
			yield(nil, err)
		}
	}
}

// Close implements meta.Store. What was written stays readable.
func (*Rows) Close() error { return nil }
