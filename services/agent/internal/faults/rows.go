package faults

import (
	"context"
	"iter"

	"github.com/streamhouse/streamhouse/services/agent/internal/meta"
)

type rows struct {
	i     *Injector
	store meta.Store
}

// Create implements meta.Store.
func (r *rows) Create(ctx context.Context, row meta.Row) error {
	return r.write(ctx, RowCreate, row, r.store.Create)
}

// Swap implements meta.Store.
func (r *rows) Swap(ctx context.Context, row meta.Row) error {
	return r.write(ctx, RowSwap, row, r.store.Swap)
}

// Delete implements meta.Store.
func (r *rows) Delete(ctx context.Context, row meta.Row) error {
	return r.write(ctx, RowDelete, row, r.store.Delete)
}

func (r *rows) write(ctx context.Context, op Op, row meta.Row, do func(context.Context, meta.Row) error) error {
	return r.i.write(ctx, op, r.i.plan.Commit,
		func(ctx context.Context) error { return do(ctx, row) },
		func() effect {
			own := meta.Clone(row)
			return func(ctx context.Context) error { return do(ctx, own) }
		})
}

// Get implements meta.Store.
func (r *rows) Get(ctx context.Context, row meta.Row) error {
	f, err := r.i.read(ctx, RowGet, r.i.plan.Read)
	if err != nil {
		return err
	}
	if !f.is(ErrAfter) {
		return r.store.Get(ctx, row)
	}
	_ = r.store.Get(ctx, meta.Clone(row)) // the reply is lost
	sleep(ctx, f.rule.Pause)
	return f.err()
}

// Query implements meta.Store.
func (r *rows) Query(ctx context.Context, kind meta.Kind, hash string, from uint64) iter.Seq2[meta.Row, error] {
	return readAll(ctx, r.i, RowQuery, r.i.plan.Read, r.store.Query(ctx, kind, hash, from))
}

// Scan implements meta.Store. It counts as RowQuery.
func (r *rows) Scan(ctx context.Context, kind meta.Kind) iter.Seq2[meta.Row, error] {
	return readAll(ctx, r.i, RowQuery, r.i.plan.Read, r.store.Scan(ctx, kind))
}

// Close implements meta.Store.
func (r *rows) Close() error {
	r.i.Wait()
	return r.store.Close()
}
