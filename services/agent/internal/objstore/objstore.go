// Package objstore is what StreamHouse asks of an object store: whole objects
// that are written once, under keys that are never used twice.
//
// Backends live in folders of their own and all pass the suite in
// objstoretest.
package objstore

import (
	"context"
	"errors"
	"iter"
)

// Errors that every backend returns, wrapped or bare. Any other error means
// that the outcome is unknown.
var (
	// ErrNotFound is returned when no object has the key.
	ErrNotFound = errors.New("object not found")
	// ErrExists is returned by Put when an object has the key already.
	ErrExists = errors.New("object exists")
	// ErrRange is returned by Get for a range that is not inside the object.
	ErrRange = errors.New("range outside the object")
)

// Body is an object's content in pieces, so that a segment is written from
// where its batches lie without being copied together first.
type Body struct {
	// Parts are the bytes, in order. The store reads them until Put returns
	// and never changes them.
	Parts [][]byte
	// Size is the sum of the parts' lengths.
	Size int64
	// CRC32C is the Castagnoli checksum of all the bytes. Every store verifies
	// it and Size where the bytes arrive, and refuses a body that differs:
	// then no object appears.
	CRC32C uint32
}

// Store holds objects. All methods are safe for concurrent use.
//
// A key is a path of names joined by single slashes, as fs.ValidPath has it,
// other than "."; no name begins with a dot, and all are short printable
// ASCII without backslashes. A key may continue another one after a slash.
type Store interface {
	// Put writes a new object. When it returns nil, the object is durable:
	// it survives a crash of the process and of the machine, and every Get
	// that starts afterwards sees it. After any other error than ErrExists
	// the object may be there, or appear later, whole; never in part.
	Put(ctx context.Context, key string, body Body) error

	// Get reads length bytes from offset into a new slice that the caller
	// owns. A length of -1 reads to the end. To read nothing at the very end
	// of an object that is not empty may be an empty slice or ErrRange.
	Get(ctx context.Context, key string, offset, length int64) ([]byte, error)

	// List yields every object whose key begins with prefix, in any order.
	// After an error nothing more is yielded. The caller may use the store,
	// and delete what it was given, while it lists. An object that is written
	// or deleted while the list runs may be in it or not.
	List(ctx context.Context, prefix string) iter.Seq2[Info, error]

	// Delete removes objects, in one request where the store has such. To
	// remove what is not there is a success. After an error some are gone. A
	// crash of the machine may bring back what was deleted just before.
	Delete(ctx context.Context, keys ...string) error

	// Close frees what the store holds. No other call may be under way.
	Close() error
}

// Info describes one object.
type Info struct {
	Key  string
	Size int64
}
