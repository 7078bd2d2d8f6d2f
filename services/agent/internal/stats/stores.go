package stats

import (
	"context"
	"iter"
	"time"

	"github.com/streamhouse/streamhouse/services/agent/internal/meta"
	"github.com/streamhouse/streamhouse/services/agent/internal/objstore"
)

// Objects counts and times what passes through to a store.
func (s *Stats) Objects(store objstore.Store) objstore.Store { return objects{store, s} }

type objects struct {
	objstore.Store
	s *Stats
}

func (o objects) Put(ctx context.Context, key string, body objstore.Body) error {
	began := time.Now()
	err := o.Store.Put(ctx, key, body)
	o.s.Puts.Add(1)
	if err == nil {
		o.s.PutLatency.Observe(time.Since(began))
	}
	return err
}

func (o objects) Get(ctx context.Context, key string, offset, length int64) ([]byte, error) {
	o.s.Gets.Add(1)
	return o.Store.Get(ctx, key, offset, length)
}

func (o objects) List(ctx context.Context, prefix string) iter.Seq2[objstore.Info, error] {
	o.s.Lists.Add(1)
	return o.Store.List(ctx, prefix)
}

func (o objects) Delete(ctx context.Context, key string) error {
	o.s.Deletes.Add(1)
	return o.Store.Delete(ctx, key)
}

// Rows counts and times what passes through to a store.
func (s *Stats) Rows(store meta.Store) meta.Store { return rows{store, s} }

type rows struct {
	meta.Store
	s *Stats
}

func (r rows) Create(ctx context.Context, row meta.Row) error {
	began := time.Now()
	err := r.Store.Create(ctx, row)
	r.s.RowWrites.Add(1)
	if err == nil && row.Kind() == meta.Journal {
		r.s.CommitLatency.Observe(time.Since(began))
	}
	return err
}

func (r rows) Get(ctx context.Context, row meta.Row) error {
	r.s.RowReads.Add(1)
	return r.Store.Get(ctx, row)
}

func (r rows) Swap(ctx context.Context, row meta.Row) error {
	r.s.RowWrites.Add(1)
	return r.Store.Swap(ctx, row)
}

func (r rows) Delete(ctx context.Context, row meta.Row) error {
	r.s.RowWrites.Add(1)
	return r.Store.Delete(ctx, row)
}

func (r rows) Query(ctx context.Context, kind meta.Kind, hash string, from uint64) iter.Seq2[meta.Row, error] {
	r.s.RowReads.Add(1)
	return r.Store.Query(ctx, kind, hash, from)
}

func (r rows) Scan(ctx context.Context, kind meta.Kind) iter.Seq2[meta.Row, error] {
	r.s.RowReads.Add(1)
	return r.Store.Scan(ctx, kind)
}
