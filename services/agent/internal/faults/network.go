package faults

import (
	"bytes"
	"context"
	"errors"
	"iter"
	"slices"
	"sync"
	"time"

	"github.com/streamhouse/streamhouse/services/agent/internal/meta"
	"github.com/streamhouse/streamhouse/services/agent/internal/objstore"
)

// Request is one request of an agent to its store, as a Network sees it.
type Request struct {
	Op Op
	// Kind is that of the row; empty for objects.
	Kind meta.Kind
	// Session is whose row or journal it is about, if it is about one; Seal
	// says that it would end that.
	Session string
	Seal    bool
}

// Writes says whether the request changes something.
func (r Request) Writes() bool {
	return r.Op&(Put|Delete|RowCreate|RowSwap|RowDelete) != 0
}

// Fate is what becomes of a request. The zero Fate is a store without latency.
type Fate struct {
	// Lands is when it reaches the store, after it was sent.
	Lands time.Duration
	// Never: it does not.
	Never bool
	// Again is when it reaches the store once more, after it did for the first
	// time; 0 is not at all.
	Again time.Duration
	// Answer is when the sender hears of it, after it was sent. Before it has
	// reached the store, and where it never does, that is an error. What it hears
	// is the result of the last time that the request landed until then.
	Answer time.Duration
	// Fails: what it hears is an error in any case.
	Fails bool
}

// ErrNetwork is what a sender hears whose request or answer was lost.
var ErrNetwork = errors.New("the network lost it")

// Network is between an agent and its store, for simulations that decide about
// every request. Its methods are called by many goroutines, and may block: then
// the agent stands still.
type Network interface {
	// Send is called with a request before it is under way, and returns what
	// becomes of it.
	Send(ctx context.Context, r Request) Fate
	// Receive is called before the agent hears of an answer.
	Receive(ctx context.Context, r Request, err error)
}

// OverObjects is a store of objects at the other end of a network.
func OverObjects(n Network, s objstore.Store) objstore.Store { return &farObjects{far{n}, s} }

// OverRows is a store of rows at the other end of a network.
func OverRows(n Network, s meta.Store) meta.Store { return &farRows{far{n}, s} }

// far carries requests over a network.
type far struct{ network Network }

// write carries out a request that changes something. copied is as for
// Injector.write.
func (f far) write(ctx context.Context, r Request, run effect, copied func() effect) error {
	fate := f.network.Send(ctx, r)
	err := f.deliver(ctx, fate, run, copied)
	f.network.Receive(ctx, r, err)
	return err
}

func (f far) deliver(ctx context.Context, fate Fate, run effect, copied func() effect) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	simple := !fate.Never && !fate.Fails && fate.Again == 0 && fate.Lands <= fate.Answer
	if !simple {
		return f.deliverInParts(ctx, fate, copied())
	}
	if left, cut := sleep(ctx, fate.Lands); cut {
		go land(context.WithoutCancel(ctx), left, copied()) // it is under way, and nobody waits for it
		return ctx.Err()
	}
	err := run(context.WithoutCancel(ctx))
	if _, cut := sleep(ctx, fate.Answer-fate.Lands); cut {
		return ctx.Err()
	}
	return err
}

// land lets a request reach the store late. Nobody hears of it.
func land(ctx context.Context, after time.Duration, late effect) {
	time.Sleep(after)
	_ = late(ctx)
}

// deliverInParts is for requests whose way and whose answer have little to do
// with each other.
func (f far) deliverInParts(ctx context.Context, fate Fate, late effect) error {
	var mu sync.Mutex
	err := ErrNetwork
	if !fate.Never {
		ctx := context.WithoutCancel(ctx)
		go func() { // nobody waits for it
			time.Sleep(fate.Lands)
			for again := range 2 {
				if again == 1 {
					if fate.Again == 0 {
						return
					}
					time.Sleep(fate.Again)
				}
				result := late(ctx)
				mu.Lock()
				err = result
				mu.Unlock()
			}
		}()
	}
	if _, cut := sleep(ctx, fate.Answer); cut {
		return ctx.Err()
	}
	mu.Lock()
	defer mu.Unlock()
	if fate.Fails {
		return ErrNetwork
	}
	return err
}

// read lets a request that changes nothing through when it returns nil.
func (f far) read(ctx context.Context, r Request) error {
	fate := f.network.Send(ctx, r)
	err := ctx.Err()
	if err == nil {
		if _, cut := sleep(ctx, fate.Answer); cut {
			err = ctx.Err()
		} else if fate.Never || fate.Fails {
			err = ErrNetwork
		}
	}
	f.network.Receive(ctx, r, err)
	return err
}

type farRows struct {
	far
	store meta.Store
}

func aboutRow(op Op, row meta.Row) Request {
	r := Request{Op: op, Kind: row.Kind()}
	switch row := row.(type) {
	case *meta.Session:
		r.Session, r.Seal = row.ID, row.Sealed
	case *meta.Entry:
		r.Session, r.Seal = row.Session, row.Seal
	}
	return r
}

func (r *farRows) change(ctx context.Context, op Op, row meta.Row, do func(context.Context, meta.Row) error) error {
	return r.write(ctx, aboutRow(op, row),
		func(ctx context.Context) error { return do(ctx, row) },
		func() effect {
			sent := meta.Clone(row)
			return func(ctx context.Context) error { return do(ctx, meta.Clone(sent)) }
		})
}

// Create implements meta.Store.
func (r *farRows) Create(ctx context.Context, row meta.Row) error {
	return r.change(ctx, RowCreate, row, r.store.Create)
}

// Swap implements meta.Store.
func (r *farRows) Swap(ctx context.Context, row meta.Row) error {
	return r.change(ctx, RowSwap, row, r.store.Swap)
}

// Delete implements meta.Store.
func (r *farRows) Delete(ctx context.Context, row meta.Row) error {
	return r.change(ctx, RowDelete, row, r.store.Delete)
}

// Get implements meta.Store.
func (r *farRows) Get(ctx context.Context, row meta.Row) error {
	if err := r.read(ctx, aboutRow(RowGet, row)); err != nil {
		return err
	}
	return r.store.Get(ctx, row)
}

// Query implements meta.Store.
func (r *farRows) Query(ctx context.Context, kind meta.Kind, hash string, from uint64) iter.Seq2[meta.Row, error] {
	return readFar(ctx, r.far, Request{Op: RowQuery, Kind: kind}, r.store.Query(ctx, kind, hash, from))
}

// Scan implements meta.Store.
func (r *farRows) Scan(ctx context.Context, kind meta.Kind) iter.Seq2[meta.Row, error] {
	return readFar(ctx, r.far, Request{Op: RowQuery, Kind: kind}, r.store.Scan(ctx, kind))
}

// Close implements meta.Store.
func (r *farRows) Close() error { return r.store.Close() }

type farObjects struct {
	far
	store objstore.Store
}

// Put implements objstore.Store.
func (o *farObjects) Put(ctx context.Context, key string, body objstore.Body) error {
	return o.write(ctx, Request{Op: Put},
		func(ctx context.Context) error { return o.store.Put(ctx, key, body) },
		func() effect {
			own := body
			own.Parts = [][]byte{bytes.Join(body.Parts, nil)}
			return func(ctx context.Context) error { return o.store.Put(ctx, key, own) }
		})
}

// Delete implements objstore.Store.
func (o *farObjects) Delete(ctx context.Context, keys ...string) error {
	keys = slices.Clone(keys)
	run := func(ctx context.Context) error { return o.store.Delete(ctx, keys...) }
	return o.write(ctx, Request{Op: Delete}, run, func() effect { return run })
}

// Get implements objstore.Store.
func (o *farObjects) Get(ctx context.Context, key string, offset, length int64) ([]byte, error) {
	if err := o.read(ctx, Request{Op: Get}); err != nil {
		return nil, err
	}
	return o.store.Get(ctx, key, offset, length)
}

// List implements objstore.Store.
func (o *farObjects) List(ctx context.Context, prefix string) iter.Seq2[objstore.Info, error] {
	return readFar(ctx, o.far, Request{Op: List}, o.store.List(ctx, prefix))
}

// Close implements objstore.Store.
func (o *farObjects) Close() error { return o.store.Close() }

func readFar[T any](ctx context.Context, f far, r Request, all iter.Seq2[T, error]) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		if err := f.read(ctx, r); err != nil {
			var none T
			yield(none, err)
			return
		}
		all(yield)
	}
}
