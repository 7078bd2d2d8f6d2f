// Package bolt keeps rows in a bbolt database, one file: the metadata store of
// the demo and of an installation on a single machine.
//
// Each kind of row has a bucket; a key is the row's hash and range such that
// their order is the rows' order; a value is the row as JSON.
package bolt

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"sync"

	"go.etcd.io/bbolt"

	"github.com/streamhouse/streamhouse/services/agent/internal/meta"
)

// errClosed is returned by writes after Close.
var errClosed = errors.New("the metadata store is closed")

// Store is a meta.Store. It is safe for concurrent use.
type Store struct {
	db     *bbolt.DB
	synced *synced
	writes chan *write // unbuffered: what waits, waits in the callers
	quit   chan struct{}
	once   sync.Once // closes quit
	loop   sync.WaitGroup
}

// Create implements meta.Store.
func (s *Store) Create(ctx context.Context, row meta.Row) error {
	return s.put(ctx, row, 0)
}

// Swap implements meta.Store.
func (s *Store) Swap(ctx context.Context, row meta.Row) error {
	version := row.Head().Version
	if version == 0 {
		return refused("swap", row, meta.ErrConflict) // no stored row has it
	}
	return s.put(ctx, row, version)
}

// Delete implements meta.Store.
func (s *Store) Delete(ctx context.Context, row meta.Row) error {
	w := &write{kind: row.Kind(), old: row.Head().Version}
	if w.old == 0 {
		return refused("delete", row, meta.ErrConflict)
	}
	return s.send(ctx, row, w)
}

// put replaces the version old of row, or creates row if old is 0.
func (s *Store) put(ctx context.Context, row meta.Row, old uint64) error {
	next := meta.Clone(row)
	next.Head().Version = old + 1
	next.Head().Format = max(row.Head().Format, meta.Format)
	value, err := json.Marshal(next)
	if err != nil {
		return refused("encode", row, err)
	}
	if err := s.send(ctx, row, &write{kind: row.Kind(), old: old, value: value}); err != nil {
		return err
	}
	*row.Head() = *next.Head()
	return nil
}

func (s *Store) send(ctx context.Context, row meta.Row, w *write) error {
	var err error
	if w.key, err = keyOf(row.Key()); err == nil {
		err = s.submit(ctx, w)
	}
	if err != nil {
		return refused(w.verb(), row, err)
	}
	return nil
}

func refused(verb string, row meta.Row, err error) error {
	return fmt.Errorf("%s %s row %v: %w", verb, row.Kind(), row.Key(), err)
}

// Get implements meta.Store.
func (s *Store) Get(ctx context.Context, row meta.Row) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	key, err := keyOf(row.Key())
	if err != nil {
		return refused("get", row, err)
	}
	var stored meta.Row
	err = s.view(ctx, func(tx *bbolt.Tx) error {
		value := tx.Bucket([]byte(row.Kind())).Get(key)
		if value == nil {
			return meta.ErrNotFound
		}
		stored, err = decode(row.Kind(), value)
		return err
	})
	if err != nil {
		return refused("get", row, err)
	}
	meta.Assign(row, stored)
	return nil
}

// view runs fn in a read transaction, and returns when what it saw is durable.
func (s *Store) view(ctx context.Context, fn func(tx *bbolt.Tx) error) error {
	var seen int
	err := s.db.View(func(tx *bbolt.Tx) error {
		seen = tx.ID()
		return fn(tx)
	})
	return errors.Join(s.synced.wait(ctx, seen), err)
}

// Query implements meta.Store.
func (s *Store) Query(ctx context.Context, kind meta.Kind, hash string, from uint64) iter.Seq2[meta.Row, error] {
	return s.read(ctx, kind, appendHash(nil, hash), appendKey(nil, meta.Key{Hash: hash, Range: from}))
}

// Scan implements meta.Store.
func (s *Store) Scan(ctx context.Context, kind meta.Kind) iter.Seq2[meta.Row, error] {
	return s.read(ctx, kind, nil, nil)
}

// Close implements meta.Store.
func (s *Store) Close() error {
	s.once.Do(func() { close(s.quit) })
	s.loop.Wait()
	return s.db.Close()
}

// decode reads a row that stays valid after the transaction: it shares nothing
// with value.
func decode(kind meta.Kind, value []byte) (meta.Row, error) {
	row, err := meta.New(kind)
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(value, row); err != nil {
		return nil, fmt.Errorf("decode: %w", err)
	}
	return row, meta.CheckFormat(row)
}
