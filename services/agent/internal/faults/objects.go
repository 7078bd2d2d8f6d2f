package faults

import (
	"bytes"
	"context"
	"iter"
	"slices"

	"github.com/streamhouse/streamhouse/services/agent/internal/objstore"
)

type objects struct {
	i     *Injector
	store objstore.Store
}

// Put implements objstore.Store.
func (o *objects) Put(ctx context.Context, key string, body objstore.Body) error {
	return o.i.write(ctx, Put, o.i.plan.Put,
		func(ctx context.Context) error { return o.store.Put(ctx, key, body) },
		func() effect {
			own := body
			own.Parts = [][]byte{bytes.Join(body.Parts, nil)}
			return func(ctx context.Context) error { return o.store.Put(ctx, key, own) }
		})
}

// Delete implements objstore.Store.
func (o *objects) Delete(ctx context.Context, keys ...string) error {
	keys = slices.Clone(keys)
	run := func(ctx context.Context) error { return o.store.Delete(ctx, keys...) }
	return o.i.write(ctx, Delete, o.i.plan.Put, run, func() effect { return run })
}

// Get implements objstore.Store.
func (o *objects) Get(ctx context.Context, key string, offset, length int64) ([]byte, error) {
	f, err := o.i.read(ctx, Get, o.i.plan.Get)
	if err != nil {
		return nil, err
	}
	content, err := o.store.Get(ctx, key, offset, length)
	if f.is(ErrAfter) {
		sleep(ctx, f.rule.Pause)
		return nil, f.err()
	}
	return content, err
}

// List implements objstore.Store.
func (o *objects) List(ctx context.Context, prefix string) iter.Seq2[objstore.Info, error] {
	return readAll(ctx, o.i, List, o.i.plan.Get, o.store.List(ctx, prefix))
}

// Close implements objstore.Store.
func (o *objects) Close() error {
	o.i.Wait()
	return o.store.Close()
}

// readAll carries out an operation that yields many results, each time that
// they are ranged over.
func readAll[T any](ctx context.Context, i *Injector, op Op, latency Latency, all iter.Seq2[T, error]) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var none T
		f, err := i.read(ctx, op, latency)
		if err != nil {
			yield(none, err)
			return
		}
		for one, err := range all {
			if !yield(one, err) || err != nil {
				return
			}
		}
		if f.is(ErrAfter) {
			sleep(ctx, f.rule.Pause)
			yield(none, f.err())
		}
	}
}
