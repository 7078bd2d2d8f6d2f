// Package meta is what StreamHouse asks of a metadata store: typed rows,
// created only if absent, replaced only by compare-and-set on their version,
// read consistently. Everything that the commit protocol needs stands on these
// few operations, so it is written once, above them.
//
// Backends live in folders of their own and all pass the suite in metatest.
package meta

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/streamhouse/streamhouse/services/agent/internal/format"
)

// Errors that every backend returns, wrapped or bare. Any other error means
// that the outcome is unknown.
var (
	// ErrNotFound is returned when no row has the key.
	ErrNotFound = errors.New("row not found")
	// ErrExists is returned by Create when a row has the key already.
	ErrExists = errors.New("row exists")
	// ErrConflict is returned by Swap and Delete when the stored row is gone
	// or has another version.
	ErrConflict = errors.New("row has another version")
	// ErrTooNew is returned for a row that a newer program wrote.
	ErrTooNew = errors.New("row of a newer format")
	// ErrTooLarge is returned by Create and Swap for a row that the backend
	// cannot hold. Nothing was written, and trying again does not help.
	ErrTooLarge = errors.New("row too large")
)

// Key is the place of a row among the rows of its kind: rows with the same
// hash stand together, sorted by range.
type Key struct {
	Hash  string
	Range uint64
}

// Row is a pointer to one of this package's row types.
type Row interface {
	Kind() Kind
	Key() Key
	// Head is the part that all rows share.
	Head() *Header
}

// Header is embedded in every row.
type Header struct {
	// Version is 1 in a new row and rises by one with every Swap. The store
	// maintains it.
	Version uint64 `json:"version" dynamodbav:"version"`
	// Format is the row format in which it was written; see CheckFormat.
	Format int `json:"format" dynamodbav:"format"`
}

// Head returns h itself: embedding it makes a struct a Row.
func (h *Header) Head() *Header { return h }

// Format is what a store stamps on a row whose writer named no format.
const Format = format.Oldest

// CheckFormat refuses a row that a newer program wrote.
func CheckFormat(row Row) error {
	if f := row.Head().Format; f > format.Reads() {
		return fmt.Errorf("%w: %s row %v has format %d, and this version of StreamHouse reads up to %d: upgrade it before it runs on this store",
			ErrTooNew, row.Kind(), row.Key(), f, format.Reads())
	}
	return nil
}

// Store holds rows. All methods are safe for concurrent use.
//
// A backend stores a copy: the row stays the caller's, and what is yielded is
// the reader's. It stamps each row that it writes with Format, unless the row
// names another one (see InFormat), and passes rows through CheckFormat when it reads them.
// When a write returns an error, the caller's row is as it was.
type Store interface {
	// Create writes a new row with version 1, durably, and sets the version
	// in row. ErrExists when its key is taken.
	Create(ctx context.Context, row Row) error

	// Get reads the row with row's key into row, consistently: it sees every
	// write that was acknowledged before it began. ErrNotFound leaves row as
	// it was.
	Get(ctx context.Context, row Row) error

	// Swap replaces the stored row if its version is row's, durably, and
	// raises the version in row by one. ErrConflict when it is not, or when
	// there is no row.
	Swap(ctx context.Context, row Row) error

	// Delete removes the stored row if its version is row's. ErrConflict when
	// it is not, or when there is no row.
	Delete(ctx context.Context, row Row) error

	// Query yields the rows of a kind that have the hash and a range from
	// from on, sorted by range, consistently. Each is a new row of the kind's
	// type. After an error nothing more is yielded. A row that is written
	// while the query runs may be missing, never one written before it. The
	// caller may write to the store inside the loop.
	Query(ctx context.Context, kind Kind, hash string, from uint64) iter.Seq2[Row, error]

	// Scan yields all rows of a kind, in no order, as Query does.
	Scan(ctx context.Context, kind Kind) iter.Seq2[Row, error]

	// Close frees what the store holds. No other call may be under way.
	Close() error
}

// Query is Store.Query with the rows' own type, as in
// meta.Query[*meta.Entry](ctx, store, session, 0).
func Query[R Row](ctx context.Context, s Store, hash string, from uint64) iter.Seq2[R, error] {
	var kind R
	return typed[R](s.Query(ctx, kind.Kind(), hash, from))
}

// Scan is Store.Scan with the rows' own type.
func Scan[R Row](ctx context.Context, s Store) iter.Seq2[R, error] {
	var kind R
	return typed[R](s.Scan(ctx, kind.Kind()))
}

func typed[R Row](rows iter.Seq2[Row, error]) iter.Seq2[R, error] {
	return func(yield func(R, error) bool) {
		for row, err := range rows {
			if err != nil {
				var none R
				yield(none, err)
				return
			}
			own, ok := row.(R)
			if !ok {
				var none R
				yield(none, fmt.Errorf("store yielded a %T where a %T was asked for", row, none))
				return
			}
			if !yield(own, nil) {
				return
			}
		}
	}
}
