package stats

import (
	"context"
	"errors"
	"iter"
	"time"

	"github.com/streamhouse/streamhouse/services/agent/internal/meta"
	"github.com/streamhouse/streamhouse/services/agent/internal/objstore"
)

// Objects times what passes through to a store and counts it, one request for
// each call.
func (s *Stats) Objects(store objstore.Store) objstore.Store {
	return objects{Store: store, s: s, counts: true}
}

// TimedObjects only times: for a store that tells of its requests itself.
func (s *Stats) TimedObjects(store objstore.Store) objstore.Store { return objects{Store: store, s: s} }

type objects struct {
	objstore.Store
	s      *Stats
	counts bool
}

func (o objects) Put(ctx context.Context, key string, body objstore.Body) error {
	began := time.Now()
	err := o.Store.Put(ctx, key, body)
	o.s.count(o.counts, &o.s.Puts)
	switch {
	case err == nil:
		o.s.PutLatency.Observe(time.Since(began))
	case ctx.Err() == nil: // else its copy was faster, or the agent ends
		o.s.PutErrors.Add(1)
	}
	return err
}

func (o objects) Get(ctx context.Context, key string, offset, length int64) ([]byte, error) {
	o.s.count(o.counts, &o.s.Gets)
	b, err := o.Store.Get(ctx, key, offset, length)
	if err != nil && ctx.Err() == nil {
		o.s.ReadErrors.Add(1)
	}
	return b, err
}

func (o objects) List(ctx context.Context, prefix string) iter.Seq2[objstore.Info, error] {
	o.s.count(o.counts, &o.s.Lists)
	return o.Store.List(ctx, prefix)
}

func (o objects) Delete(ctx context.Context, keys ...string) error {
	o.s.count(o.counts, &o.s.Deletes)
	return o.Store.Delete(ctx, keys...)
}

// Rows does the same for rows, with a capacity unit for each request.
func (s *Stats) Rows(store meta.Store) meta.Store { return rows{Store: store, s: s, counts: true} }

// TimedRows only times: for a store that tells of its requests itself.
func (s *Stats) TimedRows(store meta.Store) meta.Store { return rows{Store: store, s: s} }

type rows struct {
	meta.Store
	s      *Stats
	counts bool
}

func (r rows) Create(ctx context.Context, row meta.Row) error {
	began := time.Now()
	err := r.Store.Create(ctx, row)
	r.wrote(ctx, err)
	switch {
	case row.Kind() != meta.Journal:
	case err == nil:
		r.s.CommitLatency.Observe(time.Since(began))
	case ctx.Err() == nil:
		r.s.CommitErrors.Add(1)
	}
	return err
}

func (r rows) Get(ctx context.Context, row meta.Row) error {
	r.read()
	err := r.Store.Get(ctx, row)
	if err != nil && !errors.Is(err, meta.ErrNotFound) && ctx.Err() == nil {
		r.s.ReadErrors.Add(1)
	}
	return err
}

func (r rows) Swap(ctx context.Context, row meta.Row) error {
	err := r.Store.Swap(ctx, row)
	r.wrote(ctx, err)
	return err
}

func (r rows) Delete(ctx context.Context, row meta.Row) error {
	err := r.Store.Delete(ctx, row)
	r.wrote(ctx, err)
	return err
}

func (r rows) Query(ctx context.Context, kind meta.Kind, hash string, from uint64) iter.Seq2[meta.Row, error] {
	r.read()
	return r.Store.Query(ctx, kind, hash, from)
}

func (r rows) Scan(ctx context.Context, kind meta.Kind) iter.Seq2[meta.Row, error] {
	r.read()
	return r.Store.Scan(ctx, kind)
}

// wrote counts a write. A condition that did not hold is an answer like others.
func (r rows) wrote(ctx context.Context, err error) {
	r.s.count(r.counts, &r.s.RowWrites)
	if r.counts {
		r.s.WriteUnits.Add(1)
	}
	refused := errors.Is(err, meta.ErrExists) || errors.Is(err, meta.ErrConflict)
	if err != nil && !refused && ctx.Err() == nil {
		r.s.WriteErrors.Add(1)
	}
}

func (r rows) read() {
	r.s.count(r.counts, &r.s.RowReads)
	if r.counts {
		r.s.ReadUnits.Add(1)
	}
}
